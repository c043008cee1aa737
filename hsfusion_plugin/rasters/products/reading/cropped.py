"""A part of a layer that lies on a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .product import Grid, Layer, Product, QualityClass

Bounds = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax


class Cropped:
    """A Layer of a window of another one."""

    def __init__(self, layer: Layer, rows: range, cols: range) -> None:
        self._layer, self._rows, self._cols = layer, rows, cols
        self.bands, self.dtype, self.nodata, self.window = layer.bands, layer.dtype, layer.nodata, layer.window
        transform = layer.grid.geotransform
        if transform is not None:
            x0, dx, row_x, y0, col_y, dy = transform
            left, top = cols.start, rows.start
            transform = (x0 + left * dx + top * row_x, dx, row_x, y0 + left * col_y + top * dy, col_y, dy)
        self.grid = Grid(len(rows), len(cols), transform, layer.grid.crs_wkt)

    def read(self, rows: range, cols: range, bands: Sequence[int]) -> np.ndarray:
        """As Layer.read."""
        return self._layer.read(_shifted(rows, self._rows.start), _shifted(cols, self._cols.start), bands)


def cropped(product: Product, bounds: Bounds, margin: float) -> tuple[Product, tuple[range, range] | None]:
    """The part of a product within `bounds` and a margin around (map units of its own CRS), and which part that is.

    The product itself, and None, where it has no straight grid, lies wholly inside, or not at all.
    """
    grid = product.image.grid
    if grid.geotransform is None or grid.geotransform[2] or grid.geotransform[4]:
        return product, None
    x0, dx, _, y0, _, dy = grid.geotransform
    xmin, ymin, xmax, ymax = bounds
    cols = _inside((xmin - margin - x0) / dx, (xmax + margin - x0) / dx, grid.cols)
    rows = _inside((ymin - margin - y0) / dy, (ymax + margin - y0) / dy, grid.rows)
    if not rows or not cols or (len(rows), len(cols)) == (grid.rows, grid.cols):
        return product, None
    classes = {name: _cut(kind, rows, cols) for name, kind in product.classes.items()}
    return replace(product, image=Cropped(product.image, rows, cols), classes=classes), (rows, cols)


def _cut(kind: QualityClass, rows: range, cols: range) -> QualityClass:
    return replace(kind, layer=Cropped(kind.layer, rows, cols))


def _inside(first: float, last: float, size: int) -> range:
    low, high = sorted((first, last))
    return range(max(0, math.floor(low)), min(size, math.ceil(high)))


def _shifted(window: range, start: int) -> range:
    return range(window.start + start, window.stop + start)
