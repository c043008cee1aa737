"""How a product's numbers are stored: as they are where one factor makes all of them the physical quantity, else in
physical units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from osgeo import gdal

from ...reading.metadata import BandInfo
from ..reading.product import Product

_GDAL = {
    np.dtype(np.uint8): gdal.GDT_Byte,
    np.dtype(np.uint16): gdal.GDT_UInt16,
    np.dtype(np.int16): gdal.GDT_Int16,
    np.dtype(np.uint32): gdal.GDT_UInt32,
    np.dtype(np.int32): gdal.GDT_Int32,
}


@dataclass(frozen=True)
class Storage:
    """bands: descriptions of what is stored; kind: GDAL's data type; nodata: the stored number that means that there is
    none.
    """

    product: Product
    numbers: Sequence[int]
    bands: Sequence[BandInfo]
    as_it_is: bool

    @classmethod
    def of(cls, product: Product, numbers: Sequence[int]) -> Storage:
        """For these bands of a product (from 0)."""
        image = product.image
        bands = [image.bands[i] for i in numbers]
        one_factor = len({band.scale for band in bands}) == 1 and all(band.offset == 0 for band in bands)
        whole = image.dtype in _GDAL and image.nodata is not None and not product.fill_in_all
        as_it_is = bool(one_factor and whole and float(image.nodata).is_integer())
        if not as_it_is:
            bands = [replace(band, scale=1.0, offset=0.0) for band in bands]
        return cls(product, list(numbers), bands, as_it_is)

    @property
    def dtype(self) -> np.dtype:
        """numpy's type of the stored numbers."""
        return self.product.image.dtype if self.as_it_is else np.dtype(np.float32)

    @property
    def kind(self) -> int:
        """GDAL's type of the stored numbers."""
        return _GDAL.get(self.dtype, gdal.GDT_Float32)

    @property
    def nodata(self) -> float:
        """The stored number that means that there is none."""
        return float(self.product.image.nodata) if self.as_it_is else float("nan")

    def read(self, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """A window: stored numbers (bands, rows, cols), and where all good bands have none (rows, cols)."""
        image = self.product.image
        raw = image.read(rows, cols, self.numbers)
        missing = np.zeros(raw.shape, bool) if image.nodata is None else _equal(raw, image.nodata)
        if raw.dtype.kind == "f":
            missing |= ~np.isfinite(raw)
        good = [i for i, number in enumerate(self.numbers) if not image.bands[number].bad] or list(range(len(raw)))
        fill = missing[good].all(axis=0)
        if self.as_it_is:
            return raw, fill
        result = np.empty(raw.shape, np.float32)
        for layer, values, number in zip(result, raw, self.numbers):
            band = image.bands[number]
            layer[...] = values.astype(np.float64) * band.scale + band.offset
        result[np.broadcast_to(fill, raw.shape) if self.product.fill_in_all else missing] = np.nan
        return result, fill


def _equal(values: np.ndarray, nodata: float) -> np.ndarray:
    if values.dtype.kind != "f":
        return values == nodata
    if abs(nodata) > 1e10:  # writers round huge markers differently
        return np.abs(values - values.dtype.type(nodata)) <= abs(nodata) * 1e-6
    return values == values.dtype.type(nodata)
