"""Wald's protocol: the reduced pair is the pair degraded once more, at its own noise, and the verdict keeps
its margin.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, coarse_shape
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.reduced.wald import (
    LEAST_SIZE,
    MARGIN_DB,
    excess_rmse,
    margin_db,
    reduced_block,
    reduced_sampling,
)


@pytest.fixture
def block(make_scene) -> Block:
    """A whole pair: HSI 6 x 40 x 44, MSI 2 x 120 x 132."""
    scene = make_scene(6, 120, 132)
    return whole_block(Degradation.whole(Sampling(3, 1.2, 1.2), (120, 132))(scene), scene[[1, 4]])


def test_the_reduced_pair_is_the_pair_degraded_directly(block):
    sampling = Sampling(3, 1.2, 1.2, shift_y=0.4, shift_x=-0.3)
    reduced = reduced_block(block, sampling)
    assert reduced.y.shape == (6, 13, 14) and reduced.z.shape == (2, 39, 42) and reduced.scene_shape == (39, 42)
    direct = Degradation.whole(Sampling(3, 1.2, 1.2), (39, 42))(block.y[:, :39, :42])
    np.testing.assert_allclose(reduced.y, direct, rtol=1e-5)
    np.testing.assert_allclose(reduced.z, Degradation.whole(sampling, (120, 132))(block.z)[:, :39, :42], rtol=1e-5)
    assert reduced.y_mask.all() and reduced.z_mask.all()


@pytest.mark.parametrize("ratio", [2, 2.5, 3.3, 3.7, 8 / 3])
@pytest.mark.parametrize("size", [33, 40, 41])
def test_sizes_fit_any_ratio(ratio, size):
    """The reduced windows are those of the whole reduced scene, so a scene model can be fitted to them."""
    rng = np.random.default_rng(0)
    fine = round(size * ratio)
    block = whole_block(
        rng.random((4, size, size + 2), np.float32), rng.random((2, fine, round((size + 2) * ratio)), np.float32)
    )
    reduced = reduced_block(block, Sampling(ratio))
    assert (
        reduced.y.shape[1:]
        == coarse_shape(reduced.scene_shape, ratio)
        == (len(reduced.coarse_rows), len(reduced.coarse_cols))
    )
    assert size - ratio - 1 < reduced.scene_shape[0] <= size
    assert fit_scene([reduced], reduced_sampling(Sampling(ratio)), 3).coefficients.scene_shape == reduced.scene_shape


def test_noise_is_brought_back_to_its_level():
    """An image of pure noise has the same noise one scale down, in both images."""
    rng = np.random.default_rng(1)
    hsi_noise, msi_noise = np.array([3.0, 5.0, 1.0]), np.array([2.0, 4.0])
    hsi = (100 + hsi_noise[:, None, None] * rng.standard_normal((3, 120, 120))).astype(np.float32)
    msi = (100 + msi_noise[:, None, None] * rng.standard_normal((2, 480, 480))).astype(np.float32)
    reduced = reduced_block(whole_block(hsi, msi), Sampling(4), hsi_noise, msi_noise)
    np.testing.assert_allclose(reduced.y.std(axis=(1, 2)), hsi_noise, rtol=0.08)
    np.testing.assert_allclose(reduced.z.std(axis=(1, 2)), msi_noise, rtol=0.04)
    plain = reduced_block(whole_block(hsi, msi), Sampling(4))
    assert (plain.z.std(axis=(1, 2)) < 0.5 * msi_noise).all()


def test_masked_pixels_do_not_leak(block):
    z_mask, y_mask = block.z_mask.copy(), block.y_mask.copy()
    z_mask[30:40, 60:70], y_mask[20, 20] = 0.0, 0.0
    results = []
    for value in (0.0, 1e6):
        y, z = np.where(y_mask > 0, block.y, np.float32(value)), np.where(z_mask > 0, block.z, np.float32(value))
        results.append(reduced_block(replace(block, y=y, z=z, y_mask=y_mask, z_mask=z_mask), Sampling(3, 1.2, 1.2)))
    for name in ("y_mask", "z_mask"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))
    assert results[0].z_mask[20, 20] == 0 and results[0].z_mask[11, 21] == 0 and results[0].y_mask[6, 6] == 0
    np.testing.assert_array_equal(results[0].y, results[1].y)
    np.testing.assert_array_equal(results[0].z, results[1].z)


def test_a_small_scene_says_nothing(make_scene):
    size = 4 * (LEAST_SIZE - 1)
    scene = make_scene(4, size, 200)
    assert (
        reduced_block(whole_block(Degradation.whole(Sampling(4), (size, 200))(scene), scene[:2]), Sampling(4)) is None
    )


def test_a_small_scene_must_lead_by_more():
    assert margin_db(36) > margin_db(1000) > MARGIN_DB


def test_the_truths_own_noise_is_no_error():
    assert excess_rmse(np.array([25.0, 25.0]), np.array([4.0, 4.0])) == pytest.approx(3.0)
    assert excess_rmse(np.array([9.0]), np.array([4.0])) > 0
