"""The report on methods compared on one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..rasters.writing.staging import write_text
from .contents import Map, Origin, Picture, PixelSpectra, Quantity
from .figures import band_figure
from .page import Charts, render
from .pictures import draw_map, draw_pictures, ramp_css


@dataclass(frozen=True)
class ComparedMethod:
    """One line of the table: values in the order of the columns, () where `reason` says why there are none."""

    name: str
    values: Sequence[object] = ()
    reason: str = ""
    remark: str = ""
    best: bool = False


@dataclass(frozen=True)
class Column:
    """A column of the table: unit as `number` knows it, meaning: the definition in one sentence, better: "higher",
    "lower" or "".
    """

    title: str
    unit: str
    better: str
    meaning: str


@dataclass(frozen=True)
class ComparisonReport:
    """rmse: method -> (L,) along the bands, NaN = left out; noise (L,): the HSI's; pictures: with the map of each, if
    any; the rest as in FusionReport.
    """

    title: str
    summary: str
    found: str
    how: str
    origin: Origin
    columns: Sequence[Column]
    methods: Sequence[ComparedMethod]
    rmse: Mapping[str, np.ndarray] = field(default_factory=dict)
    noise: np.ndarray | None = None
    pictures: Sequence[tuple[Picture, Map | None]] = ()
    spectra: Sequence[PixelSpectra] = ()
    estimates: Sequence[Quantity] = ()
    wavelengths_nm: np.ndarray | None = None
    msi_bands: Sequence[tuple[str, float, float]] = ()
    unit: str = "raster units"
    warnings: Sequence[str] = ()


def write_comparison_report(path: str | Path, report: ComparisonReport) -> None:
    """Write the report; HSFusionError when the file cannot be written."""
    charts = Charts()
    lines = dict(report.rmse)
    if report.noise is not None:
        lines["noise of the HSI"] = report.noise
    errors = charts.add(
        band_figure(lines, f"RMSE ({report.unit})", report.wavelengths_nm, report.msi_bands, 420, False, True)
    )
    spectra = [
        (pixel, charts.add(band_figure(pixel.lines, report.unit, report.wavelengths_nm, report.msi_bands, 260, False)))
        for pixel in report.spectra
    ]
    drawings = draw_pictures([picture for picture, _ in report.pictures])
    maps = [None if chart is None else draw_map(chart) for _, chart in report.pictures]
    page = render(
        "comparison.html",
        report=report,
        pairs=list(zip(drawings, maps)),
        error_chart=errors,
        spectra=spectra,
        charts=charts,
        ramp_bar=ramp_css(),
    )
    write_text(path, page, "REPORT")
