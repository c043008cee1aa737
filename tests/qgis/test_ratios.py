"""Ratios that are no whole numbers, from simulation to evaluation, and a stand-in for a real pair: 83.3 m against 10 m,
grids unaligned.
"""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs import estimate_sensor as sensor
from hsfusion.hsfusion_plugin.jobs.estimate_sensor import SensorRequest
from hsfusion.hsfusion_plugin.jobs.evaluate.job import EvaluationRequest, evaluate_rasters
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest, SimulationRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.jobs.simulate import job as simulate
from hsfusion.models.observation import Degradation, Sampling, gaussian_response
from hsfusion.tests.qgis import pairs

RATIO = 8.33
OFFSET = 0.66, -0.33  # of the HSI's grid against the MSI's, in MSI pixels (south, east), as real products have
TRUE = Sampling(RATIO, 1.1, 1.1, -0.9 + OFFSET[0], -0.7 + OFFSET[1])


@pytest.fixture(scope="module")
def scene():
    """(20, 224, 256): the synthetic scene with its mirror images."""
    return np.pad(pairs.scene(), ((0, 0), (0, 112), (0, 128)), "symmetric")


@pytest.fixture(scope="module")
def unaligned(scene, tmp_path_factory):
    """HSI and MSI whose grids do not nest, the HSI's content 0.9 north and 0.7 MSI pixels west of where its
    grid says.
    """
    folder, random = tmp_path_factory.mktemp("ratios"), np.random.default_rng(1)
    fine, coarse = (range(n) for n in scene.shape[1:]), (range(n) for n in (26, 30))
    hsi = Degradation(TRUE, scene.shape[1:], *fine, *coarse)(scene)
    response = gaussian_response(pairs.MSI_WAVELENGTHS, pairs.MSI_FWHM, pairs.WAVELENGTHS)
    msi = np.tensordot(response, scene, axes=1)
    hsi, msi = (image + random.normal(0, 8, image.shape) for image in (hsi, msi))
    corner = pairs.CORNER[0] + OFFSET[1] * pairs.PIXEL, pairs.CORNER[1] - OFFSET[0] * pairs.PIXEL
    return (
        str(pairs.write(folder / "hsi.tif", hsi, RATIO * pairs.PIXEL, corner, wavelengths=pairs.WAVELENGTHS)),
        str(pairs.write(folder / "msi.tif", msi, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS)),
    )


def test_the_unaligned_pair_is_estimated(unaligned):
    """The phase of the grids is known, so the shift that is found is that of the content alone."""
    found = sensor.run(SensorRequest(*unaligned), Progress())
    assert (found["SHIFT_Y"], found["SHIFT_X"]) == pytest.approx((-0.9, -0.7), abs=0.03 * RATIO)
    assert (found["PSF_FWHM"], found["PSF_FWHM_Y"]) == pytest.approx((1.1, 1.1), rel=0.05)


def test_the_unaligned_pair_through_qgis_process(qgis_process, unaligned, scene, tmp_path):
    out = tmp_path / "fused.tif"
    result = qgis_process("hsfusion:fuseclassical", HSI=unaligned[0], MSI=unaligned[1], METHOD="average", OUTPUT=out)
    values, grid = pairs.read(out), gdal.Open(str(out)).GetGeoTransform()
    rows, cols = values.shape[1:]
    assert grid[1] == pairs.PIXEL and rows % RATIO and values.shape[0] == pairs.BANDS
    row, col = round((pairs.CORNER[1] - grid[3]) / pairs.PIXEL), round((grid[0] - pairs.CORNER[0]) / pairs.PIXEL)
    error = (values - scene[:, row : row + rows, col : col + cols])[:, 8:-8, 8:-8]
    assert np.sqrt((error**2).mean()) < 0.012 * scene.max()
    assert result.outputs["HSI_CONSISTENCY"] > 45 and result.outputs["MSI_CONSISTENCY"] > 40


def fused(pair, path, **settings):
    classical.run(
        FusionRequest(hsi=pair[0], msi=pair[1], output=str(path), **{"method": "average", **settings}), Progress()
    )
    return pairs.read(path)


def test_tiles_and_extents_do_not_show(unaligned, tmp_path):
    whole = fused(unaligned, tmp_path / "whole.tif")
    tiled = fused(unaligned, tmp_path / "tiled.tif", tile_size=56)
    np.testing.assert_allclose(tiled, whole, atol=0.05)
    x0, y0 = pairs.CORNER
    part = fused(unaligned, tmp_path / "part.tif", extent=(x0 + 500, y0 - 1000, x0 + 1200, y0 - 400))
    assert any(
        np.allclose(part, whole[:, r : r + part.shape[1], c : c + part.shape[2]], atol=0.05)
        for r in (39, 40)
        for c in (49, 50, 51)
    )


@pytest.mark.parametrize(("ratio", "method"), [(2.5, "glp-hs"), (3.7, "sfim-hs"), (8.33, "loc")])
def test_simulated_fused_evaluated(scene, tmp_path, ratio, method):
    """One ratio through all algorithms: the simulated pair lies where the reference lies, and the scores are those of a
    pair in place.
    """
    reference = pairs.write(tmp_path / "reference.tif", scene, pairs.PIXEL, wavelengths=pairs.WAVELENGTHS)
    pair = str(tmp_path / "hsi.tif"), str(tmp_path / "msi.tif")
    simulate.run(SimulationRequest(str(reference), *pair, ratio=ratio, shift_x=0.7), Progress())
    fused(pair, tmp_path / "fused.tif", method=method)
    scores = evaluate_rasters(EvaluationRequest(str(reference), str(tmp_path / "fused.tif"), ratio=ratio))
    assert scores.PSNR > 36 and scores.ratio == ratio


def test_a_simulated_pair_has_its_true_pixel_size(scene, tmp_path):
    reference = pairs.write(tmp_path / "reference.tif", scene, pairs.PIXEL, wavelengths=pairs.WAVELENGTHS)
    simulate.run(
        SimulationRequest(str(reference), str(tmp_path / "h.tif"), str(tmp_path / "m.tif"), ratio=8.33), Progress()
    )
    coarse, fine = (gdal.Open(str(tmp_path / name)) for name in ("h.tif", "m.tif"))
    assert coarse.GetGeoTransform()[1] == pytest.approx(83.3) and fine.GetGeoTransform()[1] == pytest.approx(10)
    assert abs(coarse.RasterYSize * 8.33 - fine.RasterYSize) <= 0.5
