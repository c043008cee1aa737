"""What a report tells: plain values that jobs hand over, before any drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...models.metrics import Scores


@dataclass(frozen=True)
class Quantity:
    """One number or text of a table; note: what it means, or where it comes from ("estimated", "given")."""

    name: str
    value: object
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """An image in its own units: values (3 or 1, rows, cols), NaN = nodata.

    Pictures with the same `stretch` are drawn between the same limits, those of the first of them.
    """

    title: str
    values: np.ndarray
    stretch: str = "image"
    note: str = ""


@dataclass(frozen=True)
class Map:
    """One number per pixel, drawn as a colour ramp with a bar: values (rows, cols), NaN = nodata.

    high: the ramp's upper end (None = the 98th percentile). diverging: two colours that part in the middle between low
    and high. text: what the map shows, for those who cannot see it.
    """

    title: str
    values: np.ndarray
    unit: str
    low: float = 0.0
    high: float | None = None
    note: str = ""
    diverging: bool = False
    text: str = ""


@dataclass(frozen=True)
class PixelSpectra:
    """Spectra (L,) of one pixel, NaN = left out; x, y: its place in the pictures as a fraction of width and height."""

    title: str
    lines: Mapping[str, np.ndarray]
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class Origin:
    """How to get the same result again: settings by parameter name, the command, versions of the software."""

    settings: Mapping[str, object]
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)  # may be nested: model, checksums, estimated matrices


@dataclass(frozen=True)
class FieldFigure:
    """picture (H, W): the scene; size: its rows and columns in MSI pixels; places and moves (N, 2) as (y, x) in MSI
    pixels.

    told (N,): False where the pair does not tell the displacement; pixel: side of an MSI pixel in the CRS's units,
    named by `unit`.
    """

    picture: np.ndarray
    size: tuple[int, int]
    places: np.ndarray
    moves: np.ndarray
    told: np.ndarray
    pixel: float
    unit: str

    @property
    def text(self) -> str:
        """What the figure shows, for those who cannot see it."""
        lengths = np.hypot(*self.moves[self.told].T) if self.told.any() else np.zeros(1)
        return (
            "Arrows from where the grid of the hyperspectral image says its content lies to where it lies, the shift "
            "left out: "
            f"{lengths.mean():.2f} multispectral pixels long on average, {lengths.max():.2f} at most; "
            f"{100 * (1 - self.told.mean()):.0f} % of the places cannot be told."
        )


@dataclass(frozen=True)
class FusionReport:
    """What a fusion did. wavelengths_nm (L,) in file order (None = unknown); msi_bands: (name, from nm, to nm).

    guard: what the check at reduced resolution found, in sentences; displacement: its figure, None where one
    shift does for all; timings in seconds; unit: that of the raster's values.
    """

    title: str
    summary: str
    origin: Origin
    estimates: Sequence[Quantity] = ()
    numbers: Sequence[Quantity] = ()
    pictures: Sequence[Picture] = ()
    spectra: Sequence[PixelSpectra] = ()
    maps: Sequence[Map] = ()
    wavelengths_nm: np.ndarray | None = None
    msi_bands: Sequence[tuple[str, float, float]] = ()
    unit: str = "raster units"
    guard: str = ""
    displacement: FieldFigure | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class EvaluationReport:
    """A fused image against its reference. wavelengths_nm (L,) of all bands of the file, in file order (None =
    unknown).
    """

    title: str
    summary: str
    origin: Origin
    scores: Scores
    pictures: Sequence[Picture] = ()
    spectra: Sequence[PixelSpectra] = ()
    wavelengths_nm: np.ndarray | None = None
    msi_bands: Sequence[tuple[str, float, float]] = ()
    unit: str = "raster units"
    warnings: Sequence[str] = ()
