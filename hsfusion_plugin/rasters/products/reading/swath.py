"""Images that lie as the sensor saw them, with arrays of longitude and latitude beside them: EMIT, Tanager, PRISMA
below level 2D.
"""

from __future__ import annotations

import hashlib
import os.path
import re
from collections.abc import Iterable

import numpy as np
from osgeo import gdal, osr

from ...gdal_calls import scratch_files
from .places import write_places

_LATITUDE = re.compile(r"lat(?:itude)?((?:_\w+)?)", re.IGNORECASE)


def geolocate(view: gdal.Dataset, arrays: Iterable[tuple[str, gdal.MDArray]], name: str, file: str) -> None:
    """Tell GDAL where the pixels of `view` lie, if there are arrays of its size that say so: the nearest ones to array
    `name` of `file`.
    """
    shape = view.RasterYSize, view.RasterXSize
    fitting = {full: a for full, a in arrays if tuple(d.GetSize() for d in a.GetDimensions()) == shape}
    pairs = []
    for latitude in fitting:
        folder, _, leaf = latitude.rpartition("/")
        found = _LATITUDE.fullmatch(leaf)
        longitude = re.sub("lat(itude)?", _longitude, leaf, count=1, flags=re.IGNORECASE)
        other = f"{folder}/{longitude}" if folder else longitude
        if found and other in fitting:
            of_this_sensor = found.group(1).strip("_").upper() in name.upper()
            pairs.append((len(os.path.commonprefix([latitude, name])), of_this_sensor, latitude, other))
    if not pairs:
        return
    *_, latitude, longitude = max(pairs)
    degrees = osr.SpatialReference()
    degrees.ImportFromEPSG(4326)
    places = _kept(fitting[longitude], fitting[latitude], f"{file}:{latitude}", file)
    items = {
        "SRS": degrees.ExportToWkt(),
        "X_DATASET": places,
        "X_BAND": "1",
        "Y_DATASET": places,
        "Y_BAND": "2",
        "PIXEL_OFFSET": "0",
        "LINE_OFFSET": "0",
        "PIXEL_STEP": "1",
        "LINE_STEP": "1",
        "GEOREFERENCING_CONVENTION": "PIXEL_CENTER",
    }
    view.SetMetadata(items, "GEOLOCATION")


def places_of(dataset: gdal.Dataset, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(longitude, latitude) of pixel coordinates (N, 2), column and row, of a geolocated dataset; NaN where they cannot
    be told.
    """
    with scratch_files():
        transformer = gdal.Transformer(dataset, None, ["METHOD=GEOLOC_ARRAY"])
    points, told = transformer.TransformPoints(False, pixels.tolist())
    found = np.where(np.array(told, bool)[:, None], np.array(points)[:, :2], np.nan)
    return found[:, 0], found[:, 1]


def numbers(array: gdal.MDArray) -> np.ndarray:
    """All of a numeric array as float64."""
    shape = [dimension.GetSize() for dimension in array.GetDimensions()]
    data = array.Read(buffer_datatype=gdal.ExtendedDataType.Create(gdal.GDT_Float64))
    return np.frombuffer(data, np.float64).reshape(shape)


def _longitude(found: re.Match[str]) -> str:
    word = "longitude" if found.group(1) else "lon"
    return word.upper() if found.group().isupper() else word.capitalize() if found.group()[0].isupper() else word


def _kept(longitude: gdal.MDArray, latitude: gdal.MDArray, name: str, file: str) -> str:
    """Both arrays as a raster in memory, made once: GDAL wants them by name, and its view of netCDF files may be upside
    down.
    """
    stat = gdal.VSIStatL(file)
    key = hashlib.sha256(f"{name}:{stat.mtime}:{stat.size}".encode()).hexdigest()[:16]
    path = f"/vsimem/hsfusion-places-{key}.tif"
    if gdal.VSIStatL(path) is None:
        values = np.stack([numbers(longitude), numbers(latitude)])
        write_places(path, np.where(np.abs(values) <= 360, values, np.nan))
    return path
