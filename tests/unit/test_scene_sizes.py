"""Scenes of any size: no block is too narrow to say something, and none of them stops a run."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import part, whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.sensors.placing import spread

RATIO = 2


@pytest.mark.parametrize("count", [2, 3])
def test_windows_of_any_length(count):
    """From 20 to 200 pixels by one: everything is covered where it fits, and no window is less than half as long as the
    others.
    """
    for length in range(20, 201):
        windows = [range(length)[window] for window in spread(length, 48, count)]
        assert min(map(len, windows)) >= min(24, length)
        assert all(0 <= w.start < w.stop <= length for w in windows)
        if length <= 48 * count:
            assert set().union(*windows) == set(range(length))


@pytest.fixture(scope="module")
def pair(make_scene):
    truth = make_scene(bands=10, rows=48 * RATIO, cols=120 * RATIO, seed=2)
    y = Degradation.whole(Sampling(RATIO), truth.shape[1:])(truth)
    rng = np.random.default_rng(0)
    y += rng.normal(0, 3, y.shape).astype(np.float32)
    return y, truth[[1, 4, 8]] + rng.normal(0, 3, (3, *truth.shape[1:])).astype(np.float32)


@pytest.mark.parametrize("rest", [1, 2, 3, 7])
def test_a_block_of_a_few_rows(pair, rest):
    """As the last one of a scene of 97 x 400 HSI pixels was."""
    scene, sampling = whole_block(*pair), Sampling(RATIO)
    blocks = [part(scene, rows, slice(0, 120), sampling) for rows in (slice(0, 40), slice(40, 40 + rest))]
    fitted = fit_scene(blocks, sampling, 5)
    assert np.isfinite(fitted.coefficients.regression).all()
