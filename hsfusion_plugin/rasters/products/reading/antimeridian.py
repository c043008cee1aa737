"""Swaths whose longitudes jump: across 180 degrees, or around a pole."""

from __future__ import annotations

import uuid
import weakref

import numpy as np
from osgeo import gdal, osr

from ...grids.crs import is_geographic, transformed
from .moved import with_places_beside
from .places import write_places

NEAR_POLE = 85.0  # degrees of latitude from which a swath may reach around the pole


def in_one_piece(dataset: gdal.Dataset) -> gdal.Dataset:
    """The dataset, or one that says the places of its pixels in metres around its middle where longitudes jump.

    GDAL interpolates between neighbouring places, which between 179.9 and -179.9 degrees ends on the other side of the
    Earth.
    """
    dataset, placed = with_places_beside(dataset)
    places = dataset.GetMetadata("GEOLOCATION")
    if not placed or not is_geographic(places.get("SRS", "")):
        return dataset
    x, y = (_band_of(places, axis) for axis in "XY")
    known = np.isfinite(x) & np.isfinite(y) if x.shape == y.shape else np.zeros(1, bool)
    if not known.any() or not _jumps(np.where(known, x, np.nan), y[known]):
        return dataset
    local = _around(x[known], y[known])
    metres = np.full((2, *x.shape), np.nan)
    metres[:, known] = transformed(np.column_stack([x[known], y[known]]), places["SRS"], local).T
    path = f"/vsimem/hsfusion-places-{uuid.uuid4().hex}.tif"
    write_places(path, metres)
    in_memory = dataset.GetDescription() == "" and dataset.GetDriver().ShortName == "VRT"
    other = dataset if in_memory else gdal.GetDriverByName("VRT").CreateCopy("", dataset)
    moved = {**places, "SRS": local, "X_DATASET": path, "Y_DATASET": path, "X_BAND": "1", "Y_BAND": "2"}
    other.SetMetadata(moved, "GEOLOCATION")
    weakref.finalize(other, gdal.Unlink, path)
    return other


def _band_of(places: dict[str, str], axis: str) -> np.ndarray:
    """X or Y of every pixel (rows, cols) float64, NaN where it is not told."""
    dataset = gdal.Open(places[f"{axis}_DATASET"])
    band = dataset.GetRasterBand(int(places.get(f"{axis}_BAND", 1)))
    data = band.ReadRaster(buf_type=gdal.GDT_Float64)
    values, nodata = np.frombuffer(data, np.float64).reshape(band.YSize, band.XSize), band.GetNoDataValue()
    return np.where((np.abs(values) <= 360) & (values != nodata), values, np.nan)


def _jumps(longitude: np.ndarray, latitude: np.ndarray) -> bool:
    """Whether neighbours lie half a turn apart in longitude, or the swath so near to a pole that they might."""
    steps = [np.abs(np.diff(longitude, axis=axis)) for axis in (0, 1)]
    return any((step > 180.0).any() for step in steps) or np.abs(latitude).max() > NEAR_POLE


def _around(longitude: np.ndarray, latitude: np.ndarray) -> str:
    """WKT of an equidistant projection centred on these places."""
    lon, lat = np.deg2rad(longitude), np.deg2rad(latitude)
    x, y, z = (np.mean(v) for v in (np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
    middle = np.rad2deg([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)])
    local = osr.SpatialReference()
    local.ImportFromProj4(f"+proj=aeqd +lat_0={middle[0]:.6f} +lon_0={middle[1]:.6f} +datum=WGS84 +units=m +no_defs")
    return local.ExportToWkt()
