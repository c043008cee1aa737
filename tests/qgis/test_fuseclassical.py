"""hsfusion:fuseclassical: closed forms, without a backend."""

from __future__ import annotations

import json

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
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


@pytest.fixture(scope="module")
def noisy(pair, tmp_path_factory) -> pairs.Pair:
    """The pair with ten times the noise in its MSI."""
    fine = read(pair.msi) + np.random.default_rng(9).normal(0, 80, (4, *pairs.FINE))
    folder = tmp_path_factory.mktemp("noisy")
    msi = pairs.write(folder / "msi.tif", fine, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS)
    return pairs.Pair(pair.hsi, msi, pair.truth)


@pytest.mark.parametrize("method", METHODS)
def test_the_noise_of_the_msi_is_filtered_where_that_is_wanted(noisy, tmp_path, method):
    run(noisy, tmp_path / "noisy.tif", method=method)
    run(noisy, tmp_path / "quiet.tif", method=method, denoise=True)
    assert rmse(tmp_path / "quiet.tif", noisy.truth) < 0.85 * rmse(tmp_path / "noisy.tif", noisy.truth)
    records = [json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in ("noisy", "quiet")]
    assert [record["parameters"]["DENOISE"] for record in records] == [False, True]
    filtered = np.array(records[1]["noise"]["msi_filtered_std"]) / records[1]["noise"]["msi_std"]
    assert ((filtered > 0.2) & (filtered < 1)).all() and "msi_filtered_std" not in records[0]["noise"]


def test_the_filter_does_not_know_tiles(noisy, tmp_path):
    """A part of the output is that part of the whole, its noise filtered too."""
    whole = run(noisy, tmp_path / "whole.tif", method="average", denoise=True)
    x, y = pairs.CORNER
    extent = (x + 30 * pairs.PIXEL, y - 80 * pairs.PIXEL, x + 90 * pairs.PIXEL, y - 20 * pairs.PIXEL)
    part = run(noisy, tmp_path / "part.tif", method="average", denoise=True, extent=extent)
    inside = read(whole["OUTPUT"])[:, 20:80, 30:90]
    assert np.abs(read(part["OUTPUT"]) - inside).max() < 1e-4 * np.ptp(inside)


def test_denoise_through_qgis_process(qgis_process, noisy, tmp_path):
    given = {"HSI": noisy.hsi, "MSI": noisy.msi, "DENOISE": "true"}
    qgis_process(
        "hsfusion:fuseclassical", **given, METHOD="map", OUTPUT=tmp_path / "f.tif", REPORT=tmp_path / "report.html"
    )
    assert "Noise of the MSI filtered" in (tmp_path / "report.html").read_text(encoding="utf-8")
    refused = qgis_process("hsfusion:fuseclassical", **given, METHOD="gsa", OUTPUT=tmp_path / "g.tif", check=False)
    assert refused.code != 0 and "switch DENOISE off" in refused.error and not (tmp_path / "g.tif").exists()


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
