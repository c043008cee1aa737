"""What a comparison of methods writes: a table and a report."""

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
from ....models.scene.methods.names import FAMILIES, family
from ...rasters.writing.provenance import plain_json
from ...rasters.writing.staging import write_text
from ..estimate_sensor import sensor_quantities
from ..fuse.outputs import msi_ranges
from ..pair.estimates import Estimates
from ..pair.pair import Pair
from .latex import Line, latex_table

if TYPE_CHECKING:
    from .job import Comparison, Row

COLUMNS = {
    "psnr": reports.Column("PSNR", "dB", "higher", "10 log10(P² / MSE over all bands and pixels), P = the HSI's maximum."),  # noqa: E501
    "nrmse": reports.Column("RMSE / spread", "", "lower", "RMSE of each band in units of its standard deviation, root mean square over the bands; CRITERION rmse ranks by it."),  # noqa: E501
    "sam": reports.Column("SAM", "°", "lower", "Mean angle between the spectra, in degrees; zero spectra excluded."),
    "ergas": reports.Column("ERGAS", "", "lower", "100 / ratio × root of the band mean of (RMSE / mean)², ratio = HSI pixel / MSI pixel (> 1)."),  # noqa: E501
    "ssim": reports.Column("SSIM", "", "higher", "Band mean; 11 × 11 Gaussian window of σ 1.5, data range = P."),
    "q2n": reports.Column("Q2n", "", "higher", "Mean over 32 × 32 blocks of the hypercomplex quality index of the whole spectrum."),  # noqa: E501
    "rmse_beyond_noise": reports.Column("RMSE beyond noise", "", "lower", "Root of the mean square error less the HSI's own noise, in the raster's units."),  # noqa: E501
    "seconds": reports.Column("Time", "s", "", "Seconds for the compared pixels on this computer, fit included."),
    "whole_scene_seconds": reports.Column("Whole scene, about", "s", "", "The same for as many pixels as the whole fused scene has."),  # noqa: E501
    "memory_mb": reports.Column("Memory", "MB", "", "Peak of this process beyond what it held before; a backend's own is not in it."),  # noqa: E501
}  # fmt: skip

DECIMALS = {
    "psnr": 2,
    "nrmse": 4,
    "sam": 3,
    "ergas": 3,
    "ssim": 4,
    "q2n": 4,
    "seconds": 1,
    "whole_scene_seconds": 1,
    "memory_mb": 0,
}
# of a table in LaTeX: column -> its head
LATEX = {"psnr": "PSNR (dB)", "sam": "SAM (deg)", "ergas": "ERGAS", "ssim": "SSIM", "q2n": "Q2n", "seconds": "Time (s)"}
LATEX["memory_mb"] = "Memory (MB)"


def values_of(row: Row, found: Comparison) -> dict[str, float]:
    """The table's numbers of a method, by column; {} where it has none."""
    if row.scores is None:
        return {}
    s = row.scores
    numbers = (
        s.PSNR,
        s.NRMSE,
        s.SAM,
        s.ERGAS,
        s.SSIM,
        s.Q2N,
        row.excess,
        row.seconds,
        row.seconds * found.growth,
        row.memory / 1e6,
    )
    return dict(zip(COLUMNS, numbers))


def _shown(name: str, value: float) -> str:
    if name in DECIMALS and not math.isnan(value):
        return f"{value:.{DECIMALS[name]}f}"
    return reports.number(value)


