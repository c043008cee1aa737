"""What a product is once it has been read: a description, an image that is read in windows, quality classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from osgeo import osr

from .....models.errors import HSFusionError
from ...reading.metadata import BandInfo

DEFAULT_CLASSES = ("fill", "cloud", "shadow", "cirrus", "saturated")
Transform = tuple[float, float, float, float, float, float]


class Places(Protocol):
    """Where the pixels of a swath lie."""

    crs_wkt: str

    def read(self, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """x and y (or longitude and latitude) of the pixels' centres: float64 (rows, cols), NaN = unknown."""


@dataclass(frozen=True)
class Grid:
    """Size and place of an image: a geotransform (GDAL's six numbers) and a CRS, or the place of every pixel, or
    neither.
    """

    rows: int
    cols: int
    geotransform: Transform | None = None
    crs_wkt: str = ""
    places: Places | None = None


class Layer(Protocol):
    """An image of several bands, read in windows.

    bands: one description each, in order; dtype: of the stored numbers; nodata: the stored number that means that there
    is none, or None; window: rows and columns that are best read at once.
    """

    grid: Grid
    bands: Sequence[BandInfo]
    dtype: np.dtype
    nodata: float | None
    window: tuple[int, int]

    def read(self, rows: range, cols: range, bands: Sequence[int]) -> np.ndarray:
        """Stored numbers (bands, rows, cols); bands are counted from 0."""


@dataclass(frozen=True)
class QualityClass:
    """Pixels of one kind: where a band of `layer` has one of `values`, or any of the `bits`, or is above `above`."""

    layer: Layer
    values: Sequence[int] = ()
    bits: int = 0
    above: float | None = None
    bands: Sequence[int] = (0,)

    def read(self, rows: range, cols: range) -> np.ndarray:
        """Where the pixels of a window are of this kind: bool (rows, cols)."""
        found = self.layer.read(rows, cols, self.bands)
        if self.bits:
            return ((found.astype(np.int64) & self.bits) != 0).any(axis=0)
        if self.above is not None:
            return (found > self.above).any(axis=0)
        return np.isin(found, self.values).any(axis=0)


@dataclass(frozen=True)
class Wanted:
    """What of a product is asked for. resolution: metres, 0 = the finest; pan: the panchromatic image; swath: as the
    sensor saw it.
    """

    resolution: float = 0.0
    pan: bool = False
    swath: bool = False


@dataclass(frozen=True)
class Product:
    """A product that was recognised and described.

    family: "EnMAP"; level: "L2A"; identifier: its own name; sensor: a name of sensors.csv for a multispectral product,
    else the instrument's; time: of acquisition, ISO 8601 in UTC, "" = unknown; quantity: what a stored number times
    scale plus offset is; classes: quality classes by name; fill_in_all: whether the nodata number counts only where all
    bands have it; notes: sentences for the log.
    """

    family: str
    level: str
    identifier: str
    sensor: str
    time: str
    quantity: str
    image: Layer
    classes: Mapping[str, QualityClass] = field(default_factory=dict)
    fill_in_all: bool = False
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For the log: family, level and date."""
        return " ".join(filter(None, (self.family, self.level, f"of {self.time[:10]}" if self.time else "")))


def utc(text: str) -> str:
    """A time in ISO 8601, to the second and in UTC, from the ways in which products write it; "" where it is none."""
    found = re.search(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T _]?(\d\d):?(\d\d):?(\d\d))?", text or "")
    if not found:
        return ""
    year, month, day, *clock = found.groups()
    if not (1900 < int(year) < 2200 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return ""
    return f"{year}-{month}-{day}" + (f"T{clock[0]}:{clock[1]}:{clock[2]}Z" if clock[0] else "")


def crs_of_epsg(code: int) -> str:
    """WKT of an EPSG code; HSFusionError where PROJ does not know it."""
    reference = osr.SpatialReference()
    try:
        known = reference.ImportFromEPSG(int(code)) == 0
    except RuntimeError:
        known = False
    if not known:
        raise HSFusionError(f"PRODUCT: the product names EPSG:{code}, which is not known: its metadata is damaged.")
    return reference.ExportToWkt()


def same_size(what: str, shape: tuple[int, int], grid: Grid) -> None:
    """HSFusionError where a file of a product is not of the size that another one says."""
    if shape != (grid.rows, grid.cols):
        raise HSFusionError(
            f"PRODUCT: {what} has {shape[0]} x {shape[1]} pixels and the product {grid.rows} x {grid.cols}: "
            "metadata and image do not belong together, or a file is damaged."
        )
