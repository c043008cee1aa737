"""The report on where the hyperspectral image lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..rasters.writing.staging import write_text
from .contents import FieldFigure, Origin, Quantity
from .field import draw_field
from .page import Charts, render


@dataclass(frozen=True)
class DisplacementReport:
    """field: the figure of the displacement, None where one shift does for all; the rest as in FusionReport."""

    title: str
    summary: str
    origin: Origin
    estimates: Sequence[Quantity] = ()
    field: FieldFigure | None = None
    warnings: Sequence[str] = ()


def write_displacement_report(path: str | Path, report: DisplacementReport) -> None:
    """Write the report; HSFusionError when the file cannot be written."""
    drawing = None if report.field is None else draw_field(report.field)
    write_text(path, render("displacement.html", report=report, field=drawing, charts=Charts()), "REPORT")
