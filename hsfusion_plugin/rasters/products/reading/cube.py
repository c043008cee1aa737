"""Layers that are made of arrays: a cube in any order of its dimensions, several cubes together, a cube on the grid of
a lookup table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Callable

import numpy as np
from osgeo import osr

from ...reading.metadata import BandInfo
from .hdf import Array
from .product import Grid, Layer

_AT_ONCE = 8_000_000  # values that are read together


class Cube:
    """A Layer of an array with rows, columns and bands along any of its dimensions (bands: None = there is one band).

    fixed: an index for every other dimension; turned: whether the file's rows run north and its columns west.
    """

    def __init__(
        self,
        array: Array,
        axes: tuple[int, int, int | None],
        bands: Sequence[BandInfo],
        grid: Grid,
        nodata: float | None = None,
        fixed: dict[int, int] | None = None,
        turned: tuple[bool, bool] = (False, False),
    ) -> None:
        self.array, self.axes, self.bands, self.grid, self.nodata = array, axes, list(bands), grid, nodata
        self._fixed, self._turned = fixed or {}, turned
        self.dtype = array.dtype
        self.window = _window(array, axes, grid, len(self.bands))

    def read(self, rows: range, cols: range, bands: Sequence[int]) -> np.ndarray:
        """As Layer.read."""
        start = [self._fixed.get(axis, 0) for axis in range(len(self.array.shape))]
        count = [1] * len(start)
        for axis, window, size, turned in zip(self.axes, (rows, cols), (self.grid.rows, self.grid.cols), self._turned):
            start[axis] = size - window.stop if turned else window.start
            count[axis] = len(window)
        row_axis, col_axis, band_axis = self.axes
        if band_axis is not None:
            start[band_axis], count[band_axis] = min(bands), max(bands) - min(bands) + 1
        found = self.array.read(start, count)
        order = [row_axis, col_axis] if band_axis is None else [band_axis, row_axis, col_axis]
        others = [axis for axis in range(len(start)) if axis not in order]
        found = found.transpose(*others, *order).reshape([count[axis] for axis in order])
        found = found[None] if band_axis is None else found[np.asarray(bands) - min(bands)]
        steps = [slice(None, None, -1 if turned else 1) for turned in self._turned]
        return found[(slice(None), *steps)]


def _window(array: Array, axes: tuple[int, int, int | None], grid: Grid, count: int) -> tuple[int, int]:
    """Whole blocks of the file, wide before high, as many as make a few million values."""
    chunk = array.chunk or array.shape
    rows, cols = (max(1, chunk[axis]) for axis in axes[:2])
    wide = min(grid.cols, max(cols, cols * (_AT_ONCE // max(1, rows * cols * count))))
    high = min(grid.rows, max(rows, rows * (_AT_ONCE // max(1, rows * wide * count))))
    return high, wide


class Joined:
    """A Layer of the bands of several layers on one grid, in an order of their own."""

    def __init__(self, layers: Sequence[Layer], order: Sequence[int] | None = None) -> None:
        self._layers = list(layers)
        owners = [(layer, band) for layer in self._layers for band in range(len(layer.bands))]
        self._owners = [owners[i] for i in (order if order is not None else range(len(owners)))]
        self.bands = [layer.bands[band] for layer, band in self._owners]
        first = self._layers[0]
        self.grid, self.nodata, self.window = first.grid, first.nodata, first.window
        self.dtype = np.result_type(*(layer.dtype for layer in self._layers))

    def read(self, rows: range, cols: range, bands: Sequence[int]) -> np.ndarray:
        """As Layer.read."""
        result = np.empty((len(bands), len(rows), len(cols)), self.dtype)
        for layer in self._layers:
            places = [place for place, number in enumerate(bands) if self._owners[number][0] is layer]
            if places:
                result[places] = layer.read(rows, cols, [self._owners[bands[place]][1] for place in places])
        return result


class LookedUp:
    """A Layer of a swath on the grid of its geographic lookup table: each pixel is one of the swath's, or none.

    table: rows and columns of the grid -> rows and columns of the swath, int64 (rows, cols) each, negative = none.
    """

    def __init__(
        self, swath: Layer, table: Callable[[range, range], tuple[np.ndarray, np.ndarray]], grid: Grid, nodata: float
    ) -> None:
        self._swath, self._table, self.grid = swath, table, grid
        self.nodata = swath.nodata if swath.nodata is not None else nodata
        self.bands, self.dtype = swath.bands, np.result_type(swath.dtype, np.min_scalar_type(int(self.nodata)))
        side = max(16, int((_AT_ONCE / 4 / max(1, len(self.bands))) ** 0.5) // 16 * 16)
        self.window = min(grid.rows, side), min(grid.cols, side)

    def read(self, rows: range, cols: range, bands: Sequence[int]) -> np.ndarray:
        """As Layer.read."""
        result = np.full((len(bands), len(rows), len(cols)), self.nodata, self.dtype)
        row, col = self._table(rows, cols)
        height, width = self._swath.grid.rows, self._swath.grid.cols
        known = (row >= 0) & (col >= 0) & (row < height) & (col < width)
        if known.any():
            inside = [range(int(i[known].min()), int(i[known].max()) + 1) for i in (row, col)]
            found = self._swath.read(*inside, bands)
            result[:, known] = found[:, row[known] - inside[0].start, col[known] - inside[1].start]
        return result


@dataclass(frozen=True)
class ArrayPlaces:
    """Places of a swath from arrays of longitude and latitude (or x and y) of its size."""

    x: Layer
    y: Layer
    crs_wkt: str

    def read(self, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """As Places.read."""
        found = [layer.read(rows, cols, [0])[0].astype(np.float64) for layer in (self.x, self.y)]
        limit = 360.0 if osr.SpatialReference(self.crs_wkt).IsGeographic() else 1e8
        known = (
            np.isfinite(found[0]) & np.isfinite(found[1]) & (np.abs(found[0]) <= limit) & (np.abs(found[1]) <= limit)
        )
        return np.where(known, found[0], np.nan), np.where(known, found[1], np.nan)


def degrees() -> str:
    """WKT of longitude and latitude."""
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    return reference.ExportToWkt()


def plane(array: Array, grid: Grid, turned: tuple[bool, bool] = (False, False)) -> Cube:
    """An array of rows and columns as a Layer of one band."""
    return Cube(array, (0, 1, None), [BandInfo()], grid, turned=turned)


def with_places(grid: Grid, longitude: Array, latitude: Array) -> Grid:
    """The same grid with the place of every pixel."""
    bare = Grid(grid.rows, grid.cols)
    return replace(bare, places=ArrayPlaces(plane(longitude, bare), plane(latitude, bare), degrees()))