def write_table(path: str, found: Comparison, pair: Pair, parameters: Mapping[str, Any]) -> None:
    """.json holds everything, RMSE per band included; .csv one row per method; .tex a table grouped by family."""
    rows = [
        {
            "rank": number + 1 if row.scores else None,
            "method": row.method,
            "family": family(row.method),
            **values_of(row, found),
            "reason": row.reason,
        }
        for number, row in enumerate(found.rows)
    ]
    if Path(path).suffix.lower() == ".csv":
        stream = io.StringIO()
        writer = csv.DictWriter(
            stream, ["rank", "method", "family", *COLUMNS, "reason"], restval="", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
        write_text(path, stream.getvalue(), "TABLE")
        return
    if Path(path).suffix.lower() == ".tex":
        write_text(path, _latex(found, pair), "TABLE")
        return
    record = {
        "best": found.best,
        "found": found.sentence(),
        "methods": [
            {**row, "rmse_bands": None if r.scores is None else r.scores.rmse_bands} for row, r in zip(rows, found.rows)
        ],
        "bands": [b + 1 for b in pair.hsi_bands],
        "wavelengths_nm": pair.wavelengths,
        "conventions": {name: column.meaning for name, column in COLUMNS.items()},
        "peak": found.peak,
        "psnr_of_the_noise": found.ceiling_db,
        "hsi_pixels_compared": found.pixels_compared,
        "share_of_the_scene": found.share,
        "blocks": found.blocks,
        "models": found.models,
        "parameters": dict(parameters),
        "software": reports.software_versions(),
    }
    write_text(path, json.dumps(plain_json(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "TABLE")


def _latex(found: Comparison, pair: Pair) -> str:
    lines = []
    for row in found.rows:
        values = values_of(row, found)
        cells = [_shown(name, values[name]) if name in values else "" for name in LATEX]
        lines.append(Line(family(row.method), row.method, cells, row.method == found.best))
    order = ["", *FAMILIES]
    lines.sort(key=lambda line: order.index(line.family))
    bands = f"{len(pair.hsi_bands)} HSI and {len(pair.msi_bands)} MSI bands"
    return latex_table(
        list(LATEX.values()), lines, f"Methods at reduced resolution (Wald's protocol), {bands}; best in bold."
    )


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else value


def write_report(path: str, parameters: dict[str, Any], found: Comparison, pair: Pair, estimates: Estimates) -> None:
    """REPORT: ranked table, errors along the spectrum, pictures and error maps, spectra."""
    worked = [row for row in found.rows if row.scores is not None]
    command = {**parameters}
    for name in ("HSI", "MSI", "MASK", "SRF_FILE", "REPORT", "TABLE"):
        if command[name] and (name in ("REPORT", "TABLE") or Path(str(command[name])).exists()):
            command[name] = str(Path(str(command[name])).absolute())
    blocks = f", in {found.blocks} blocks spread over it" if found.blocks > 1 else ""
    by_itself = (
        "cnmf and hysure, which work on the whole scene, solved each block by itself. " if found.blocks > 1 else ""
    )
    report = reports.ComparisonReport(
        title="Methods compared on a pair of images",
        summary=f"{Path(parameters['HSI']).name} and {Path(parameters['MSI']).name}, both degraded by their ratio of "
        f"{estimates.sampling.ratio:g}, fused, and compared with the hyperspectral image as it is (Wald's protocol).",
        found=f"{found.sentence()} BEST is the name that the fusion takes as MODEL.",
        how=f"Compared: {found.pixels_compared} HSI pixels, {100 * found.share:.0f} % of the scene{blocks}. Both images were degraded with the PSF "  # noqa: E501
        "estimated below, and their own noise was brought back to its level. The reference is the HSI, noise included: "
        "an error of that noise alone "
        f"is {found.ceiling_db:.1f} dB, the ceiling of this table. {by_itself}It is a check at "
        "reduced resolution, no promise at full resolution.",
        origin=reports.Origin(
            parameters,
            reports.repeat_command("compare", command),
            reports.software_versions(),
            {"models": found.models} if found.models else {},
        ),
        columns=list(COLUMNS.values()),
        methods=[
            reports.ComparedMethod(
                row.method,
                [_shown(name, value) for name, value in values_of(row, found).items()],
                row.reason,
                family(row.method) or "the HSI alone",
                row.method == found.best,
            )
            for row in found.rows
        ],
        rmse={row.method: _all_bands(pair, row.scores.rmse_bands) for row in worked},
        noise=_all_bands(pair, estimates.scene.subspace.band_noise),
        pictures=_pictures(found, worked),
        spectra=_spectra(found, worked, pair),
        estimates=sensor_quantities(pair, estimates),
        wavelengths_nm=pair.hsi.wavelengths,
        msi_bands=msi_ranges(pair),
        warnings=[*found.warnings, *estimates.warnings],
    )
    reports.write_comparison_report(path, report)


def _pictures(found: Comparison, worked: list[Row]) -> list[tuple[reports.Picture, reports.Map | None]]:
    """The reference, then each method with its error; maps end where 98 % of the best three lie below twice over, so
    that they can be told apart.
    """
    errors = np.concatenate([row.error[np.isfinite(row.error)] for row in worked[:3]])
    high = 1.5 * float(np.percentile(errors, 98))
    pictures: list[tuple[reports.Picture, reports.Map | None]] = [
        (reports.Picture("HSI, the reference", found.truth), None)
    ]
    for row in worked:
        chart = reports.Map("RMSE over bands", row.error, "raster units", high=high)
        pictures.append((reports.Picture(row.method, row.image), chart))
    return pictures


def _spectra(found: Comparison, worked: list[Row], pair: Pair) -> list[reports.PixelSpectra]:
    """The reference, interpolation and the best two methods at dark, middle and bright pixels of the pictures."""
    height, width = found.truth.shape[1:]
    best = [row for row in worked if row.method != "interpolation"][:2]
    shown = [*best, *(row for row in worked if row.method == "interpolation")]
    result = []
    for number, (row, col) in enumerate(found.pixels):
        lines = {"HSI": _all_bands(pair, found.truth_spectra[number])}
        lines.update({r.method: _all_bands(pair, r.spectra[number]) for r in shown})
        title = f"column {col + 1}, row {row + 1}"
        result.append(reports.PixelSpectra(title, lines, (col + 0.5) / width, (row + 0.5) / height))
    return result


def _all_bands(pair: Pair, values: np.ndarray) -> np.ndarray:
    full = np.full(pair.hsi.count, np.nan)
    full[pair.hsi_bands] = values
    return full
