"""Rotation and scale between the images, found from the shifts of parts of the scene where no one shift fits all."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Sampling
from hsfusion.models.observation.axis import SIGMA_PER_FWHM
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.sensors.shift_trend import find_trend

BANDS, RATIO, MARGIN = 16, 4, 20


def moved_pair(make_scene, size: int, turn: float = 0.0, stretch: float = 0.0, shift: float = 0.0):
    """A pair whose HSI's content is turned by `turn` radians and stretched around the middle, and the distance of its
    corner in MSI pixels.
    """
    fine = size * RATIO
    scene = make_scene(BANDS, fine + 2 * MARGIN, fine + 2 * MARGIN, seed=6)
    centre = (np.arange(size) + 0.5) * RATIO - fine / 2
    y, x = (a.ravel() for a in np.meshgrid(centre, centre, indexing="ij"))
    middle = fine / 2 - 0.5 + MARGIN
    rows, cols = (1 + stretch) * y + turn * x + middle + shift, (1 + stretch) * x - turn * y + middle

    def weights(at):
        distance = np.arange(fine + 2 * MARGIN)[None] - at[:, None]
        w = np.exp(-0.5 * (distance / (SIGMA_PER_FWHM * 1.1 * RATIO)) ** 2)
        return (w / w.sum(axis=1, keepdims=True)).astype(np.float32)

    down, across = weights(rows), weights(cols)
    hsi = np.stack([((down @ band) * across).sum(axis=1) for band in scene]).reshape(BANDS, size, size)
    msi = scene.reshape(4, BANDS // 4, *scene.shape[1:]).mean(axis=1)[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    random = np.random.default_rng(0)
    noisy = [(a + 0.01 * a.mean() * random.standard_normal(a.shape)).astype(np.float32) for a in (hsi, msi)]
    return [whole_block(*noisy)], np.hypot(fine, fine) / 2


@pytest.mark.parametrize(("size", "turn", "stretch"), [(44, 0.04, 0.0), (26, 0.05, 0.0), (44, 0.0, 0.03)])
def test_rotation_and_scale(make_scene, size, turn, stretch):
    blocks, corner = moved_pair(make_scene, size, turn, stretch, shift=0.7)
    trend = find_trend(blocks, Sampling(RATIO))
    assert trend.turn == pytest.approx(np.degrees(turn), abs=0.3)
    assert trend.scale == pytest.approx(1 + stretch, abs=0.006)
    assert trend.drift == pytest.approx((turn + stretch) * corner, rel=0.2)


def test_a_pure_shift_is_no_trend(make_scene):
    blocks, _ = moved_pair(make_scene, 36, shift=2.3)
    assert find_trend(blocks, Sampling(RATIO)) is None


def test_unrelated_images_have_none(make_scene):
    blocks, _ = moved_pair(make_scene, 36)
    (block,) = blocks
    noise = np.random.default_rng(1).normal(size=block.z.shape).astype(np.float32)
    other = whole_block(block.y, noise)
    assert find_trend([other], Sampling(RATIO)) is None and find_trend([], Sampling(RATIO)) is None
