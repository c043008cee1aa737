"""Rows of the answer per polygon, with the interval that the members give."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import HSFusionError
from ...rasters.grids.grid import Grid
from ...rasters.writing.provenance import plain_json
from ...rasters.writing.staging import write_text
from .polygons import Tally
from .quantities import interval
from .request import PropagateRequest

LEVELS = (0.05, 0.95)  # of the 90 % interval
WITHIN = (0.1, 0.5, 0.9)  # quantiles of the pixels of a polygon
METHOD = "90 % interval: members at the interpolated ranks 0.05 (n + 1) and 0.95 (n + 1) of n"


@dataclass(frozen=True)
class Row:
    """One statistic of one polygon: mean and std over members, and the 90 % interval."""

    polygon: str
    statistic: str
    unit: str
    pixels: int
    mean: float
    std: float
    low: float
    high: float


def check_table_name(path: str) -> None:
    """HSFusionError unless the file ends in .csv or .json."""
    if Path(path).suffix.lower() not in (".csv", ".json"):
        raise HSFusionError(f"TABLE: '{path}' ends in neither .csv nor .json, which says what to write; rename it.")


def rows_of(what: str, found: list[Tally], grid: Grid) -> list[Row]:
    """For `area` the area of each polygon where the answer is yes, else mean, largest value and quantiles within it."""
    rows = []
    for tally in found:
        if what == "area":
            rows.append(_row(tally, "area", "square of the CRS's unit", tally.sums * grid.pixel_area))
            rows.append(_row(tally, "share", "", tally.mean))
            continue
        rows += [_row(tally, "mean", "", tally.mean), _row(tally, "largest value", "", tally.largest)]
        for share in WITHIN:
            values = tally.quantile(share)
            if values is not None:
                rows.append(_row(tally, f"quantile {share:g} of its pixels", "", values))
    return rows


def _row(tally: Tally, statistic: str, unit: str, values: np.ndarray) -> Row:
    low, high = interval(values, LEVELS)
    pixels = int(np.median(tally.counts))
    return Row(
        tally.area.name,
        statistic,
        unit,
        pixels,
        float(values.mean()),
        float(values.std(ddof=1)),
        float(low),
        float(high),
    )


def write_table(path: str, rows: list[Row], request: PropagateRequest, record: dict[str, Any]) -> None:
    """As .csv, or as .json with how it came to be."""
    if Path(path).suffix.lower() == ".json":
        plain = {"interval": METHOD, "rows": [asdict(row) for row in rows], **record}
        text = json.dumps(plain_json(plain), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    else:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["polygon", "statistic", "unit", "pixels", "mean", "std", "low_90", "high_90"])
        for row in rows:
            numbers = (f"{value:.8g}" for value in (row.mean, row.std, row.low, row.high))
            writer.writerow([row.polygon, row.statistic, row.unit, row.pixels, *numbers])
        text = stream.getvalue()
    write_text(path, text, "TABLE")
