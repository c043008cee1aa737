"""What an assessment without a reference writes: a table of the bands and a report."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....hsfusion_plugin import reports
from ....models.observation import Sampling, Upsampling
from ...rasters.grids.grid import Grid
from ...rasters.reading.metadata import BandInfo
from ...rasters.reading.raster import Raster
from ...rasters.writing.colour import colour_bands
from ...rasters.writing.provenance import plain_json
from ...rasters.writing.staging import write_text
from ...rasters.writing.style import write_ramp_style
from ...rasters.writing.writer import RasterWriter
from ..estimate_sensor import sensor_quantities
from ..fuse.outputs import msi_ranges
from ..pair.estimates import Estimates
from ..pair.pair import Pair

if TYPE_CHECKING:
    from .job import Assessment

MEANING = {
    "HSI_CONSISTENCY": (
        "Agreement with the HSI",
        "dB",
        "PSNR, 10 log10(P² / MSE over all bands and pixels), of D X against Y; P = the maximum of Y. D blurs the fused "
        "image X with the PSF and "
        "samples it on the HSI's grid, the border reflected as in the simulation; Y is the HSI. The noise of Y sets "
        "the ceiling.",
    ),
    "MSI_CONSISTENCY": (
        "Agreement with the MSI",
        "dB",
        "The same of R X + o against the MSI Z; P = the maximum of Z. R and o are the response and offset that explain "
        "Z by Y at the HSI's "
        "pixels.",
    ),
    "D_LAMBDA": (
        "D_lambda (Khan)",
        "",
        "Spectral distortion, 1 − Q2n(D X, Y), Q2n over 32 × 32 HSI pixels (Khan et al. 2009); 0 is best.",
    ),
    "D_S": (
        "D_S",
        "",
        "Spatial distortion, mean over bands i of |Q(X_i, P_i) − Q(Y_i, D P_i)|; P_i is the combination of MSI bands "
        "that explains Y_i best, Q "
        "the quality index UIQI in sliding windows of 8 × 8 HSI pixels on both grids (after Alparone et al. 2008); 0 "
        "is best.",
    ),
    "HQNR": (
        "HQNR",
        "",
        "(1 − D_lambda)(1 − D_S) (Aiazzi et al. 2014); 1 is best, and an interpolated image also scores well on "
        "D_lambda.",
    ),
}


def write_table(path: str, found: Assessment, pair: Pair, parameters: Mapping[str, Any]) -> None:
    """.json holds everything, .csv one row for all bands, then one per band."""
    rows = []
    for place, band in enumerate(found.bands):
        row: dict[str, Any] = {"band": band + 1}
        if pair.hsi.wavelengths is not None:
            row["wavelength_nm"] = float(pair.hsi.wavelengths[band])
        row["rmse_hsi"] = float(found.rmse[place])
        row["q_fine"], row["q_coarse"] = float(found.quality_fine[place]), float(found.quality_coarse[place])
        rows.append(row)
    if Path(path).suffix.lower() == ".csv":
        write_text(path, _csv({"band": "all", **{k.lower(): v for k, v in found.numbers().items()}}, rows), "TABLE")
        return
    record = {
        "scores": found.numbers(),
        "conventions": {name: text for name, (_, _, text) in MEANING.items()},
        "pixels_compared": found.pixels,
        "bands": rows,
        "parameters": dict(parameters),
        "software": reports.software_versions(),
    }
    write_text(path, json.dumps(plain_json(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "TABLE")


def _csv(whole: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    columns = list(dict.fromkeys([*rows[0], *whole]))
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in [whole, *rows]:
        writer.writerow(
            {k: ("" if math.isnan(v) else f"{v:.10g}") if isinstance(v, float) else v for k, v in row.items()}
        )
    return stream.getvalue()


def write_map(path: str, found: Assessment, fused: Raster, window: tuple[range, range], sampling: Sampling) -> None:
    """INCONSISTENCY on the fused raster's grid: band 1 against the HSI, each pixel with the value of the HSI pixel it
    lies in; band 2 against the MSI.
    """
    place = found.place
    index, inside = [], []
    for pixels, coarse, shift in (
        (window[0], place.coarse_rows, sampling.shift_y),
        (window[1], place.coarse_cols, sampling.shift_x),
    ):
        number = np.floor((np.arange(pixels.start, pixels.stop) + 0.5 - shift) / sampling.ratio).astype(int)
        number -= coarse.start
        inside.append((number >= 0) & (number < len(coarse)))
        index.append(np.clip(number, 0, len(coarse) - 1))
    of_hsi = np.where(np.logical_and.outer(*inside), found.inconsistency[np.ix_(*index)], np.nan)
    bands = [
        BandInfo(description="RMS over bands of D X - Y (HSI units)"),
        BandInfo(description="RMS over bands of R X + o - Z (MSI units)"),
    ]
    writer = RasterWriter(
        path,
        Grid(*of_hsi.shape, tuple(fused.geotransform), fused.crs_wkt),
        bands,
        role="INCONSISTENCY",
        finish=write_ramp_style,
    )
    with writer:
        writer.write(0, 0, np.stack([of_hsi, found.msi_inconsistency]).astype(np.float32))


def write_report(
    path: str,
    parameters: dict[str, Any],
    found: Assessment,
    fused: Raster,
    window: tuple[range, range],
    pair: Pair,
    estimates: Estimates,
) -> None:
    """REPORT: the numbers with their definitions, pictures, the map of the inconsistency, spectra of the HSI and of D
    X.
    """
    colours = list(colour_bands(pair.hsi, pair.hsi_bands))
    layers = [pair.hsi_bands.index(b) for b in colours]
    sampling, place = estimates.sampling, found.place
    step = max(1, -(-max(fused.rows, fused.cols) // 640))
    up = Upsampling(sampling, pair.alignment.scene_shape, *window, place.coarse_rows, place.coarse_cols)
    interpolated = up(found.hsi[layers])[:, ::step, ::step]
    picture = fused.thumbnail(colours, 640)
    command = {**parameters}
    for name in ("FUSED", "HSI", "MSI", "SRF_FILE", "INCONSISTENCY", "REPORT", "TABLE"):
        if command[name] and (name in ("INCONSISTENCY", "REPORT", "TABLE") or Path(str(command[name])).exists()):
            command[name] = str(Path(str(command[name])).absolute())
    report = reports.FusionReport(
        title="Assessment of a fused image without a reference",
        summary=f"{Path(parameters['FUSED']).name} against {Path(parameters['HSI']).name} and {Path(parameters['MSI']).name}, "  # noqa: E501
        f"from which it was made: {len(found.bands)} bands, {found.pixels} HSI pixels compared.",
        origin=reports.Origin(parameters, reports.repeat_command("assess", command), reports.software_versions()),
        estimates=sensor_quantities(pair, estimates),
        numbers=[
            reports.Quantity(MEANING[name][0], value, MEANING[name][1], MEANING[name][2])
            for name, value in found.numbers().items()
        ],
        pictures=(
            reports.Picture("HSI, interpolated", interpolated, "hsi"),
            reports.Picture("Fused", picture, "hsi", "stretched as the interpolated HSI"),
        ),
        maps=(
            reports.Map(
                "Inconsistency with the HSI",
                found.inconsistency,
                "HSI units",
                note="root mean square over bands of D X − Y, per HSI pixel",
            ),
            reports.Map(
                "Inconsistency with the MSI",
                found.msi_inconsistency,
                "MSI units",
                note="root mean square over bands of R X + o − Z, per fused pixel",
            ),
        ),
        spectra=_spectra(found, pair),
        wavelengths_nm=pair.hsi.wavelengths,
        msi_bands=msi_ranges(pair),
        warnings=estimates.warnings,
    )
    reports.write_fusion_report(path, report)


def _spectra(found: Assessment, pair: Pair) -> list[reports.PixelSpectra]:
    """HSI pixels from dark to bright, and the least consistent one."""
    known = np.isfinite(found.inconsistency)
    brightness = np.where(known, found.hsi.mean(axis=0), np.nan)
    pixels = [(spot, "") for spot in reports.pick_pixels(brightness)]
    worst = np.unravel_index(int(np.nanargmax(found.inconsistency)), known.shape)
    pixels.append(((int(worst[0]), int(worst[1])), ", the least consistent"))
    result = []
    for (row, col), remark in pixels:
        lines = {}
        for name, cube in (("HSI", found.hsi), ("fused, degraded", found.low)):
            lines[name] = np.full(pair.hsi.count, np.nan)
            lines[name][found.bands] = cube[:, row, col]
        title = f"HSI column {col + 1}, row {row + 1}{remark}"
        result.append(reports.PixelSpectra(title, lines, (col + 0.5) / known.shape[1], (row + 0.5) / known.shape[0]))
    return result
