"""The report of an answer with its uncertainty, for readers who know no statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ....hsfusion_plugin import reports
from ...rasters.grids.grid import Grid
from ...reports.propagation import PropagationReport, write_propagation_report
from .quantities import Quantity
from .request import PropagateRequest
from .table import METHOD, Row

LARGEST = 512  # pixels of a map's longer side
BINS = 24
MOST_ROWS = 200


class Summary:
    """What the report shows of all pixels: small maps of the first quantity, and how many pixels each member has in
    each bin of values.
    """

    def __init__(self, quantity: Quantity, grid: Grid) -> None:
        self.quantity = quantity
        self.step = max(1, -(-max(grid.rows, grid.cols) // LARGEST))
        shape = (-(-grid.rows // self.step), -(-grid.cols // self.step))
        self.mean, self.std = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        self.edges: np.ndarray | None = None
        self.counts: np.ndarray | None = None

    def add(self, row: int, col: int, mean: np.ndarray, std: np.ndarray, values: np.ndarray) -> None:
        """One window: mean, std (Q, rows, cols), values (n, Q, rows, cols)."""
        first_row, first_col = -row % self.step, -col % self.step
        for small, full in ((self.mean, mean[0]), (self.std, std[0])):
            part = full[first_row :: self.step, first_col :: self.step]
            top, left = (row + first_row) // self.step, (col + first_col) // self.step
            small[top : top + part.shape[0], left : left + part.shape[1]] = part
        known = values[:, 0][np.isfinite(values[:, 0])]
        if self.edges is None and known.size:
            low, high = np.quantile(known, (0.005, 0.995))
            room = max(0.25 * (high - low), 1e-6)
            self.edges = np.linspace(low - room, high + room, BINS + 1)
            self.counts = np.zeros((len(values), BINS))
        if self.edges is not None:
            for number, layer in enumerate(values[:, 0]):
                inside = np.clip(layer[np.isfinite(layer)], self.edges[0], self.edges[-1])
                self.counts[number] += np.histogram(inside, self.edges)[0]

    def histogram(self) -> list[tuple[float, float, float, float, float]]:
        """(from, to, share of the pixels, the least and the largest of the members), in percent."""
        if self.edges is None or self.counts is None:
            return []
        shares = 100 * self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return [
            (float(a), float(b), float(s.mean()), float(s.min()), float(s.max()))
            for a, b, s in zip(self.edges[:-1], self.edges[1:], shares.T)
        ]


def write_report(request: PropagateRequest, summary: Summary, rows: list[Row], record: dict[str, Any]) -> None:
    """Write REPORT."""
    quantity = summary.quantity
    ensemble = record.get("ensemble", {})
    source = request.ensemble or f"{Path(request.hsi).name} and {Path(request.msi).name}"
    count = ensemble.get("members", request.samples)
    name = quantity.names[0]
    maps = [
        reports.Map(f"{name}: mean of the members", summary.mean, quantity.unit, *_limits(summary.mean)),
        reports.Map(f"{name}: standard deviation", summary.std, quantity.unit, 0.0, None),
    ]
    report = PropagationReport(
        title="An answer with its uncertainty",
        summary=f"{quantity.whole}, of {count} equally likely versions of {source}.",
        origin=reports.Origin(
            request.parameters(),
            reports.repeat_command("propagate", request.parameters()),
            reports.software_versions(),
            {key: record[key] for key in ("method", "model", "backend", "ensemble") if key in record},
        ),
        maps=maps,
        histogram=summary.histogram(),
        quantity=name,
        rows=rows[:MOST_ROWS],
        rows_left_out=max(0, len(rows) - MOST_ROWS),
        interval=METHOD,
        warnings=record.get("warnings", ()),
    )
    write_propagation_report(request.report, report)


def _limits(values: np.ndarray) -> tuple[float, float | None]:
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, None
    low, high = np.quantile(known, (0.02, 0.98))
    return float(low), float(max(high, low + 1e-6))
