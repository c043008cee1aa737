"""A displacement as a picture: arrows over the scene in grey, with a scale bar."""

from __future__ import annotations

import numpy as np

from ..rasters.writing.colour import stretch
from .contents import FieldFigure
from .pictures import shrink
from .png import data_uri, encode_rgba

WIDTH = 640.0  # of the drawing, in its own units
ARROW, UNTOLD = "#c1272d", "#5b6770"
LONGEST = 0.8  # of the way from one arrow to the next, for the longest arrow
STEPS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
)  # MSI pixels that the scale bar may stand for


def draw_field(figure: FieldFigure) -> str:
    """The figure as SVG that stands inside a page."""
    rows, cols = figure.size
    scale = WIDTH / cols
    height = rows * scale
    longest = float(np.hypot(*figure.moves[figure.told].T).max()) if figure.told.any() else 0.0
    spacing = WIDTH / max(1.0, np.sqrt(len(figure.places) * cols / rows))
    longer = LONGEST * spacing / longest if longest > 0 else 1.0
    parts = [
        f'<svg class="field" role="img" viewBox="0 0 {WIDTH:.0f} {height + 46:.0f}" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title>{figure.text}</title>',
        f'<image width="{WIDTH:.0f}" height="{height:.1f}" preserveAspectRatio="none" href="{_grey(figure.picture)}"/>',
    ]
    for (y, x), (down, right), told in zip(figure.places, figure.moves, figure.told):
        left, top = (x + 0.5) * scale, (y + 0.5) * scale
        if told:
            parts.append(_arrow(left, top, left + right * longer, top + down * longer))
        else:
            parts.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="2.5" fill="none" stroke="{UNTOLD}"/>')
    if longest > 0:
        parts.append(_bar(height, longest, longer, figure))
    return "".join([*parts, "</svg>"])


def _grey(picture: np.ndarray) -> str:
    values = shrink(np.asarray(picture)[None])[0]
    low, high = stretch(values)
    grey = np.rint(60 + 180 * np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-30), 0, 1))
    return data_uri(encode_rgba(np.stack([grey, grey, grey, 255 * np.isfinite(values)], axis=-1).astype(np.uint8)))


def _arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    length = float(np.hypot(x1 - x0, y1 - y0))
    if length < 0.5:
        return f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="1.5" fill="{ARROW}"/>'
    along_x, along_y = (x1 - x0) / length, (y1 - y0) / length
    head = min(6.0, 0.4 * length)
    wings = " ".join(
        f"{x1 - head * along_x + side * 0.5 * head * along_y:.1f},{y1 - head * along_y - side * 0.5 * head * along_x:.1f}"  # noqa: E501
        for side in (1.0, -1.0)
    )
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{ARROW}" stroke-width="1.6"/>'
        f'<polygon points="{x1:.1f},{y1:.1f} {wings}" fill="{ARROW}"/>'
    )


def _bar(height: float, longest: float, longer: float, figure: FieldFigure) -> str:
    pixels = max((step for step in STEPS if step <= longest), default=STEPS[0])
    length, y = pixels * longer, height + 16
    told = (
        f"{pixels:g} MSI pixels = {pixels * figure.pixel:.3g} {figure.unit}"
        if figure.pixel
        else f"{pixels:g} MSI pixels"
    )
    return (
        f'<line x1="4" y1="{y:.0f}" x2="{4 + length:.1f}" y2="{y:.0f}" stroke="{ARROW}" stroke-width="3"/>'
        f'<text x="4" y="{y + 20:.0f}" font-size="14" font-family="Helvetica, Arial, sans-serif">{told}</text>'
    )
