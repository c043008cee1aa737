"""The scores of an evaluation as a CSV or JSON file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ....models.metrics import CONVENTIONS, Scores
from ...errors import HSFusionError
from ...rasters.writing.provenance import plain_json
from ...rasters.writing.staging import write_text
from ...reports import software_versions

_ALL = "all"


def check_table_name(path: str | Path, endings: tuple[str, ...] = (".csv", ".json")) -> None:
    """HSFusionError unless the file has one of the endings."""
    if Path(path).suffix.lower() not in endings:
        known = f"{', '.join(endings[:-1])} nor {endings[-1]}"
        raise HSFusionError(f"TABLE: '{path}' ends in neither {known}, which says what to write; rename it.")


def write_table(
    path: str | Path, scores: Scores, wavelengths_nm: np.ndarray | None, parameters: Mapping[str, object]
) -> None:
    """Write scores by the ending of the file: .json holds everything; .csv one row for all bands, then one per band."""
    check_table_name(path)
    rows = scores.band_table()
    if wavelengths_nm is not None:
        rows = [{"band": r["band"], "wavelength_nm": float(wavelengths_nm[int(r["band"]) - 1]), **r} for r in rows]
    if Path(path).suffix.lower() == ".csv":
        write_text(path, _csv(scores, rows), "TABLE")
        return
    record = {
        "scores": {name: getattr(scores, name) for name in CONVENTIONS},
        "conventions": {name: f"{c.text}{f' Unit: {c.unit}.' if c.unit else ''}" for name, c in CONVENTIONS.items()},
        "peak": scores.peak,
        "ratio": scores.ratio,
        "counts": scores.counts(),
        "bands": rows,
        "parameters": dict(parameters),
        "software": software_versions(),
    }
    write_text(path, json.dumps(plain_json(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "TABLE")


def _csv(scores: Scores, rows: list[dict[str, float]]) -> str:
    whole = {
        "band": _ALL,
        "bias": float(scores.bias_bands.mean()),
        "rmse": scores.RMSE,
        "psnr": scores.PSNR_BAND_MEAN,
        "psnr_own_peak": scores.PSNR_BAND_PEAK,
        "ssim": scores.SSIM,
        "uiqi": scores.UIQI,
        "cc": scores.CC,
        "psnr_global": scores.PSNR,
        "sam_deg": scores.SAM,
        "sam_bright_deg": scores.SAM_BRIGHT,
        "ergas": scores.ERGAS,
        "q2n": scores.Q2N,
        "ratio": scores.ratio,
        "peak": scores.peak,
        **scores.counts(),
    }
    columns = list(dict.fromkeys([*rows[0], *whole]))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in [whole, *rows]:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.10g}"
    return value
