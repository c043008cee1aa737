"""The report of a scene adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..rasters.writing.staging import write_text
from .contents import Origin, Quantity
from .figures import curve_figure
from .page import Charts, render


@dataclass(frozen=True)
class AdaptationReport:
    """verdict: what came of it, in a sentence; history: (step, loss, gain in dB on the choosing parts, seconds); the
    rest as in FusionReport.
    """

    title: str
    summary: str
    verdict: str
    origin: Origin
    numbers: Sequence[Quantity] = ()
    estimates: Sequence[Quantity] = ()
    history: Sequence[tuple[int, float, float, float]] = ()
    warnings: Sequence[str] = ()


def write_adaptation_report(path: str | Path, report: AdaptationReport) -> None:
    """Write the report; HSFusionError when the file cannot be written."""
    charts = Charts()
    table = np.array(report.history, dtype=np.float64).reshape(-1, 4)
    drawn = [
        (title, charts.add(curve_figure(table[:, 3], table[:, column], "Seconds", y_title)))
        for title, column, y_title in (
            ("Loss", 1, "Loss (moving mean)"),
            ("Gain on the choosing parts", 2, "Gain over the original (dB)"),
        )
        if len(table)
    ]
    page = render("adaptation.html", report=report, drawn=drawn, charts=charts)
    write_text(path, page, "REPORT")
