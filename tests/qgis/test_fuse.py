"""hsfusion:fuse through `qgis_process`, with the model in its backend."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.models.runners.precision import has_amx
from hsfusion.models.scene.reduced.wald import margin_db
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read

pytestmark = pytest.mark.slow
ALIKE = 1e-3 if has_amx() else 1e-4  # of the data range: what tiles may differ by, in bfloat16 and in float32


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def fuse(qgis_process, backend, pair):
    """Run hsfusion:fuse without the guard on the pair, with further parameters."""

    def run(**parameters):
        given = {"HSI": pair.hsi, "MSI": pair.msi, "GUARD": "false", **parameters}
        return qgis_process("hsfusion:fuse", env=backend, timeout=300, **given)

    return run


@pytest.fixture(scope="module")
def whole(fuse, tmp_path_factory):
    """The run that the others are compared with, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return fuse(
        OUTPUT=folder / "fused.tif", UNCERTAINTY=folder / "std.tif", REPORT=folder / "report.html", SEED=1
    ), folder


def largest_difference(a, b) -> float:
    """In units of the data's range."""
    return float(np.nanmax(np.abs(a - b)) / (np.nanmax(b) - np.nanmin(b)))


def test_the_numbers_that_scripts_read(whole):
    result, folder = whole
    outputs = result.outputs
    assert outputs["OUTPUT"] == str(folder / "fused.tif") and outputs["REPORT"] == str(folder / "report.html")
    assert outputs["USED_METHOD"] == "hsfusion-base"
    assert outputs["GUARD_GAIN"] is None, "the guard was off: NaN is null"
    assert outputs["PSF_FWHM_USED"] == pytest.approx(1.1, abs=0.15)
    assert outputs["SHIFT_X_USED"] == outputs["SHIFT_Y_USED"] == 0
    assert outputs["HSI_CONSISTENCY"] > 35 and outputs["MSI_CONSISTENCY"] > 35


def test_raster_on_the_grid_of_the_msi(whole, pair):
    fused, msi = gdal.Open(str(whole[1] / "fused.tif")), gdal.Open(str(pair.msi))
    assert (fused.RasterXSize, fused.RasterYSize) == (msi.RasterXSize, msi.RasterYSize)
    assert fused.GetGeoTransform() == msi.GetGeoTransform()
    assert fused.GetSpatialRef().IsSame(msi.GetSpatialRef())
    assert fused.RasterCount == pairs.BANDS
    for number, expected in enumerate(pairs.WAVELENGTHS):
        band = fused.GetRasterBand(number + 1)
        assert float(band.GetMetadataItem("wavelength")) == pytest.approx(expected, abs=1e-3)
        assert band.GetMetadataItem("wavelength_units") == "Nanometers"
        assert band.DataType == gdal.GDT_Float32


def test_closer_to_the_truth_than_interpolation(whole, pair):
    values = read(whole[1] / "fused.tif")
    assert np.isfinite(values).all()
    nearest = np.repeat(np.repeat(read(pair.hsi), pairs.RATIO, axis=1), pairs.RATIO, axis=2)
    error, before = (np.sqrt(np.mean((v - pair.truth) ** 2)) for v in (values, nearest))
    assert error < 0.5 * before


def test_uncertainty_is_positive_and_of_the_size_of_the_error(whole, pair):
    std, error = read(whole[1] / "std.tif"), np.abs(read(whole[1] / "fused.tif") - pair.truth)
    assert std.shape == pair.truth.shape and (std > 0).all()
    assert 0.1 < np.median(std) / np.median(error) < 30


def test_provenance(whole):
    record = json.loads((whole[1] / "fused.json").read_text(encoding="utf-8"))
    assert record["method"] == "hsfusion-base"
    assert len(record["model"]["sha256"]) == 64
    assert record["backend"]["kind"] == "local"
    assert record["parameters"]["SEED"] == 1 and "METHOD" not in record["parameters"]
    assert record["psf"]["source"] == "estimated" and len(record["gain"]) == 4
    assert record["guard"] == {"used": False}
    assert set(record["bands_outside_msi_range"]) < set(range(1, 1 + pairs.BANDS))
    items = gdal.Open(str(whole[1] / "fused.tif")).GetMetadata()
    assert items["HSFUSION_METHOD"] == "hsfusion-base"


def test_the_log_says_what_was_done(whole):
    said = whole[0].error
    for words in (
        "20 of 20 bands (450-900 nm)",
        "Backend: local, this computer, device",
        "Model: hsfusion-base, ",
        "PSF: FWHM 1.",
        "Fusing 128 x 112 pixels in 1 tile(s)",
        "Network: 1 tile(s) sent",
        "Time: estimation",
        "megapixels a second",
    ):
        assert words in said, words


def test_styles(whole):
    for name in ("fused.qml", "std.qml"):
        assert ElementTree.parse(whole[1] / name).getroot().tag == "qgis"


