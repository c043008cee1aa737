"""The report on the two sensors of a pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..rasters.writing.staging import write_text
from .contents import FieldFigure, Origin, Picture, Quantity
from .field import draw_field
from .figures import band_figure
from .page import Charts, render
from .pictures import draw_pictures


@dataclass(frozen=True)
class SensorReport:
    """curves: response (L,) of each MSI band to the HSI's bands, in MSI units per HSI unit, NaN = left out; the rest as
    in FusionReport.
    """

    title: str
    summary: str
    origin: Origin
    estimates: Sequence[Quantity] = ()
    pictures: Sequence[Picture] = ()
    curves: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    wavelengths_nm: np.ndarray | None = None
    msi_bands: Sequence[tuple[str, float, float]] = ()
    warnings: Sequence[str] = ()
    field: FieldFigure | None = None


def write_sensor_report(path: str | Path, report: SensorReport) -> None:
    """Write the report; HSFusionError when the file cannot be written."""
    charts = Charts()
    chart = charts.add(
        band_figure(
            report.curves, "Response (MSI units per HSI unit)", report.wavelengths_nm, report.msi_bands, named=False
        )
    )
    page = render(
        "sensors.html",
        report=report,
        pictures=draw_pictures(report.pictures),
        chart=chart,
        charts=charts,
        field=None if report.field is None else draw_field(report.field),
    )
    write_text(path, page, "REPORT")
