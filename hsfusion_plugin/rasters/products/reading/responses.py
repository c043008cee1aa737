"""Centre and width of the bands of multispectral sensors, from resources/sensors.csv."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from ...reading.metadata import BandInfo

_TABLE = Path(__file__).resolve().parents[4] / "resources" / "sensors.csv"


@cache
def response(sensor: str) -> dict[str, tuple[float, float]]:
    """Band name to (centre, FWHM) in nm; {} for a sensor that the table does not have."""
    with _TABLE.open(newline="", encoding="utf-8") as stream:
        return {
            row["band"]: (float(row["centre_nm"]), float(row["fwhm_nm"]))
            for row in csv.DictReader(stream)
            if row["sensor"] == sensor
        }


def described(sensor: str, band: str, name: str = "", **more: float | bool | str) -> BandInfo:
    """A band of a sensor by its name in the table (or the word in that), without wavelength where the table
    has none.
    """
    table = response(sensor)
    key = band if band in table else next((k for k in table if band.lower() in k.lower().split()), None)
    centre, width = table.get(key, (None, None))
    return BandInfo(wavelength_nm=centre, fwhm_nm=width, description=name or band, **more)