def test_report_opens_offline(whole):
    page = (whole[1] / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    for words in ("hsfusion-base", "PSF FWHM", "qgis_process run hsfusion:fuse"):
        assert words in page, words


def test_nothing_else_is_left(whole):
    names = {path.name for path in whole[1].iterdir()}
    assert names == {"fused.tif", "fused.json", "fused.qml", "std.tif", "std.json", "std.qml", "report.html"}


def test_tiles_and_a_second_run_are_the_same(whole, fuse, tmp_path):
    fuse(OUTPUT=tmp_path / "tiled.tif", TILE_SIZE=64, SEED=1)
    assert largest_difference(read(tmp_path / "tiled.tif"), read(whole[1] / "fused.tif")) < ALIKE


def test_extent_is_a_crop(whole, fuse, tmp_path):
    x, y = pairs.CORNER
    window = f"{x + 305},{x + 905},{y - 800},{y - 200} [EPSG:32632]"
    fuse(OUTPUT=tmp_path / "crop.tif", EXTENT=window, SEED=1)
    crop, full = gdal.Open(str(tmp_path / "crop.tif")), read(whole[1] / "fused.tif")
    assert crop.GetGeoTransform()[0] in (x + 300, x + 310) and crop.GetGeoTransform()[3] == y - 200
    left = round((crop.GetGeoTransform()[0] - x) / pairs.PIXEL)
    assert (crop.RasterYSize, crop.RasterXSize) == (60, 60)
    expected = full[:, 20:80, left : left + 60]
    assert np.abs(read(tmp_path / "crop.tif") - expected).max() < ALIKE * (full.max() - full.min())


def test_samples_follow_the_seed(fuse, tmp_path):
    settings = {"SAMPLES": 2, "STEPS": 2, "EXTENT": "500000,500640,5599360,5600000 [EPSG:32632]"}
    for name, seed in (("a", 3), ("again", 3), ("b", 4)):
        fuse(OUTPUT=tmp_path / f"{name}.tif", SEED=seed, **settings)
    a, again, b = (read(tmp_path / f"{name}.tif") for name in ("a", "again", "b"))
    np.testing.assert_array_equal(a, again)
    assert np.isfinite(a).all() and 0 < largest_difference(a, b) < 0.2


def test_guard(qgis_process, backend, pair, tmp_path):
    """What the guard says is what OUTPUT holds."""
    result = qgis_process(
        "hsfusion:fuse", env=backend, HSI=pair.hsi, MSI=pair.msi, OUTPUT=tmp_path / "fused.tif",
        UNCERTAINTY=tmp_path / "std.tif", REPORT=tmp_path / "report.html",
    )  # fmt: skip
    used, gain = result.outputs["USED_METHOD"], result.outputs["GUARD_GAIN"]
    reduced = np.prod(pairs.FINE) / pairs.RATIO**4  # HSI pixels at reduced resolution
    assert (used == "hsfusion-base") == (gain >= -margin_db(reduced))
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    assert record["guard"]["shipped"] == used and record["guard"]["gain_db"] == pytest.approx(gain)
    assert set(record["guard"]["rmse"]) == {"hsfusion-base", "glp-hs", "loc", "map", "average"}
    assert "reduced resolution" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (read(tmp_path / "std.tif") > 0).all()


def test_mask_and_bands_out_of_order(qgis_process, backend, tmp_path):
    """Masked pixels and HSI pixels without data are nodata; a band without data comes out as nodata, the others in
    their order.
    """
    order = np.random.default_rng(1).permutation(pairs.BANDS)
    pair = pairs.make_pair(tmp_path, order)
    values = read(pair.hsi)
    values[4] = np.nan
    values[:, 20:24, 5:10] = np.nan
    pairs.write(pair.hsi, values, pairs.RATIO * pairs.PIXEL, wavelengths=pairs.WAVELENGTHS[order])
    mask = np.ones((1, *pairs.FINE))
    mask[:, 10:30, 40:70] = 0
    pairs.write(tmp_path / "mask.tif", mask, pairs.PIXEL)
    result = qgis_process(
        "hsfusion:fuse", env=backend, HSI=pair.hsi, MSI=pair.msi, MASK=tmp_path / "mask.tif", GUARD="false",
        OUTPUT=tmp_path / "fused.tif", DATA_TYPE="Int16",
    )  # fmt: skip
    assert "1 of 20 bands take no part" in result.error
    dataset, fused = gdal.Open(str(tmp_path / "fused.tif")), read(tmp_path / "fused.tif")
    assert dataset.GetRasterBand(1).DataType == gdal.GDT_Int16
    assert np.isnan(fused[4]).all()
    others = np.delete(fused, 4, axis=0)
    assert np.isnan(others[:, 10:30, 40:70]).all(), "masked"
    assert np.isnan(others[:, 84:92, 24:36]).all(), "no HSI there"
    known = np.isfinite(others)
    assert known.mean() > 0.9 and (known == known[0]).all()
    found = [float(dataset.GetRasterBand(i + 1).GetMetadataItem("wavelength")) for i in range(pairs.BANDS)]
    np.testing.assert_allclose(found, pairs.WAVELENGTHS[order], atol=1e-3)
    error = others - np.delete(pair.truth, 4, axis=0)
    assert np.sqrt(np.nanmean(error**2)) < 120
