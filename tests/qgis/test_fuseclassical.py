"""hsfusion:fuseclassical: closed forms, without a backend."""

from __future__ import annotations

import json

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs import classical
from hsfusion.hsfusion_plugin.jobs.progress import Progress
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read

METHODS = ("glp-hs", "loc", "map", "average")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


def run(pair: pairs.Pair, output, **changes) -> dict:
    """The job in this process: (outputs by name)."""
    settings = {"method": "glp-hs", **changes}
    return classical.run(
        FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(output), **settings), Progress()
    )


def rmse(path, truth) -> float:
    return float(np.sqrt(np.nanmean((read(path) - truth) ** 2)))


def test_through_qgis_process_without_a_backend(qgis_process, pair, tmp_path):
    result = qgis_process(
        "hsfusion:fuseclassical", env={"HSFUSION_PYTHON": "/nowhere"}, HSI=pair.hsi, MSI=pair.msi,
        OUTPUT=tmp_path / "fused.tif", REPORT=tmp_path / "report.html",
    )  # fmt: skip
    assert result.outputs["USED_METHOD"] == "glp-hs"
    assert result.outputs["HSI_CONSISTENCY"] > 35
    assert {p.name for p in tmp_path.iterdir()} == {"fused.tif", "fused.json", "fused.qml", "report.html"}
    assert rmse(tmp_path / "fused.tif", pair.truth) < 100
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    assert record["parameters"]["METHOD"] == "glp-hs"
    assert not {"MODEL", "STEPS", "GUARD", "BACKEND"} & set(record["parameters"]), "parameters of the other algorithm"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "qgis_process run hsfusion:fuseclassical" in page and "STEPS=" not in page


@pytest.mark.parametrize("method", METHODS)
def test_every_method_beats_interpolation(pair, tmp_path, method):
    outputs = run(pair, tmp_path / "fused.tif", method=method)
    assert outputs["USED_METHOD"] == method
    nearest = np.repeat(np.repeat(read(pair.hsi), pairs.RATIO, axis=1), pairs.RATIO, axis=2)
    assert rmse(tmp_path / "fused.tif", pair.truth) < 0.5 * np.sqrt(np.mean((nearest - pair.truth) ** 2))


def test_given_sensor_and_psf(pair, tmp_path):
    outputs = run(pair, tmp_path / "fused.tif", psf_fwhm=1.1, psf_fwhm_y=1.21, sensor="Sentinel-2A")
    assert outputs["PSF_FWHM_USED"] == pytest.approx(1.1 * 1.1**0.5)
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    assert record["psf"]["source"] == "given"
    assert rmse(tmp_path / "fused.tif", pair.truth) < 100


def test_the_shift_that_is_given_is_the_one_reported(pair, tmp_path):
    outputs = run(pair, tmp_path / "fused.tif", shift_x=0.5, shift_y=-0.25)
    assert (outputs["SHIFT_X_USED"], outputs["SHIFT_Y_USED"]) == (0.5, -0.25)


def test_grids_half_a_pixel_apart(pair, tmp_path):
    """The phase of the grids is no shift of the content: it is used, and SHIFT stays what it is."""
    x, y = pairs.CORNER
    moved = pairs.write(
        tmp_path / "msi.tif", read(pair.msi), pairs.PIXEL, (x - 4, y + 3), wavelengths=pairs.MSI_WAVELENGTHS
    )
    apart = pairs.Pair(pair.hsi, moved, pair.truth)
    outputs = run(apart, tmp_path / "estimated.tif")
    assert (outputs["SHIFT_X_USED"], outputs["SHIFT_Y_USED"]) == pytest.approx((-0.4, -0.3), abs=0.05), (
        "only the grid was moved, so the content lies that far from it"
    )
    outputs = run(apart, tmp_path / "fused.tif", shift_x=0.0, shift_y=0.0)
    assert (outputs["SHIFT_X_USED"], outputs["SHIFT_Y_USED"]) == (0, 0)
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    assert (record["phase"]["x"], record["phase"]["y"]) == pytest.approx((0.4, 0.3))
    assert gdal.Open(str(tmp_path / "fused.tif")).GetGeoTransform()[0] == x - 4


def test_panchromatic(pair, tmp_path):
    grey = pairs.write(tmp_path / "pan.tif", pair.truth.mean(axis=0, keepdims=True), pairs.PIXEL)
    run(pairs.Pair(pair.hsi, grey, pair.truth), tmp_path / "fused.tif")
    assert rmse(tmp_path / "fused.tif", pair.truth) < 200


def test_a_bad_band_comes_out_as_nodata(tmp_path):
    pair = pairs.make_pair(tmp_path)
    dataset = gdal.Open(str(pair.hsi), gdal.GA_Update)
    dataset.GetRasterBand(3).SetMetadataItem("bbl", "0")
    dataset = None
    run(pair, tmp_path / "fused.tif")
    fused = read(tmp_path / "fused.tif")
    assert np.isnan(fused[2]).all() and np.isfinite(np.delete(fused, 2, axis=0)).all()
