"""From every member to one answer: maps of mean, spread and quantiles, and a row per polygon, without ever holding the
ensemble.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import HSFusionError
from ...rasters.grids.grid import Grid
from ...rasters.reading.metadata import BandInfo
from ...rasters.writing.provenance import write_provenance
from ...rasters.writing.staging import check_outputs
from ...rasters.writing.style import write_ramp_style
from ...rasters.writing.writer import RasterWriter
from ..run.progress import Progress
from .by_algorithm import results_of
from .choice import check_quantiles, check_request, quantity_of
from .polygons import areas_of, tallies
from .quantities import Quantity, interval
from .report import Summary, write_report
from .request import PropagateRequest
from .source import Members, opened_members
from .table import Row, check_table_name, rows_of, write_table

OUTPUTS = ("OUTPUT_MEAN", "OUTPUT_STD", "OUTPUT_QUANTILES", "TABLE", "REPORT")


def run(request: PropagateRequest, progress: Progress) -> dict[str, Any]:
    """The outputs by name. Raises HSFusionError, Cancelled."""
    check_request(request)
    outputs = {role: getattr(request, role.lower()) for role in OUTPUTS}
    for note in check_outputs(outputs, (request.hsi, request.msi, request.mask, request.spectra)):
        progress.info(note)
    if request.table:
        check_table_name(request.table)
    if not request.ensemble:
        check_quantiles(request.quantiles, request.samples)
    with opened_members(request, progress.part(0.0, 0.3)) as drawn:
        check_quantiles(request.quantiles, drawn.count)
        with _answers(request, drawn, progress) as members:
            quantity = quantity_of(request, members)
            areas = areas_of(request.polygons, members.grid, "POLYGONS") if request.polygons else []
            found = tallies(areas, members.count)
            progress.info(
                f"{quantity.whole}: {members.count} members, {members.grid.cols} x {members.grid.rows} pixels."
            )
            progress.phase("Computing the answer of every member")
            record = {"parameters": request.parameters(), "quantity": quantity.whole, **members.about}
            summary = Summary(quantity, members.grid)
            with _writers(request, quantity, members.grid, record) as writers:
                for part in members.parts(progress.part(0.3, 1.0)):
                    values = _values(quantity, part, members, progress)
                    if found and values.shape[1] > 1:
                        raise HSFusionError(
                            "POLYGONS needs an answer of one number per pixel: give one spectrum, or CLASS."
                        )
                    mean, std = _moments(values)
                    writers.write(part.row, part.col, mean, std, values)
                    summary.add(part.row, part.col, mean, std, values)
                    for tally in found:
                        tally.add(part.row, part.col, values[:, 0])
            rows = rows_of(request.what, found, members.grid)
    if request.table:
        write_table(request.table, rows, request, record)
    _say(rows, progress)
    if request.report:
        write_report(request, summary, rows, record)
    return {name: path for name, path in outputs.items() if path}


@contextmanager
def _answers(request: PropagateRequest, drawn: Members, progress: Progress) -> Iterator[Members]:
    """The members themselves, or what an algorithm makes of them."""
    if request.what != "algorithm":
        yield drawn
        return
    with results_of(request, drawn, progress.part(0.3, 0.6)) as results:
        yield results


def _values(quantity: Quantity, part: Any, members: Members, progress: Progress) -> np.ndarray:
    """(n, Q, rows, cols) of one window, member by member: the spectra of one of them are all that is held."""
    values = []
    for number in range(members.count):
        progress.check()
        values.append(quantity(part.member(number)))
    return np.stack(values)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over members, NaN where one of them is."""
    mean = values.mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32), values.std(axis=0, ddof=1, dtype=np.float64).astype(np.float32)


@dataclass
class _Writers:
    """Open rasters by output."""

    request: PropagateRequest
    open: dict[str, RasterWriter] = field(default_factory=dict)

    def write(self, row: int, col: int, mean: np.ndarray, std: np.ndarray, values: np.ndarray) -> None:
        """One window: mean and std (Q, rows, cols), all values (n, Q, rows, cols)."""
        if "OUTPUT_MEAN" in self.open:
            self.open["OUTPUT_MEAN"].write(row, col, mean)
        if "OUTPUT_STD" in self.open:
            self.open["OUTPUT_STD"].write(row, col, std)
        if "OUTPUT_QUANTILES" in self.open:
            shares = interval(values, self.request.quantiles)
            self.open["OUTPUT_QUANTILES"].write(row, col, shares.swapaxes(0, 1).reshape(-1, *shares.shape[2:]))


@contextmanager
def _writers(request: PropagateRequest, quantity: Quantity, grid: Grid, record: dict[str, Any]) -> Iterator[_Writers]:
    names = {
        "OUTPUT_MEAN": [f"mean of {name}" for name in quantity.names],
        "OUTPUT_STD": [f"standard deviation of {name}" for name in quantity.names],
        "OUTPUT_QUANTILES": [f"{name}, quantile {share:g}" for name in quantity.names for share in request.quantiles],
    }

    def finish(path: Path) -> None:
        write_ramp_style(path, band=0, unit=quantity.unit)
        write_provenance(path, record)

    with ExitStack() as stack:
        writers = _Writers(request)
        for role, bands in names.items():
            path = getattr(request, role.lower())
            if path:
                infos = [BandInfo(description=name, unit=quantity.unit) for name in bands]
                writers.open[role] = stack.enter_context(RasterWriter(path, grid, infos, role=role, finish=finish))
        yield writers


def _say(rows: list[Row], progress: Progress) -> None:
    for row in rows[:20]:
        progress.info(
            f"{row.polygon}, {row.statistic}: {row.mean:.5g} (90 % interval {row.low:.5g} to {row.high:.5g})."
        )
    if len(rows) > 20:
        progress.info(f"{len(rows) - 20} more rows stand in TABLE and REPORT.")
