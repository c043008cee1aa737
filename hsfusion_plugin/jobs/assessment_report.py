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

from ...models.observation import Upsampling
from .. import reports
from ..rasters.colour import colour_bands
from ..rasters.provenance import plain_json
from ..rasters.raster import Raster
from ..rasters.staging import write_text
from .estimation import Estimates
from .outputs import msi_ranges
from .pair import Pair
from .sensor import sensor_quantities

if TYPE_CHECKING:
    from .assessment import Assessment

MEANING = {
    "HSI_CONSISTENCY": ("Agreement with the HSI", "dB", "PSNR of the fused image, blurred and sampled as the HSI was, against the HSI; peak = its maximum."),
    "MSI_CONSISTENCY": ("Agreement with the MSI", "dB", "PSNR of the fused image, seen through the estimated SRF, against the MSI; peak = its maximum."),
    "D_LAMBDA": ("D_lambda (Khan)", "", "Spectral distortion: 1 - Q2n of the fused image, blurred and sampled, against the HSI; 0 is best."),
    "D_S": ("D_S", "", "Spatial distortion: mean over bands of |Q with the MSI's best combination, fine - the same, coarse|; 0 is best."),
    "HQNR": ("HQNR", "", "(1 - D_lambda)(1 - D_S); 1 is best, and an interpolated image also scores well on D_lambda."),
}  # fmt: skip


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


def write_report(
    path: str,
    parameters: dict[str, Any],
    found: Assessment,
    fused: Raster,
    window: tuple[range, range],
    pair: Pair,
    estimates: Estimates,
) -> None:
    """REPORT: the numbers with their definitions, pictures, the map of the inconsistency, spectra of the HSI and of D X."""
    colours = list(colour_bands(pair.hsi, pair.hsi_bands))
    layers = [pair.hsi_bands.index(b) for b in colours]
    sampling, place = estimates.sampling, found.place
    step = max(1, -(-max(fused.rows, fused.cols) // 640))
    up = Upsampling(sampling, pair.alignment.scene_shape, *window, place.coarse_rows, place.coarse_cols)
    interpolated = up(found.hsi[layers])[:, ::step, ::step]
    picture = fused.thumbnail(colours, 640)
    command = {**parameters}
    for name in ("FUSED", "HSI", "MSI", "SRF_FILE", "REPORT", "TABLE"):
        if command[name] and (name in ("REPORT", "TABLE") or Path(str(command[name])).exists()):
            command[name] = str(Path(str(command[name])).absolute())
    report = reports.FusionReport(
        title="Assessment of a fused image without a reference",
        summary=f"{Path(parameters['FUSED']).name} against {Path(parameters['HSI']).name} and {Path(parameters['MSI']).name}, "
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
                "raster units",
                note="root mean square over bands, per HSI pixel",
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
