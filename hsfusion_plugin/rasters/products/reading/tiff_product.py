"""Products whose image is a GeoTIFF that GDAL places by itself, with a text beside it that tells the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .....models.errors import HSFusionError
from ...reading.metadata import BandInfo
from .product import Grid
from .rpc import RpcPlaces
from .stack import FileBand, Stack, opened_file

TIFF = r"\.(?:tif|tiff|geotiff)"


def tiff_image(path: Path, bands: Sequence[BandInfo], nodata: float | None) -> Stack:
    """All bands of a file, described; HSFusionError where their number is another.

    The file's own nodata value wins over `nodata`. An image without a grid is placed by its rational polynomial
    coefficients.
    """
    dataset = opened_file(path)
    if dataset.RasterCount != len(bands):
        raise HSFusionError(
            f"PRODUCT: '{path.name}' has {dataset.RasterCount} bands and its metadata describe {len(bands)}: they do "
            "not belong together."
        )
    own = dataset.GetRasterBand(1).GetNoDataValue()
    parts = [FileBand(str(path), i + 1) for i in range(len(bands))]
    return Stack(parts, list(bands), place_of(path), nodata if own is None else own)


def place_of(path: Path | str) -> Grid:
    """The grid of a file, or the places that its coefficients give."""
    dataset = opened_file(path)
    rows, cols = dataset.RasterYSize, dataset.RasterXSize
    transform, reference = dataset.GetGeoTransform(can_return_null=True), dataset.GetSpatialRef()
    if transform is not None:
        return Grid(rows, cols, tuple(transform), reference.ExportToWkt() if reference is not None else "")
    rpc = dataset.GetMetadata("RPC")
    return Grid(rows, cols, places=RpcPlaces(rpc, rows, cols) if rpc else None)


def with_gsd(bands: Sequence[BandInfo], gsd: float | None) -> list[BandInfo]:
    """The same bands with the pixel size with which they were taken."""
    return [replace(band, gsd_m=gsd) for band in bands]


def beside(path: Path, pattern: str) -> Path | None:
    """The one other file of the same folder whose name matches, any case."""
    wanted = re.compile(pattern, re.IGNORECASE)
    found = [other for other in sorted(path.parent.iterdir()) if other != path and wanted.fullmatch(other.name)]
    return found[0] if found else None
