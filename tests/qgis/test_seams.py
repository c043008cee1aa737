"""No seam: where tiles meet, a fused raster steps no further than inside the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.tests.qgis import pairs

TILE = 32


def border_against_inside(fused: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """Largest excess of a step between neighbours over the same step of a run in one tile, across tile borders and
    inside tiles.

    Each is a share of the data range: edges of the scene itself are in both runs and take no part.
    """
    excess = {True: 0.0, False: 0.0}
    for axis in (1, 2):
        step, same = np.abs(np.diff(fused, axis=axis)), np.abs(np.diff(whole, axis=axis))
        across = (np.arange(step.shape[axis]) + 1) % TILE == 0
        for border in (True, False):
            excess[border] = max(excess[border], float((step - same).compress(across == border, axis=axis).max()))
    return excess[True] / np.ptp(whole), excess[False] / np.ptp(whole)


@pytest.mark.parametrize("method", ["glp-hs", "loc", "map", "average"])
def test_closed_forms_have_no_seam(tmp_path, method, provider):
    from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
    from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
    from hsfusion.hsfusion_plugin.jobs.run.progress import Progress

    pair, images = pairs.make_pair(tmp_path), {}
    for size in (TILE, 512):
        out = tmp_path / f"{size}.tif"
        request = FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(out), method=method, tile_size=size)
        result = classical.run(request, Progress())
        assert result["USED_METHOD"] == method
        images[size] = pairs.read(out)
    border, inside = border_against_inside(images[TILE], images[512])
    assert border < max(1.2 * inside, 1e-4), (border, inside)
    assert np.abs(images[TILE] - images[512]).max() < 1e-4 * np.ptp(images[512])


@pytest.mark.slow
def test_the_model_has_no_seam(tmp_path, qgis_process, backend):
    pair, images = pairs.make_pair(tmp_path), {}
    for size in (TILE, 512):
        out = tmp_path / f"{size}.tif"
        qgis_process(
            "hsfusion:fuse",
            backend,
            HSI=pair.hsi,
            MSI=pair.msi,
            OUTPUT=out,
            GUARD=False,
            MODEL="hsfusion-base",
            TILE_SIZE=size,
        )
        images[size] = pairs.read(out)
    difference = np.abs(images[TILE] - images[512]).max() / np.ptp(images[512])
    border, inside = border_against_inside(images[TILE], images[512])
    assert difference < 1e-3, difference  # of bfloat16; float32 keeps to 1e-4
    assert border < max(1.5 * inside, 1e-3), (border, inside)
