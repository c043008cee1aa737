"""Evaluation: a fused raster against its reference, to scores, maps, a table and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ....hsfusion_plugin import reports
from ....models.metrics import Scores, evaluate_cubes
from ...errors import HSFusionError
from ...rasters.grids.grid import Grid
from ...rasters.reading.metadata import BandInfo
from ...rasters.reading.raster import Raster
from ...rasters.reading.unpack import unpacked
from ...rasters.writing.colour import colour_bands
from ...rasters.writing.sidecars import written_sidecar
from ...rasters.writing.staging import check_outputs
from ...rasters.writing.style import write_ramp_style
from ...rasters.writing.writer import RasterWriter
from ..run.progress import Progress
from .shared_grid import SharedGrid, shared_grid
from .shared_pair import SharedPair
from .table import check_table_name, write_table


@dataclass(frozen=True)
class EvaluationRequest:
    """One evaluation; the fields are the parameters of `hsfusion:evaluate`. peak None or 0 = the reference's
    maximum.
    """

    reference: str
    fused: str
    ratio: float = 4.0
    peak: float = 0.0
    sam_map: str | None = None
    error_map: str | None = None
    report: str | None = None
    table: str | None = None

    def parameters(self) -> dict[str, object]:
        """The parameters under their public names."""
        return {name.upper(): value for name, value in asdict(self).items()}


def evaluate_rasters(request: EvaluationRequest, progress: Progress | None = None) -> Scores:
    """Compare two rasters on the same grid and write what is asked for.

    Bad bands of either raster and nodata of either take no part and are counted. HSFusionError, one sentence each:
    another size, band count, grid or CRS, no valid pixel in common, a ratio below 1, outputs that cannot be written.
    """
    progress = progress or Progress()
    outputs = {
        "SAM_MAP": request.sam_map,
        "ERROR_MAP": request.error_map,
        "REPORT": request.report,
        "TABLE": request.table,
    }
    for note in check_outputs(outputs, [request.reference, request.fused]):
        progress.info(note)
    if request.table:
        check_table_name(request.table)
    if not request.ratio >= 1:
        raise HSFusionError(
            f"RATIO is {request.ratio:g}; it is the HSI pixel size divided by the MSI pixel size, so at least 1 (4, "
            "not 0.25)."
        )
    reference, fused = Raster.open(request.reference, "REFERENCE"), Raster.open(request.fused, "FUSED")
    grid = shared_grid(reference, fused, request.ratio)
    reference, fused = unpacked(reference, progress), unpacked(fused, progress)
    pair = SharedPair.of(reference, fused, grid)
    progress.phase("Computing the metrics")
    listener = progress.part(0.0, 0.8)
    scores = evaluate_cubes(pair.reference, pair.fused, request.ratio, request.peak or None, listener=listener)
    warnings = [*grid.warnings, *_doubts(scores)]
    scores = replace(
        scores,
        bands=pair.index[scores.bands],
        bands_total=reference.count,
        bands_excluded=reference.count - len(scores.bands),
    )
    for warning in warnings:
        progress.warn(warning)
    progress.step(0.8)
    progress.phase("Writing")
    if request.sam_map:
        _write_map(request.sam_map, scores.sam_map, "SAM (degrees)", "degrees", grid, "SAM_MAP")
    if request.error_map:
        _write_map(request.error_map, scores.error_map, f"RMSE over bands ({pair.unit})", pair.unit, grid, "ERROR_MAP")
    if request.table:
        write_table(request.table, scores, reference.wavelengths, request.parameters())
    progress.step(0.9)
    if request.report:
        reports.write_evaluation_report(request.report, _report(request, scores, pair, reference, fused, warnings))
    progress.step(1.0)
    return scores


def _doubts(scores: Scores) -> list[str]:
    """Warnings about results that look like a slip rather than an error of fusion."""
    doubts = []
    fused_mean = float(np.median(scores.mean_bands + scores.bias_bands))
    reference_mean = float(np.median(scores.mean_bands))
    if reference_mean > 0 and not 0.2 < fused_mean / reference_mean < 5:
        doubts.append(
            f"The fused image's values are {fused_mean / reference_mean:.3g} times the reference's: check that both "
            "have the same units."
        )
    if scores.pixels_missing:
        doubts.append(f"{scores.pixels_missing} pixels that the reference has are nodata in the fused image.")
    if scores.pixels_zero:
        doubts.append(
            f"{scores.pixels_zero} pixels with an all-zero spectrum take no part in SAM: is 0 their nodata value?"
        )
    return doubts


def _write_map(path: str, values: np.ndarray, description: str, unit: str, grid: SharedGrid, role: str) -> None:
    info = [BandInfo(description=description, unit=unit)]
    place = Grid(*values.shape, grid.geotransform, grid.crs_wkt)
    with RasterWriter(path, place, info, role=role, finish=write_ramp_style) as writer:
        writer.write(0, 0, values[None].astype(np.float32))


def _report(
    request: EvaluationRequest, scores: Scores, pair: SharedPair, reference: Raster, fused: Raster, warnings: list[str]
) -> reports.EvaluationReport:
    colours = colour_bands(reference, [int(b) for b in scores.bands])
    place = {int(band): i for i, band in enumerate(pair.index)}
    layers = [place[band] for band in colours]
    if reference.wavelengths is not None:
        shown = "bands at " + ", ".join(f"{reference.wavelengths[band]:.0f}" for band in colours) + " nm"
    else:
        shown = "band " + ", ".join(str(band + 1) for band in colours)
    return reports.EvaluationReport(
        title="Evaluation of a fused image",
        summary=f"{Path(request.fused).name} compared with the reference {Path(request.reference).name}.",
        origin=reports.Origin(request.parameters(), _command(request), reports.software_versions()),
        scores=scores,
        pictures=(
            reports.Picture("Reference", pair.reference.picture(layers), note=f"{shown}, stretched from 2 to 98 %"),
            reports.Picture("Fused", pair.fused.picture(layers), note="same bands, same stretch"),
        ),
        spectra=_spectra(scores, pair, reference),
        wavelengths_nm=reference.wavelengths,
        msi_bands=msi_ranges(fused),
        unit=pair.unit,
        warnings=tuple(warnings),
    )


def _command(request: EvaluationRequest) -> str:
    """The command that repeats the run; outputs are named by their absolute path, so that it works from any folder."""
    parameters: dict[str, object] = request.parameters()
    for name in ("REFERENCE", "FUSED", "SAM_MAP", "ERROR_MAP", "REPORT", "TABLE"):
        value = parameters[name]
        if value and (name not in ("REFERENCE", "FUSED") or Path(str(value)).exists()):
            parameters[name] = str(Path(str(value)).absolute())
    return reports.repeat_command("evaluate", parameters)


def _spectra(scores: Scores, pair: SharedPair, reference: Raster) -> list[reports.PixelSpectra]:
    """Pixels from dark to bright, and the one with the largest spectral angle."""
    brightness = np.where(np.isnan(scores.sam_map), np.nan, scores.norm_map)
    pixels = [(place, "") for place in reports.pick_pixels(brightness)]
    if np.isfinite(scores.sam_map).any():
        worst = np.unravel_index(np.nanargmax(scores.sam_map), scores.sam_map.shape)
        pixels.append(((int(worst[0]), int(worst[1])), ", the largest spectral angle"))
    result = []
    for (row, col), remark in pixels:
        lines = {}
        for name, cube in (("reference", pair.reference), ("fused", pair.fused)):
            lines[name] = np.full(reference.count, np.nan)
            lines[name][pair.index] = cube.window(slice(row, row + 1), slice(col, col + 1))[:, 0, 0]
        angle = scores.sam_map[row, col]
        title = f"column {col + 1}, row {row + 1} (SAM {angle:.2f}°{remark})"
        x, y = (col + 0.5) / scores.sam_map.shape[1], (row + 0.5) / scores.sam_map.shape[0]
        result.append(reports.PixelSpectra(title, lines, x, y))
    return result


def msi_ranges(fused: Raster) -> tuple[tuple[str, float, float], ...]:
    """(name, from nm, to nm) of the MSI's bands, from the provenance beside a raster that HSFusion fused; () if
    unknown.
    """
    try:
        path = Path(fused.path)
        beside = written_sidecar(path, ".json") or path.with_suffix(".json")
        record = json.loads(beside.read_text(encoding="utf-8"))
        ranges = record["msi_bands"] if isinstance(record, Mapping) else ()
        return tuple((str(name), float(low), float(high)) for name, low, high in ranges)
    except (OSError, ValueError, KeyError, TypeError):
        return ()
