"""The table of a batch: estimates and quality of every pair, and which of them stand out."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...rasters.writing.staging import write_text
from .pairs import PairLine

NUMBERS = ("PSF_FWHM_USED", "SHIFT_X_USED", "SHIFT_Y_USED", "HSI_CONSISTENCY", "MSI_CONSISTENCY", "GUARD_GAIN")
FEWEST = 5  # pairs from which one can stand out
_LIMIT = 3.5  # robust standard deviations (Iglewicz and Hoaglin 1993)
_LEAST = {
    "PSF_FWHM_USED": 0.05,
    "SHIFT_X_USED": 0.1,
    "SHIFT_Y_USED": 0.1,
}  # spreads below these are the estimate's own noise


@dataclass
class Row:
    """One pair. state: "done", "skipped" (done before) or "failed"; results: of the fusion, by name; message: what went
    wrong.
    """

    line: PairLine
    state: str
    seconds: float = 0.0
    results: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    outlier: tuple[str, ...] = ()

    def number(self, name: str) -> float:
        """A result, NaN where there is none."""
        value = self.results.get(name)
        return float(value) if isinstance(value, (int, float)) else math.nan


def mark_outliers(rows: Sequence[Row]) -> None:
    """Name for each row the numbers that lie far from the others' median, by the median absolute deviation."""
    for name in NUMBERS:
        values = np.array([row.number(name) for row in rows])
        known = values[np.isfinite(values)]
        if known.size < FEWEST:
            continue
        middle = np.median(known)
        spread = max(1.4826 * float(np.median(np.abs(known - middle))), _LEAST.get(name, 0.5))
        for row, value in zip(rows, values):
            if np.isfinite(value) and abs(value - middle) > _LIMIT * spread:
                row.outlier = (*row.outlier, name)


def write_table(path: str | Path, rows: Sequence[Row]) -> None:
    """A CSV, one line a pair."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["hsi", "msi", "mask", "output", "state", "seconds", "USED_METHOD", *NUMBERS, "outlier", "message"])
    for row in rows:
        numbers = [f"{v:.6g}" if math.isfinite(v := row.number(name)) else "" for name in NUMBERS]
        line = row.line
        writer.writerow(
            [line.hsi, line.msi, line.mask or "", line.output.name, row.state, f"{row.seconds:.1f}"]
            + [row.results.get("USED_METHOD", ""), *numbers, " ".join(row.outlier), row.message]
        )
    write_text(path, stream.getvalue(), "TABLE")
