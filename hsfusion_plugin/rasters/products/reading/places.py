"""Arrays of places as GDAL wants them: a raster whose first band is X and whose second is Y."""

from __future__ import annotations

import numpy as np
from osgeo import gdal

NOWHERE = -1e30


def write_places(path: str, places: np.ndarray) -> None:
    """Write X and Y (2, rows, cols) of every pixel; NaN where it has no place."""
    _, rows, cols = places.shape
    made = gdal.GetDriverByName("GTiff").Create(path, cols, rows, 2, gdal.GDT_Float64)
    for number, values in enumerate(places, 1):
        band = made.GetRasterBand(number)
        band.WriteRaster(0, 0, cols, rows, np.where(np.isfinite(values), values, NOWHERE).tobytes())
        band.SetNoDataValue(NOWHERE)
