"""The user's MASK raster on the grid of the scene."""

from __future__ import annotations

import numpy as np

from ..grids.align import Alignment
from .raster import Raster


def read_mask(mask: Raster, alignment: Alignment, rows: range, cols: range) -> np.ndarray:
    """Which pixels of a window of the scene (fine pixels) may be used: bool (rows, cols).

    True where the mask's first band is neither zero nor nodata at the pixel's centre; outside the mask raster
    everything is False.
    """
    x0, dx, _, y0, _, dy = alignment.geotransform_of(rows, cols)
    mx, mdx, _, my, _, mdy = mask.geotransform
    index_x = np.floor((x0 + (np.arange(len(cols)) + 0.5) * dx - mx) / mdx + 1e-9).astype(int)
    index_y = np.floor((y0 + (np.arange(len(rows)) + 0.5) * dy - my) / mdy + 1e-9).astype(int)
    keep_x, keep_y = (index_x >= 0) & (index_x < mask.cols), (index_y >= 0) & (index_y < mask.rows)
    result = np.zeros((len(rows), len(cols)), bool)
    if not (keep_x.any() and keep_y.any()):
        return result
    index_x, index_y = index_x[keep_x], index_y[keep_y]
    values = mask.read(range(index_y[0], index_y[-1] + 1), range(index_x[0], index_x[-1] + 1), [0])[0]
    values = values[np.ix_(index_y - index_y[0], index_x - index_x[0])]
    result[np.ix_(keep_y, keep_x)] = np.isfinite(values) & (values != 0)
    return result
