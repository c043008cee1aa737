"""From a pair to the HSI on the MSI's place: only moved, not sharpened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....hsfusion_plugin import reports
from ....models.observation.axis import coarse_centres
from ....models.scene.sensors.displacement.moved import interpolated_at, seen_by
from ....models.version import VERSION
from ...rasters.grids.grid import Grid
from ...rasters.writing.provenance import write_provenance
from ...rasters.writing.staging import check_writable
from ...rasters.writing.style import write_style
from ...rasters.writing.writer import RasterWriter
from ..pair import displacement
from ..pair.estimates import Estimates, estimate
from ..pair.pair import Pair
from ..request import PairRequest
from ..run.progress import Progress
from .control_points import control_points, write_control_points

STRIP = 64  # HSI rows that are moved at a time
AROUND = 3  # HSI pixels around what a strip sees


@dataclass(frozen=True)
class RegisterRequest(PairRequest):
    """The parameters of `hsfusion:register`; output: the moved HSI, gcps: a .points file."""

    output: str | None = None
    gcps: str | None = None
    report: str | None = None

    def left_out(self) -> tuple[str, ...]:
        return ("extent",)


def run(request: RegisterRequest, progress: Progress) -> dict[str, Any]:
    """Estimate the displacement, move the HSI, write the control points; returns the outputs by name. Raises
    HSFusionError, Cancelled.
    """
    inputs = [request.hsi, request.msi, request.mask]
    for role, path in (("OUTPUT", request.output), ("GCPS", request.gcps), ("REPORT", request.report)):
        if path:
            check_writable(path, role=role, inputs=[one for one in inputs if one])
    pair = Pair.open(request, progress)
    estimates = estimate(pair, request, progress.part(0.0, 0.7))
    if said := displacement.sentence(estimates.geometry):
        progress.info(said)
    if request.output:
        progress.phase("Moving the HSI")
        _write_moved(request, pair, estimates, progress.part(0.7, 0.95))
    if request.gcps:
        write_control_points(request.gcps, request.hsi, pair, control_points(pair, estimates))
    if request.report:
        reports.write_displacement_report(request.report, _report(request, pair, estimates))
    progress.step(1.0)
    south, east = estimates.shift
    files = {"OUTPUT": request.output, "GCPS": request.gcps, "REPORT": request.report}
    return {
        "SHIFT_X": east,
        "SHIFT_Y": south,
        **displacement.outputs(estimates.geometry),
        **{name: path for name, path in files.items() if path},
    }


def _write_moved(request: RegisterRequest, pair: Pair, estimates: Estimates, progress: Progress) -> None:
    """The HSI's bands that take part, on its own grid over the overlap, each pixel with what the HSI saw there."""
    a = pair.alignment
    record = _record(request, estimates)
    bands = [pair.hsi.bands[n] for n in pair.hsi_bands]

    def finish(path: Path) -> None:
        write_style(path)
        write_provenance(path, record)

    rows = a.coarse_shape[0]
    with RasterWriter(
        request.output or "",
        Grid(*a.coarse_shape, _geotransform(pair), a.crs_wkt),
        bands,
        finish=finish,
        listener=progress,
    ) as writer:
        for done, (strip, values) in enumerate(_strips(pair, estimates)):
            progress.check()
            writer.write(strip.start, 0, values)
            progress.step((done + 1) * STRIP / max(rows, STRIP))


def _strips(pair: Pair, estimates: Estimates) -> Iterator[tuple[range, np.ndarray]]:
    """Rows of the moved HSI with their values (L, rows, cols), NaN where the HSI saw nothing."""
    a, s = pair.alignment, estimates.sampling
    phase = (a.phase_y, a.phase_x)
    cols = coarse_centres(range(a.coarse_shape[1]), s.ratio, phase[1])
    for start in range(0, a.coarse_shape[0], STRIP):
        strip = range(start, min(start + STRIP, a.coarse_shape[0]))
        numbers = seen_by(s, coarse_centres(strip, s.ratio, phase[0]), cols, a.scene_shape)
        window = [range(int(np.floor(n.min())) - AROUND, int(np.ceil(n.max())) + AROUND + 1) for n in numbers]
        y, mask = pair.read_hsi(*window)
        at = numbers - np.array([window[0].start, window[1].start])[:, None, None]
        yield strip, interpolated_at(y, mask, at)


def _geotransform(pair: Pair) -> tuple[float, ...]:
    x, dx, _, y, _, dy = pair.hsi.geotransform
    a = pair.alignment
    return (x + a.coarse_cols.start * dx, dx, 0.0, y + a.coarse_rows.start * dy, 0.0, dy)


def _record(request: RegisterRequest, estimates: Estimates) -> dict[str, Any]:
    south, east = estimates.shift
    return {
        "version": VERSION,
        "method": "register",
        "parameters": request.parameters(),
        "shift": {"y": south, "x": east, "unit": "MSI pixels", "source": estimates.shift_source},
        "displacement": displacement.record(estimates.geometry),
        "software": reports.software_versions(),
    }


def _report(request: RegisterRequest, pair: Pair, estimates: Estimates) -> reports.DisplacementReport:
    south, east = estimates.shift
    shift = reports.Quantity("Shift", f"{east:.2f} east, {south:.2f} south", "MSI pixels", estimates.shift_source)
    parameters = request.parameters()
    command = {
        name: str(Path(str(value)).absolute())
        if value and name in ("HSI", "MSI", "MASK", "OUTPUT", "GCPS", "REPORT") and Path(str(value)).parent.exists()
        else value
        for name, value in parameters.items()
    }
    return reports.DisplacementReport(
        title="Where the hyperspectral image lies",
        summary=f"How far {Path(request.hsi).name} lies from where its grid says, against {Path(request.msi).name}.",
        origin=reports.Origin(parameters, reports.repeat_command("register", command), reports.software_versions()),
        estimates=[shift, *displacement.quantities(estimates.geometry)],
        field=displacement.figure(pair, estimates.geometry),
        warnings=estimates.warnings,
    )
