"""Arrays to pictures: true colour at a common stretch, and maps with a colour bar."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..rasters.writing.colour import stretch
from .contents import Map, Picture
from .png import data_uri, encode_palette, encode_rgba

LARGEST = 512  # pixels of the longer side; more would make the file heavy and no screen shows it
# The ramp of the map styles: dark to light, readable in grey and by the colour-blind.
RAMP = ((27, 12, 65), (120, 28, 109), (207, 68, 70), (251, 155, 6), (247, 243, 161))
# Two hues that part at a light middle; blue and orange are told apart by nearly everybody.
DIVERGING = ((8, 48, 107), (107, 174, 214), (247, 247, 247), (253, 174, 97), (127, 59, 8))
_COLOURS = 255


@dataclass(frozen=True)
class Drawing:
    """A picture for the page; low and high: the limits of its colour bar (None = no bar), whose CSS gradient is `ramp`;
    text: its alternative.
    """

    title: str
    source: str
    width: int
    height: int
    note: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    ramp: str = ""
    text: str = ""


def draw_pictures(pictures: Sequence[Picture]) -> list[Drawing]:
    """Drawings in order; one stretch (2-98 % per channel) per stretch name, taken from the first picture of
    that name.
    """
    limits: dict[str, list[tuple[float, float]]] = {}
    drawings = []
    for picture in pictures:
        values = shrink(np.asarray(picture.values))
        if len(values) not in (1, 3):
            raise ValueError(f"a picture has 1 or 3 channels, not {len(values)}")
        if picture.stretch not in limits:
            limits[picture.stretch] = [stretch(layer) for layer in values]
        known = np.isfinite(values).all(axis=0)
        layers = []
        for layer, (low, high) in zip(values, limits[picture.stretch]):
            layers.append(np.rint(255 * np.clip((np.nan_to_num(layer) - low) / (high - low), 0, 1)))
        rgb = layers * 3 if len(layers) == 1 else layers
        pixels = np.stack([*rgb, 255 * known], axis=-1).astype(np.uint8)
        drawings.append(
            Drawing(picture.title, data_uri(encode_rgba(pixels)), pixels.shape[1], pixels.shape[0], picture.note)
        )
    return drawings


def draw_map(chart: Map) -> Drawing:
    """A map as a palette image; its bar runs from low to high and the note says what lies beyond."""
    values = shrink(np.asarray(chart.values))
    known = np.isfinite(values)
    high = chart.high
    if high is None:
        high = float(np.percentile(values[known], 98)) if known.any() else chart.low + 1
    if not high > chart.low:
        high = chart.low + 1e-6 * max(1.0, abs(chart.low))
    scaled = (np.where(known, values, chart.low) - chart.low) / (high - chart.low)
    index = np.where(known, np.rint(np.clip(scaled, 0, 1) * (_COLOURS - 1)), _COLOURS).astype(np.uint8)
    notes = [chart.note] if chart.note else []
    if known.any() and values[known].max() > high:
        notes.append(f"{100 * np.mean(values[known] > high):.2g} % lie above, up to {values[known].max():.4g}.")
    stops = DIVERGING if chart.diverging else RAMP
    source = data_uri(encode_palette(index, palette(stops)))
    return Drawing(
        chart.title,
        source,
        index.shape[1],
        index.shape[0],
        " ".join(notes),
        chart.unit,
        chart.low,
        high,
        ramp_css(stops),
        chart.text,
    )


Stops = Sequence[tuple[int, int, int]]


def palette(ramp: Stops = RAMP) -> np.ndarray:
    """(256, 3) uint8: 255 colours of the ramp, then that of nodata, which is drawn transparent."""
    stops = np.linspace(0, 1, len(ramp))
    places = np.linspace(0, 1, _COLOURS)
    colours = np.stack([np.interp(places, stops, [stop[i] for stop in ramp]) for i in range(3)], axis=-1)
    return np.vstack([np.rint(colours), [[255, 255, 255]]]).astype(np.uint8)


def ramp_css(ramp: Stops = RAMP) -> str:
    """The ramp as a CSS gradient from left to right."""
    return "linear-gradient(to right, " + ", ".join("rgb({},{},{})".format(*stop) for stop in ramp) + ")"


def shrink(values: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """(..., rows, cols) as means of whole blocks, at most `largest` on the longer side; NaN only where a block has no
    value.
    """
    rows, cols = values.shape[-2:]
    step = -(-max(rows, cols) // largest)
    if step == 1:
        return values
    pad = [(0, 0)] * (values.ndim - 2) + [(0, -rows % step), (0, -cols % step)]
    padded = np.pad(np.asarray(values, dtype=np.float64), pad, constant_values=np.nan)
    blocks = padded.reshape(*values.shape[:-2], padded.shape[-2] // step, step, padded.shape[-1] // step, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a block without a value
        return np.nanmean(blocks, axis=(-3, -1))


def pick_pixels(values: np.ndarray, quantiles: Sequence[float] = (0.03, 0.35, 0.65, 0.97)) -> list[tuple[int, int]]:
    """(row, col) of pixels that stand for the dark, the middle and the bright of an image (rows, cols), NaN = not to be
    taken.
    """
    places = np.argwhere(np.isfinite(values))
    if len(places) == 0:
        return []
    order = np.argsort(values[tuple(places.T)], kind="stable")
    chosen = [int(order[int(round(q * (len(order) - 1)))]) for q in quantiles]
    return [(int(places[i, 0]), int(places[i, 1])) for i in dict.fromkeys(chosen)]
