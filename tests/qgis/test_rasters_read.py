"""Reading: what is not data is NaN, and bands without a signal are found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.grids.align import align
from hsfusion.hsfusion_plugin.rasters.reading.bands import band_report, usable_bands
from hsfusion.hsfusion_plugin.rasters.reading.masks import read_mask
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.models.errors import HSFusionError

GRID = (1000.0, 10.0, 0.0, 2000.0, 0.0, -10.0)


@pytest.fixture
def make(tmp_path):
    def make(array, name="r.tif", kind=gdal.GDT_Float32, nodata=None, grid=GRID, options=()):
        array = np.asarray(array)
        path = tmp_path / name
        driver = gdal.GetDriverByName("GTiff")
        dataset = driver.Create(str(path), array.shape[2], array.shape[1], array.shape[0], kind, list(options))
        if grid:
            dataset.SetGeoTransform(grid)
        for i, layer in enumerate(array):
            if nodata is not None:
                dataset.GetRasterBand(i + 1).SetNoDataValue(nodata)
            dataset.GetRasterBand(i + 1).WriteArray(layer)
        dataset = None
        return path

    return make


class Listener(Progress):
    def __init__(self):
        super().__init__()
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def whole(path, **arguments):
    raster = Raster.open(path)
    return raster.read(range(raster.rows), range(raster.cols), **arguments)


def scene(bands=3, rows=20, cols=30, seed=1):
    return np.random.default_rng(seed).integers(1, 5000, (bands, rows, cols)).astype(np.float64)


def test_window_and_bands(make):
    array = scene()
    raster = Raster.open(make(array))
    window = raster.read(range(3, 9), range(10, 30), bands=[2, 0])
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window, array[[2, 0], 3:9, 10:30])
    assert (raster.count, raster.rows, raster.cols, raster.dtype) == (3, 20, 30, "Float32")
    assert raster.pixel_size == (10.0, 10.0)
    assert raster.bounds == (1000.0, 1800.0, 1300.0, 2000.0)
    assert raster.north_up
    assert raster.crs_wkt == ""


@pytest.mark.parametrize(
    ("kind", "nodata"),
    [
        (gdal.GDT_Int16, -32768),
        (gdal.GDT_UInt16, 0),
        (gdal.GDT_Int32, -2147483648),
        (gdal.GDT_Float32, -9999),
        (gdal.GDT_Float32, -3.4028234663852886e38),
        (gdal.GDT_Float32, -3.40282e38),
        (gdal.GDT_Float32, float("nan")),
        (gdal.GDT_Float64, -1.7976931348623157e308),
    ],
)
def test_nodata_is_nan(make, kind, nodata):
    array = scene()
    array[1, 4, 5] = nodata
    values = whole(make(array, kind=kind, nodata=nodata))
    expected = np.isnan(values)
    assert expected.sum() == 1
    assert expected[1, 4, 5]


def test_a_marker_that_float32_cannot_hold_blanks_nothing(make):
    assert np.isfinite(whole(make(scene(), nodata=-1.7976931348623157e308))).all()


def test_nan_and_infinity_are_nan(make):
    array = scene()
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    assert np.isnan(whole(make(array))).sum() == 3


def test_masks_are_nodata(make):
    path = make(scene())
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    mask = np.full((20, 30), 255, np.uint8)
    mask[2:4, :5] = 0
    dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)
    dataset = None
    values = whole(path)
    assert (np.isnan(values) == (mask == 0)).all()
    raster = Raster.open(path)
    window = raster.read(range(3, 10), range(4, 6))
    assert np.isnan(window[:, 0, 0]).all()
    assert np.isfinite(window[:, 1:]).all()


def test_alpha_is_nodata(make):
    array = scene(4)
    array[3] = 65535
    array[3, 5, 6] = 0
    path = make(array, kind=gdal.GDT_UInt16)
    mark_alpha(path)
    assert Raster.open(path).bad.tolist() == [False, False, False, True]
    values = whole(path, bands=[0, 1, 2])
    assert np.isnan(values).sum() == 3
    assert np.isnan(values[:, 5, 6]).all()


def test_near_infrared_that_is_called_alpha(make):
    """GDAL calls the fourth of four 8-bit bands alpha; one with a wavelength is a measurement all the same."""
    array = scene(4) % 250
    array[3, 5, 6] = 0
    path = make(array, kind=gdal.GDT_Byte)
    mark_alpha(path, wavelength="833")
    raster = Raster.open(path)
    assert not raster.bad.any()
    np.testing.assert_array_equal(whole(path), array)


def mark_alpha(path, wavelength=None):
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.GetRasterBand(4).SetColorInterpretation(gdal.GCI_AlphaBand)
    if wavelength:
        dataset.GetRasterBand(4).SetMetadataItem("wavelength", wavelength)
    dataset = None


def test_scale_is_kept_apart(make):
    path = make(scene(), kind=gdal.GDT_Int16)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    for i in range(3):
        dataset.GetRasterBand(i + 1).SetScale(1e-4)
        dataset.GetRasterBand(i + 1).SetOffset(-0.1)
    dataset = None
    np.testing.assert_array_equal(whole(path), scene())
    np.testing.assert_allclose(whole(path, unscale=True), scene() * 1e-4 - 0.1, atol=1e-6)


def test_threads_read_the_same(make):
    array = scene(6, 64, 64)
    raster = Raster.open(make(array, options=["TILED=YES", "COMPRESS=DEFLATE", "BLOCKXSIZE=16", "BLOCKYSIZE=16"]))
    rows = [range(i, i + 8) for i in range(0, 64, 8)] * 4
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda r: raster.read(r, range(64)), rows))
    for r, part in zip(rows, parts):
        np.testing.assert_array_equal(part, array[:, r.start : r.stop])


def test_a_subdataset_is_a_raster(make, tmp_path):
    if gdal.GetDriverByName("netCDF") is None:
        pytest.skip("GDAL has no netCDF driver here")
    path = tmp_path / "two.nc"
    gdal.Translate(str(path), str(make(scene(2))), format="netCDF")
    raster = Raster.open(f'NETCDF:"{path}":Band2', "HSI")
    np.testing.assert_allclose(raster.read(range(20), range(30))[0], scene(2)[1])


@pytest.mark.parametrize("content", [None, b"", b"not a raster"])
def test_what_is_no_raster_is_refused(tmp_path, content):
    path = tmp_path / "x.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HSFusionError, match="HSI: .*x.tif") as error:
        Raster.open(path, "HSI")
    assert str(error.value).endswith(".")


def test_a_container_names_its_subdatasets(make, tmp_path):
    path = tmp_path / "two.nc"
    if gdal.GetDriverByName("netCDF") is None:
        pytest.skip("GDAL has no netCDF driver here")
    gdal.Translate(str(path), str(make(scene(2))), format="netCDF")
    with pytest.raises(HSFusionError, match="subdatasets, such as NETCDF"):
        Raster.open(path, "HSI")


def test_complex_numbers_are_refused(make):
    with pytest.raises(HSFusionError, match="complex"):
        Raster.open(make(scene(), kind=gdal.GDT_CFloat32))


def test_a_damaged_file_is_refused(make):
    path = make(scene(3, 200, 200))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(HSFusionError, match="damaged"):
        whole(path)


def test_exceptions_of_gdal_change_nothing(make, tmp_path):
    """Another plugin may have called gdal.UseExceptions()."""
    before = gdal.GetUseExceptions()
    gdal.UseExceptions()
    try:
        with pytest.raises(HSFusionError, match="does not exist"):
            Raster.open(tmp_path / "missing.tif")
        np.testing.assert_array_equal(whole(make(scene())), scene())
    finally:
        if not before:
            gdal.DontUseExceptions()


def test_bands_without_a_signal_take_no_part(make):
    array = scene(6, 300, 310)
    array[1] = -32768  # as EnMAP's bands in the water vapour
    array[2] = 77
    array[3, 50:] = -32768
    array[4, :, :] = 5
    array[4, 299, 309] = 6  # one pixel differs, in the last window
    path = make(array, kind=gdal.GDT_Int16, nodata=-32768)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.GetRasterBand(6).SetMetadataItem("bbl", "0")
    dataset = None
    listener = Listener()
    raster = Raster.open(path, "HSI")
    assert usable_bands(raster, listener) == [0, 3, 4]
    assert listener.warnings == ["HSI: 3 of 6 bands take no part (1 marked bad, 1 without data, 1 constant)."]
    report = band_report(raster, rows=range(100, 200), cols=range(0, 50))
    assert (report.usable, report.bad, report.empty, report.constant) == ((0,), (5,), (1, 3), (2, 4))


@pytest.mark.parametrize(("value", "words"), [(-1.0, "only nodata"), (3.0, "no band whose values differ")])
def test_nothing_usable_is_refused(make, value, words):
    raster = Raster.open(make(np.full((3, 20, 20), value), nodata=-1.0), "HSI")
    with pytest.raises(HSFusionError, match=f"HSI: .*{words}"):
        usable_bands(raster)


def test_mask_on_the_grid_of_the_scene(make):
    msi = Raster.open(make(scene(2, 40, 40), "msi.tif", grid=(0.0, 1.0, 0.0, 40.0, 0.0, -1.0)), "MSI")
    hsi = Raster.open(make(scene(3, 10, 10), "hsi.tif", grid=(0.0, 4.0, 0.0, 40.0, 0.0, -4.0)), "HSI")
    coarse = np.ones((1, 7, 8))  # pixels of 5, ends 5 short of the bottom
    coarse[0, 1, 2] = 0
    coarse[0, 3, 3] = -9
    path = make(coarse, "mask.tif", nodata=-9, grid=(0.0, 5.0, 0.0, 40.0, 0.0, -5.0))
    mask = Raster.open(path, "MASK")
    alignment = align(hsi, msi, mask=mask)
    expected = np.zeros((40, 40), bool)
    expected[:35] = True
    expected[5:10, 10:15] = False
    expected[15:20, 15:20] = False
    np.testing.assert_array_equal(read_mask(mask, alignment, range(40), range(40)), expected)
    np.testing.assert_array_equal(read_mask(mask, alignment, range(7, 38), range(11, 20)), expected[7:38, 11:20])
    far = Raster.open(make(coarse, "far.tif", grid=(900.0, 5.0, 0.0, 40.0, 0.0, -5.0)), "MASK")
    with pytest.raises(HSFusionError, match="MASK: .* does not reach"):
        align(hsi, msi, mask=far)
