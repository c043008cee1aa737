"""Whether a band that is tagged as alpha is a mask: 8-bit files call their fourth band so even where it is the near
infrared.
"""

from __future__ import annotations

import numpy as np
from osgeo import gdal

from ..gdal_calls import collected_errors

_PLACES = 8  # per axis, at which the band is looked at
_SIDE = 64  # pixels, of each look
_MASK_SHARE = 0.9  # of values that are 0 or the largest; a feathered edge has others


def behaves_as_mask(band: gdal.Band) -> bool:
    """True where nearly all of the band's values are 0 or its largest one, seen at places spread over the raster."""
    values = _seen(band)
    if values.size == 0:
        return True
    return bool(((values == 0) | (values == values.max())).mean() >= _MASK_SHARE)


def _seen(band: gdal.Band) -> np.ndarray:
    """Values (N,) of windows spread over the band; none where it cannot be read, which whoever reads it will say."""
    windows = [
        (col, row, min(_SIDE, band.XSize), min(_SIDE, band.YSize))
        for row in _starts(band.YSize)
        for col in _starts(band.XSize)
    ]
    with collected_errors():
        parts = [band.ReadRaster(*window, buf_type=gdal.GDT_Float32) for window in windows]
        return np.concatenate([np.frombuffer(part, np.float32) for part in parts if part])
    return np.zeros(0, np.float32)


def _starts(size: int) -> list[int]:
    last = max(0, size - _SIDE)
    return sorted({int(start) for start in np.linspace(0, last, min(_PLACES, last // _SIDE + 2))})
