"""Cubes as the sensor saw them, with a longitude and a latitude for every pixel, fused as they are delivered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.pair.pair import Pair
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import foreign_grids, pairs, products
from hsfusion.tests.qgis.test_rasters_warp import GRIDS, fused

pytestmark = pytest.mark.skipif(
    gdal.GetDriverByName("HDF5") is None or gdal.GetDriverByName("netCDF") is None,
    reason="this GDAL reads no HDF5 or netCDF",
)
LAYOUTS = {"EMIT": products.emit, "Tanager": products.tanager, "PRISMA level 1": products.prisma_1}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """(the pair on grids that nest, the HSI along a flight line turned by 12 degrees, longitude, latitude)."""
    folder = tmp_path_factory.mktemp("seen")
    epsg, grid, shape = GRIDS["turned by 12 degrees"]
    values = pairs.read(foreign_grids.write_hsi(folder / "turned.tif", epsg, grid, shape, fwhm=1.1 * pairs.RATIO))
    col, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = grid[0] + col * grid[1] + row * grid[2], grid[3] + col * grid[4] + row * grid[5]
    lon, lat = foreign_grids.carried(np.column_stack([x.ravel(), y.ravel()]), epsg, 4326).T.reshape(2, *shape)
    return pairs.make_pair(folder), values, lon, lat


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fused_in_place(seen, tmp_path, layout):
    """As good as one cubic interpolation of the HSI allows, and where it belongs; no step by hand."""
    straight, values, lon, lat = seen
    name = LAYOUTS[layout](tmp_path / "cube.nc", values, pairs.WAVELENGTHS, lon, lat)
    _, nested, _ = fused(straight.hsi, straight.msi, tmp_path / "nested.tif")
    outputs, rmse, known = fused(name, straight.msi, tmp_path / "fused.tif")
    assert rmse < 1.8 * nested and known > 0.8
    assert abs(outputs["SHIFT_X_USED"]) < 0.2 and abs(outputs["SHIFT_Y_USED"]) < 0.2
    result = Raster.open(tmp_path / "fused.tif")
    assert [b.wavelength_nm for b in result.bands] == pytest.approx(pairs.WAVELENGTHS, abs=1e-3)


@pytest.mark.parametrize(
    ("layout", "fwhm", "bad"), [("EMIT", 8.5, 3), ("Tanager", 5.5, 3), ("PRISMA level 1", 12.0, None)]
)
def test_what_the_file_says_of_its_bands(seen, tmp_path, layout, fwhm, bad):
    _, values, lon, lat = seen
    raster = Raster.open(LAYOUTS[layout](tmp_path / "cube.nc", values, pairs.WAVELENGTHS, lon, lat), "HSI")
    assert (raster.count, raster.rows, raster.cols) == values.shape
    assert [b.wavelength_nm for b in raster.bands] == pytest.approx(pairs.WAVELENGTHS, abs=1e-3)
    assert {b.fwhm_nm for b in raster.bands} == {fwhm}
    assert np.flatnonzero(raster.bad).tolist() == ([] if bad is None else [bad])
    found = raster.read(range(10, 20), range(5, 9), [0, 7])
    np.testing.assert_allclose(found, values[[0, 7], 10:20, 5:9], atol=1.0)
    assert np.isnan(raster.read(range(raster.rows), range(raster.cols), [0])).any(), "nodata beside the scene"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder in which nobody may write")
def test_the_current_folder_need_not_be_writable(seen, tmp_path, monkeypatch):
    """GDAL would put what it makes of the places there."""
    straight, values, lon, lat = seen
    name = products.emit(tmp_path / "cube.nc", values, pairs.WAVELENGTHS, lon, lat)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.chdir("/proc")
    _, _, known = fused(name, straight.msi, tmp_path / "fused.tif")
    assert known > 0.8


def test_the_log_says_so(seen, tmp_path):
    straight, values, lon, lat = seen
    name = products.emit(tmp_path / "cube.nc", values, pairs.WAVELENGTHS, lon, lat)
    pair = Pair.open(FusionRequest(hsi=name, msi=str(straight.msi), output=""), Progress())
    assert any("longitude and a latitude for every pixel" in note for note in pair.notes)
    assert pair.alignment.ratio == 4.0


def test_a_swath_elsewhere_does_not_overlap(seen, tmp_path):
    straight, values, lon, lat = seen
    name = products.emit(tmp_path / "cube.nc", values, pairs.WAVELENGTHS, lon + 2.0, lat)
    with pytest.raises(HSFusionError, match="HSI and MSI do not overlap"):
        Pair.open(FusionRequest(hsi=name, msi=str(straight.msi), output=""), Progress())
