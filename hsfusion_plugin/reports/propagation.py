"""The report of an answer with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..rasters.writing.staging import write_text
from .contents import Map, Origin
from .figures import interval_figure
from .page import Charts, render
from .pictures import draw_map


@dataclass(frozen=True)
class PropagationReport:
    """histogram: (from, to, share, least and largest of the members, in percent); rows: one per polygon and statistic,
    with polygon, statistic, unit, pixels, mean, std, low, high; the rest as in FusionReport.
    """

    title: str
    summary: str
    origin: Origin
    quantity: str
    interval: str
    maps: Sequence[Map] = ()
    histogram: Sequence[tuple[float, float, float, float, float]] = ()
    rows: Sequence[Any] = ()
    rows_left_out: int = 0
    warnings: Sequence[str] = ()


def write_propagation_report(path: str | Path, report: PropagationReport) -> None:
    """Write the report; HSFusionError when the file cannot be written."""
    charts, chart = Charts(), ""
    if report.histogram:
        table = np.array(report.histogram)
        middle = table[:, :2].mean(axis=1)
        chart = charts.add(interval_figure(middle, *table[:, 2:].T, report.quantity, "Share of the pixels (%)"))
    page = render(
        "propagation.html", report=report, maps=[draw_map(one) for one in report.maps], chart=chart, charts=charts
    )
    write_text(path, page, "REPORT")
