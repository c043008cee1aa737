"""Bands from one or several raster files that GDAL opens, on one grid: a coarser band is repeated, a finer one
averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal

from .....models.errors import HSFusionError
from ...gdal_calls import collected_errors, open_dataset
from ...reading.metadata import BandInfo
from .product import Grid

_NUMPY = {
    gdal.GDT_Byte: np.uint8,
    gdal.GDT_UInt16: np.uint16,
    gdal.GDT_Int16: np.int16,
    gdal.GDT_UInt32: np.uint32,
    gdal.GDT_Int32: np.int32,
    gdal.GDT_Float32: np.float32,
    gdal.GDT_Float64: np.float64,
}


@dataclass(frozen=True)
class FileBand:
    """A band (from 1) of a file; zoom: its pixel as a multiple of the grid's, a whole number or one over a whole
    number.
    """

    path: str
    band: int = 1
    zoom: float = 1.0


class Stack:
    """A Layer of bands in files."""

    def __init__(
        self, parts: Sequence[FileBand], bands: Sequence[BandInfo], grid: Grid, nodata: float | None = None
    ) -> None:
        if len(parts) != len(bands):
            raise ValueError(f"{len(parts)} file bands for {len(bands)} descriptions")
        self.parts, self.bands, self.grid, self.nodata = list(parts), list(bands), grid, nodata
        self._datasets: dict[str, gdal.Dataset] = {}
        opened = [self._band(part) for part in self.parts]
        self.dtype = np.result_type(*(_NUMPY.get(band.DataType, np.float64) for band in opened))
        across, down = opened[0].GetBlockSize()
        self.window = down * max(1, 512 // down), min(grid.cols, across * max(1, 512 // across))

    def read(self, rows: range, cols: range, bands: Sequence[int]) -> np.ndarray:
        """As Layer.read."""
        result = np.empty((len(bands), len(rows), len(cols)), self.dtype)
        groups: dict[tuple[str, float], list[int]] = {}
        for place, number in enumerate(bands):
            part = self.parts[number]
            groups.setdefault((part.path, part.zoom), []).append(place)
        for (path, zoom), places in groups.items():
            numbers = [self.parts[bands[place]].band for place in places]
            result[places] = _zoomed(self._dataset(path), path, rows, cols, numbers, zoom, self.nodata)
        return result

    def _dataset(self, path: str) -> gdal.Dataset:
        if path not in self._datasets:
            self._datasets[path] = opened_file(path)
        return self._datasets[path]

    def _band(self, part: FileBand) -> gdal.Band:
        dataset = self._dataset(part.path)
        if not 1 <= part.band <= dataset.RasterCount:
            raise HSFusionError(
                f"PRODUCT: '{part.path}' has {dataset.RasterCount} band(s) and the metadata speaks of band "
                f"{part.band}: "
                "metadata and image do not belong together."
            )
        size = round(self.grid.rows / part.zoom), round(self.grid.cols / part.zoom)
        slack = 0 if part.zoom == 1 else 1
        if abs(dataset.RasterYSize - size[0]) > slack or abs(dataset.RasterXSize - size[1]) > slack:
            raise HSFusionError(
                f"PRODUCT: '{part.path}' has {dataset.RasterYSize} x {dataset.RasterXSize} pixels where {size[0]} x "
                f"{size[1]} "
                "are expected: the files do not belong together, or one is damaged."
            )
        return dataset.GetRasterBand(part.band)


def opened_file(path: str | Path) -> gdal.Dataset:
    """A raster file; HSFusionError where GDAL cannot open it."""
    dataset, reason = open_dataset(str(path))
    if dataset is None:
        raise HSFusionError(
            f"PRODUCT: '{path}' cannot be opened ({reason}): its download may be incomplete, so get it again."
        )
    return dataset


def grid_of(path: str | Path) -> Grid:
    """Size and place of a raster file."""
    dataset = opened_file(path)
    reference = dataset.GetSpatialRef()
    transform = dataset.GetGeoTransform(can_return_null=True)
    return Grid(
        dataset.RasterYSize,
        dataset.RasterXSize,
        tuple(transform) if transform is not None else None,
        reference.ExportToWkt() if reference is not None else "",
    )


def single(path: str | Path, grid: Grid, band: int = 1) -> Stack:
    """One band of a file as a Layer on `grid`, of which its own pixels may be a multiple."""
    rows = opened_file(path).RasterYSize
    zoom = grid.rows / rows
    zoom = float(max(1, round(zoom))) if zoom >= 1 else 1.0 / round(1 / zoom)
    return Stack([FileBand(str(path), band, zoom)], [BandInfo()], grid)


def _zoomed(
    dataset: gdal.Dataset, path: str, rows: range, cols: range, numbers: list[int], zoom: float, nodata: float | None
) -> np.ndarray:
    if zoom == 1:
        return _window(dataset, path, rows, cols, numbers)
    if zoom > 1:
        index = [np.array(window) // int(zoom) for window in (rows, cols)]
        index = [np.minimum(i, size - 1) for i, size in zip(index, (dataset.RasterYSize, dataset.RasterXSize))]
        found = _window(dataset, path, *(range(i[0], i[-1] + 1) for i in index), numbers)
        return found[:, index[0] - index[0][0]][:, :, index[1] - index[1][0]]
    step = round(1 / zoom)
    fine = [
        range(w.start * step, min(w.stop * step, size))
        for w, size in zip((rows, cols), (dataset.RasterYSize, dataset.RasterXSize))
    ]
    found = _window(dataset, path, *fine, numbers)
    return _averaged(found, step, (len(rows), len(cols)), nodata)


def _averaged(values: np.ndarray, step: int, shape: tuple[int, int], nodata: float | None) -> np.ndarray:
    """Means of blocks of step x step, nodata where a block holds any."""
    pad = [(0, 0), *((0, size * step - have) for size, have in zip(shape, values.shape[1:]))]
    blocks = np.pad(values, pad, mode="edge").reshape(len(values), shape[0], step, shape[1], step)
    means = blocks.astype(np.float64).mean(axis=(2, 4))
    if np.issubdtype(values.dtype, np.integer):
        means = np.rint(means)
    if nodata is not None:
        means[(blocks == nodata).any(axis=(2, 4))] = nodata
    return means.astype(values.dtype)


def _window(dataset: gdal.Dataset, path: str, rows: range, cols: range, numbers: list[int]) -> np.ndarray:
    kinds = {dataset.GetRasterBand(n).DataType for n in numbers}
    kind = kinds.pop() if len(kinds) == 1 else gdal.GDT_Float64
    kind = kind if kind in _NUMPY else gdal.GDT_Float64
    data = None
    with collected_errors() as failures:
        data = dataset.ReadRaster(cols.start, rows.start, len(cols), len(rows), buf_type=kind, band_list=numbers)
    if data is None or failures:
        raise HSFusionError(
            f"PRODUCT: '{path}' cannot be read at row {rows.start} ({(failures or ['no reason given'])[0]}): "
            "its download may be incomplete, so get it again."
        )
    return np.frombuffer(bytearray(data), _NUMPY[kind]).reshape(len(numbers), len(rows), len(cols))
