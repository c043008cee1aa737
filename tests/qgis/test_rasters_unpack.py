"""A cube whose file holds all bands together is copied once, and nothing of the copy is left."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.errors import Cancelled, HSFusionError
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.products.reading import subdatasets as cubes
from hsfusion.hsfusion_plugin.rasters.reading import unpack
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import pairs, products

pytestmark = pytest.mark.skipif(gdal.GetDriverByName("netCDF") is None, reason="this GDAL reads no netCDF")


@pytest.fixture
def emit(tmp_path, monkeypatch):
    """(name of an EMIT cube with nodata, its values); temporary files go to tmp_path / "tmp"."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    values = np.random.default_rng(0).normal(size=(20, 150, 140)).astype(np.float32)
    values[:, :3] = np.nan
    lat, lon = np.meshgrid(50 - 0.0005 * np.arange(150), 9 + 0.0006 * np.arange(140), indexing="ij")
    return products.emit(tmp_path / "cube.nc", values, pairs.WAVELENGTHS, lon, lat), values


def left_in(folder) -> list[Path]:
    return list((Path(folder) / "tmp").iterdir())


@pytest.mark.parametrize("at_once", [64_000_000, 10_000])
def test_the_same_pixels_and_bands(emit, tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(cubes, "_AT_ONCE", at_once)
    name, values = emit
    raster = Raster.open(name, "HSI")
    copy = unpack.unpacked(raster, Progress())
    assert copy is not raster and left_in(tmp_path)
    np.testing.assert_array_equal(copy.read(range(150), range(140)), values)
    assert copy.bands == raster.bands and copy.swath and copy.path == name
    del copy
    gc.collect()
    assert not left_in(tmp_path)


def test_cancel_leaves_nothing(emit, tmp_path):
    class Impatient(Progress):
        def cancelled(self):
            return bool(left_in(tmp_path))

    with pytest.raises(Cancelled):
        unpack.unpacked(Raster.open(emit[0], "HSI"), Impatient())
    assert not left_in(tmp_path)


def test_no_room(emit, tmp_path, monkeypatch):
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: unpack.shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(HSFusionError, match=r"must be unpacked to .*0\.00 GB left.*TMPDIR"):
        unpack.unpacked(Raster.open(emit[0], "HSI"), Progress())
    assert not left_in(tmp_path)


def test_other_rasters_are_left_alone(tmp_path):
    raster = Raster.open(pairs.make_pair(tmp_path).hsi)
    assert unpack.unpacked(raster, Progress()) is raster
