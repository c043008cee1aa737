"""What a reader must find in a miniature."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from osgeo import gdal, osr


@dataclass
class Truth:
    """path: what a user would choose; values: physical (bands, rows, cols), NaN = none; mask: pixels to use, by default
    classes; geotransform None: a swath, whose places are `places` (lon, lat).
    """

    path: Path
    values: np.ndarray
    wavelengths: np.ndarray
    fwhm: np.ndarray | None
    geotransform: tuple[float, ...] | None
    epsg: int | None
    mask: np.ndarray
    family: str
    level: str
    sensor: str
    time: str
    bad: np.ndarray | None = None
    places: tuple[np.ndarray, np.ndarray] | None = None
    parameters: dict[str, object] = field(default_factory=dict)


def spectra(bands: int, rows: int, cols: int, low: float, high: float, seed: int = 0) -> np.ndarray:
    """Values between low and high that differ from pixel to pixel and band to band."""
    return np.random.default_rng(seed).uniform(low, high, (bands, rows, cols))


def write_tiff(
    path: Path, values: np.ndarray, geotransform=None, epsg: int | None = None, nodata: float | None = None, options=()
) -> Path:
    """A GeoTIFF of the array's own type."""
    kinds = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "int16": gdal.GDT_Int16, "float32": gdal.GDT_Float32}
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values if values.ndim == 3 else values[None]
    bands, rows, cols = values.shape
    made = gdal.GetDriverByName("GTiff").Create(str(path), cols, rows, bands, kinds[values.dtype.name], list(options))
    _place(made, geotransform, epsg)
    for number, layer in enumerate(values, 1):
        made.GetRasterBand(number).WriteArray(np.ascontiguousarray(layer))
        if nodata is not None:
            made.GetRasterBand(number).SetNoDataValue(nodata)
    made = None
    return path


def write_jp2(path: Path, values: np.ndarray, geotransform, epsg: int) -> Path:
    """A lossless JPEG 2000 of one or several bands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values if values.ndim == 3 else values[None]
    kind = gdal.GDT_Byte if values.dtype == np.uint8 else gdal.GDT_UInt16
    memory = gdal.GetDriverByName("MEM").Create("", values.shape[2], values.shape[1], values.shape[0], kind)
    _place(memory, geotransform, epsg)
    for number, layer in enumerate(values, 1):
        memory.GetRasterBand(number).WriteArray(layer)
    gdal.GetDriverByName("JP2OpenJPEG").CreateCopy(str(path), memory, options=["REVERSIBLE=YES", "QUALITY=100"])
    return path


def _place(made: gdal.Dataset, geotransform, epsg: int | None) -> None:
    if geotransform is not None:
        made.SetGeoTransform(geotransform)
    if epsg is not None:
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(epsg)
        made.SetProjection(reference.ExportToWkt())
