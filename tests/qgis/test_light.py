"""LIGHT through the algorithms: a cloud, a seam, and a pair that has neither."""

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

GIVEN = {"method": "glp-hs", "psf_fwhm": 1.1, "shift_x": 0.0, "shift_y": 0.0}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


def with_msi(pair: pairs.Pair, path, values: np.ndarray) -> pairs.Pair:
    msi = pairs.write(path, values, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS)
    return pairs.Pair(pair.hsi, msi, pair.truth)


def run(pair: pairs.Pair, output, **changes) -> dict:
    request = FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(output), **{**GIVEN, **changes})
    return classical.run(request, Progress())


def disc() -> np.ndarray:
    rows, cols = np.mgrid[: pairs.FINE[0], : pairs.FINE[1]]
    return np.clip((22 - np.hypot(rows - 50, cols - 70)) / 3, 0, 1)


def test_a_pair_without_clouds_and_seams_stays_as_it_is(pair, tmp_path):
    for light in ("auto", "none"):
        run(pair, tmp_path / f"{light}.tif", light=light)
    assert (read(tmp_path / "auto.tif") == read(tmp_path / "none.tif")).all()


def test_under_a_cloud_of_the_msi_the_result_is_the_interpolated_hsi(pair, tmp_path):
    msi, cloud = read(pair.msi), disc()
    cloudy = with_msi(pair, tmp_path / "cloudy.tif", msi + cloud * (1.5 * msi.max() - msi))
    run(cloudy, tmp_path / "fused.tif", quality=str(tmp_path / "quality.tif"))
    fused, flags = read(tmp_path / "fused.tif"), gdal.Open(str(tmp_path / "quality.tif")).ReadAsArray()
    left_out = (flags & 4) > 0
    assert np.isfinite(fused).all()
    assert left_out[cloud == 1].mean() > 0.98 and left_out[cloud == 0].mean() < 0.01
    error = np.sqrt(((fused - pair.truth) ** 2).mean(axis=0))
    run(pair, tmp_path / "clear.tif")
    clear = np.sqrt(((read(tmp_path / "clear.tif") - pair.truth) ** 2).mean(axis=0))
    rows, cols = np.mgrid[: pairs.FINE[0], : pairs.FINE[1]]
    away = np.hypot(rows - 50, cols - 70) > 36
    assert error[away].mean() < 1.1 * clear[away].mean()


@pytest.mark.slow
def test_windows_are_crops_of_the_whole_under_one_light(pair, tmp_path):
    msi, (rows, cols) = read(pair.msi), np.mgrid[: pairs.FINE[0], : pairs.FINE[1]]
    gain = np.where(cols + 0.4 * rows > 80, 1.2, 1.0)
    mosaic = with_msi(pair, tmp_path / "mosaic.tif", gain * msi)
    run(mosaic, tmp_path / "whole.tif")
    run(mosaic, tmp_path / "tiled.tif", tile_size=32)
    whole = read(tmp_path / "whole.tif")
    np.testing.assert_allclose(read(tmp_path / "tiled.tif"), whole, rtol=1e-5, atol=1e-2)
    left, top = pairs.CORNER[0] + 20 * pairs.PIXEL, pairs.CORNER[1] - 24 * pairs.PIXEL
    extent = (left, top - 40 * pairs.PIXEL, left + 60 * pairs.PIXEL, top)
    run(mosaic, tmp_path / "part.tif", extent=extent)
    np.testing.assert_allclose(read(tmp_path / "part.tif"), whole[:, 24:64, 20:80], rtol=1e-5, atol=1e-2)


@pytest.mark.slow
def test_a_mosaic_of_two_takes_through_qgis_process(qgis_process, pair, tmp_path):
    msi, (rows, cols) = read(pair.msi), np.mgrid[: pairs.FINE[0], : pairs.FINE[1]]
    far = cols + 0.4 * rows > 80
    gains = np.array([0.8, 1.15, 1.25, 0.9])[:, None, None]
    mosaic = with_msi(pair, tmp_path / "mosaic.tif", np.where(far, gains * msi, msi))
    result = qgis_process(
        "hsfusion:fuseclassical", HSI=mosaic.hsi, MSI=mosaic.msi, METHOD="glp-hs", OUTPUT=tmp_path / "fused.tif",
        REPORT=tmp_path / "report.html",
    )  # fmt: skip
    assert "The MSI is a mosaic of 2 takes" in result.error
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Gain of MSI band 1 over the scene" in page and "the gap is the seam" in page
    (record,) = (json.loads(p.read_text(encoding="utf-8")) for p in tmp_path.glob("fused*.json"))
    assert len(record["light"]["seam"]) >= 2
    run(pair, tmp_path / "one.tif")
    errors = [np.sqrt(((read(tmp_path / f"{n}.tif") - pair.truth) ** 2).mean()) for n in ("fused", "one")]
    assert errors[0] < 1.15 * errors[1]
