"""Products as they are delivered, opened: values, wavelengths, widths, bad bands, place, mask, sensor, time, by miniatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from hsfusion.hsfusion_plugin.jobs.products.job import ProductRequest, run
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis.miniatures import dlr, envi, hdf, tiles
from hsfusion.tests.qgis.miniatures.truth import Truth

pytest.importorskip("h5py")
MAKERS = (*dlr.MAKERS, *hdf.MAKERS, *tiles.MAKERS, *envi.MAKERS)


@pytest.fixture(autouse=True)
def _work(tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_WORK", str(tmp_path / "work"))


def opened(truth: Truth, folder: Path, **more) -> dict:
    request = ProductRequest(
        str(truth.path), str(folder / "out.tif"), str(folder / "mask.tif"), **{**truth.parameters, **more}
    )
    return run(request, Progress())


def physical(path: Path) -> np.ndarray:
    """All values of a raster times scale plus offset, NaN where nodata."""
    dataset = gdal.Open(str(path))
    layers = []
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        stored, nodata = band.ReadAsArray().astype(np.float64), band.GetNoDataValue()
        missing = np.isnan(stored) if nodata is None or np.isnan(nodata) else stored == nodata
        layers.append(np.where(missing, np.nan, stored * (band.GetScale() or 1) + (band.GetOffset() or 0)))
    return np.array(layers)


def items(path: Path, key: str) -> np.ndarray:
    dataset = gdal.Open(str(path))
    return np.array(
        [float(dataset.GetRasterBand(i + 1).GetMetadataItem(key) or "nan") for i in range(dataset.RasterCount)]
    )


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_product_is_opened(make: Callable[[Path], Truth], tmp_path):
    product, out = tmp_path / "product", tmp_path / "out"
    product.mkdir()
    out.mkdir()
    truth = make(product)
    results = opened(truth, out)
    np.testing.assert_allclose(physical(out / "out.tif"), truth.values, rtol=2e-7, atol=1e-9)
    np.testing.assert_allclose(items(out / "out.tif", "wavelength"), truth.wavelengths, atol=0.005)
    if truth.fwhm is not None:
        np.testing.assert_allclose(items(out / "out.tif", "fwhm"), truth.fwhm, atol=0.005)
    bad = truth.bad if truth.bad is not None else np.zeros(len(truth.values), bool)
    np.testing.assert_array_equal(items(out / "out.tif", "bbl") == 0, bad)
    assert (results["SENSOR"], results["TIME"]) == (truth.sensor, truth.time)
    for name in ("out.tif", "mask.tif"):
        check_place(out / name, truth)
    mask = gdal.Open(str(out / "mask.tif"))
    assert mask.GetRasterBand(1).DataType == gdal.GDT_Byte
    np.testing.assert_array_equal(mask.ReadAsArray() != 0, truth.mask)
    told = gdal.Open(str(out / "out.tif")).GetMetadata()
    assert (told["PRODUCT_FAMILY"], told.get("PRODUCT_LEVEL")) == (truth.family, truth.level)


def check_place(path: Path, truth: Truth) -> None:
    dataset = gdal.Open(str(path))
    if truth.geotransform is None:
        places = gdal.Open(dataset.GetMetadataItem("X_DATASET", "GEOLOCATION")).ReadAsArray()
        np.testing.assert_allclose(places, truth.places, atol=2e-6)
        return
    pixel = abs(truth.geotransform[1])
    np.testing.assert_allclose(dataset.GetGeoTransform(), truth.geotransform, atol=1e-3 * pixel)
    expected = osr.SpatialReference()
    expected.ImportFromEPSG(truth.epsg)
    assert dataset.GetSpatialRef().IsSame(expected, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"])
