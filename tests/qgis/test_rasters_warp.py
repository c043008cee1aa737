"""HSI and mask on grids of their own: brought onto the MSI's, which stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.pair.pair import Pair
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.grids.warp import on_grid_of
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import foreign_grids, pairs

TURN = np.deg2rad(12.0)
X0, Y0 = pairs.CORNER
GRIDS = {
    "another UTM zone": (32633, *foreign_grids.covering(32633, 40.0)),
    "degrees": (4326, *foreign_grids.covering(4326, 0.00042)),
    "turned by 12 degrees": (
        32632,
        (X0 - 200, 40 * np.cos(TURN), 40 * np.sin(TURN), Y0 + 60, 40 * np.sin(TURN), -40 * np.cos(TURN)),
        (40, 36),
    ),
    "oblong pixels": (32632, (X0, 50.0, 0.0, Y0, 0.0, -32.0), (35, 25)),
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The pair on grids that nest."""
    return pairs.make_pair(tmp_path_factory.mktemp("straight"))


def fused(hsi, msi, path, **settings):
    """(outputs, rmse against the truth away from the border, share of pixels with a value)."""
    request = FusionRequest(hsi=str(hsi), msi=str(msi), output=str(path), method="glp-hs", **settings)
    outputs = classical.run(request, Progress())
    values, grid = pairs.read(path), gdal.Open(str(path)).GetGeoTransform()
    col, row = (grid[0] - X0) / pairs.PIXEL, (Y0 - grid[3]) / pairs.PIXEL
    assert (col, row) == pytest.approx((round(col), round(row)), abs=1e-6), "on the MSI's pixels"
    col, row = round(col), round(row)
    truth = pairs.scene()[:, row : row + values.shape[1], col : col + values.shape[2]]
    error = (values - truth)[:, 12:-12, 12:-12]
    known = np.isfinite(error)
    return outputs, float(np.sqrt((error[known] ** 2).mean())), known.mean()


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_of_its_own(straight, tmp_path, name):
    """Fused as well as one cubic interpolation of the HSI allows, and in place: the shift that is found is none."""
    hsi = foreign_grids.write_hsi(tmp_path / "hsi.tif", *GRIDS[name], fwhm=1.1 * pairs.RATIO)
    outputs, rmse, known = fused(hsi, straight.msi, tmp_path / "fused.tif")
    _, nested, _ = fused(straight.hsi, straight.msi, tmp_path / "nested.tif")
    assert rmse < 1.8 * nested and known > 0.85
    assert (outputs["SHIFT_X_USED"], outputs["SHIFT_Y_USED"]) == (0.0, 0.0)
    assert 1.1 < outputs["PSF_FWHM_USED"] < 1.5, "the PSF of the HSI with the interpolation in it"


def test_what_was_done_is_said_and_kept(straight, tmp_path):
    hsi = foreign_grids.write_hsi(tmp_path / "hsi.tif", *GRIDS["another UTM zone"], fwhm=4.4)
    pair = Pair.open(FusionRequest(hsi=str(hsi), msi=str(straight.msi), output=""), Progress())
    (note,) = pair.notes
    assert all(word in note for word in ("UTM zone 33N", "UTM zone 32N", "cubic", "4 MSI pixels", "MSI stays as it is"))
    assert pair.alignment.ratio == 4.0 and pair.alignment.phase_x == pair.alignment.phase_y == 0.0
    assert pair.hsi.path == str(hsi), "messages name the user's file"
    np.testing.assert_allclose(pair.hsi.wavelengths, pairs.WAVELENGTHS, atol=1e-3)
    values, mask = pair.read_hsi(range(pair.alignment.coarse_shape[0]), range(pair.alignment.coarse_shape[1]))
    assert 0 < mask.mean() <= 1 and values[:, mask > 0].min() > -2000


def test_nodata_does_not_bleed_into_warped_pixels(straight, tmp_path):
    hsi = foreign_grids.write_hsi(tmp_path / "hsi.tif", *GRIDS["another UTM zone"], fwhm=4.4)
    values = pairs.read(hsi)
    values[:, 10:14, 12:18] = np.nan
    dataset = gdal.Open(str(hsi), gdal.GA_Update)
    dataset.WriteArray(np.where(np.isfinite(values), values, pairs.NODATA))
    dataset = None
    raster, _ = on_grid_of(Raster.open(hsi, "HSI"), Raster.open(straight.msi, "MSI"))
    found = raster.read(range(raster.rows), range(raster.cols))
    inner = found[:, 4:-4, 4:-4]
    assert np.isnan(inner).any() and np.nanmin(found) > 0.5 * np.nanmin(values)


def test_grids_that_nest_are_not_touched(straight):
    hsi, msi = Raster.open(straight.hsi, "HSI"), Raster.open(straight.msi, "MSI")
    same, said = on_grid_of(hsi, msi)
    assert same is hsi and said == ""


def test_upside_down_and_mirrored_grids_are_turned_not_resampled(straight, tmp_path):
    """The same pixels in another order give the same fused raster, bit for bit, whichever of the two is turned."""
    reference = tmp_path / "reference.tif"
    fused(straight.hsi, straight.msi, reference)
    for role, path, pixel in (("hsi", straight.hsi, 40.0), ("msi", straight.msi, 10.0)):
        values = pairs.read(path)
        turned = pairs.write(tmp_path / f"{role}.tif", values[:, ::-1, ::-1], pixel)
        dataset = gdal.Open(str(turned), gdal.GA_Update)
        right, bottom = X0 + values.shape[2] * pixel, Y0 - values.shape[1] * pixel
        dataset.SetGeoTransform((right, -pixel, 0.0, bottom, 0.0, pixel))
        dataset = None
        found = tmp_path / f"from_{role}.tif"
        fused(**{"hsi": straight.hsi, "msi": straight.msi, role: turned}, path=found)
        np.testing.assert_array_equal(pairs.read(found), pairs.read(reference))


@pytest.mark.parametrize("epsg", [32632, 32633])
def test_a_mask_on_any_grid(straight, tmp_path, epsg):
    """Clouds as zeros, on pixels of 25 m or in another CRS: no value below them, everywhere else as before."""
    grid, shape = foreign_grids.covering(epsg, 25.0)
    clear = np.ones((1, *shape), np.float32)
    clear[0, 10:20, 12:30] = 0
    mask = pairs.write(tmp_path / "mask.tif", clear, 25.0, (grid[0], grid[3]), epsg=epsg)
    pair = Pair.open(FusionRequest(hsi=str(straight.hsi), msi=str(straight.msi), mask=str(mask), output=""), Progress())
    rows, cols = (range(n) for n in pair.alignment.scene_shape)
    _, valid = pair.read_msi(rows, cols)
    col, row = np.meshgrid(np.arange(len(cols)) + 0.5, np.arange(len(rows)) + 0.5)
    place = np.column_stack([X0 + 10 * col.ravel(), Y0 - 10 * row.ravel()])
    x, y = foreign_grids.carried(place, 32632, epsg).T
    wanted = clear[0, ((grid[3] - y) / 25).astype(int), ((x - grid[0]) / 25).astype(int)].reshape(valid.shape)
    assert (valid == wanted).mean() > 0.9999
    _, rmse, _ = fused(straight.hsi, straight.msi, tmp_path / "fused.tif", mask=str(mask))
    hidden = np.isnan(pairs.read(tmp_path / "fused.tif")[0])
    np.testing.assert_array_equal(hidden, valid == 0)
    assert rmse < 40
