"""The synthetic pair of `benchmark.py --speed`: any size, on nested grids, and one that a fusion can make
something of.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")


def test_a_pair_of_any_size_on_nested_grids(tmp_path):
    from hsfusion.scripts.benchmarking.speed.pair import write_pair

    hsi, msi = write_pair(tmp_path, 1200, 1100, bands=12)
    with rasterio.open(hsi) as low, rasterio.open(msi) as high:
        assert (low.shape, low.count, high.shape, high.count) == ((300, 275), 12, (1200, 1100), 4)
        assert low.bounds == high.bounds and low.res == (40.0, 40.0) and "wavelength" in low.tags(12)
        seen = high.read(2).astype(float).reshape(300, 4, 275, 4).mean(axis=(1, 3)).ravel()
        spectra = low.read().reshape(12, -1).astype(float)
        design = np.column_stack([spectra.T, np.ones(len(seen))])
        rest = seen - design @ np.linalg.lstsq(design, seen, rcond=None)[0]
        assert rest.std() < 0.3 * seen.std(), "the MSI is a mixture of the HSI's bands"
    sys.modules.pop("_speed_pair", None)
