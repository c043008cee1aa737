"""Metrics without a reference against independent implementations and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics.structural import GAUSSIAN_11, uiqi_bands
from hsfusion.models.metrics.without_reference import (
    WINDOW,
    box_quality,
    combined,
    consistency_db,
    d_lambda,
    d_s,
    detail_weights,
    hqnr,
    window_size,
)
from hsfusion.models.observation import Degradation, Sampling


def as_batch(cube: np.ndarray):
    torch = pytest.importorskip("torch")
    return torch.from_numpy(np.ascontiguousarray(cube))[None]


@pytest.fixture(scope="module")
def images(make_scene):
    """A scene, its HSI at ratio 4 without noise, and the mean of its bands as panchromatic image."""
    scene = make_scene(6, 128, 96, seed=3).astype(np.float64)
    hsi = Degradation.whole(Sampling(4, 1.1, 1.1), scene.shape[1:])(scene)
    return scene, hsi, scene.mean(axis=0, keepdims=True)


def test_consistency_by_hand():
    observed = np.array([[[1.0, 2.0], [3.0, 4.0]], [[2.0, 2.0], [2.0, 8.0]]])
    predicted = observed + np.array([[[1.0]], [[-2.0]]])
    assert consistency_db(predicted, observed) == pytest.approx(10 * np.log10(64 / 2.5))
    mask = np.array([[True, False], [True, False]])
    assert consistency_db(predicted, observed, mask) == pytest.approx(10 * np.log10(9 / 2.5))


def test_the_truth_is_consistent_and_another_border_rule_is_not(images):
    scene, hsi, _ = images
    down = Degradation.whole(Sampling(4, 1.1, 1.1), scene.shape[1:])
    assert consistency_db(down(scene), hsi) > 100
    padded = np.pad(scene, ((0, 0), (8, 8), (8, 8)))  # zeros beyond the border instead of reflection
    wrong = Degradation.whole(Sampling(4, 1.1, 1.1), padded.shape[1:])(padded)[:, 2:-2, 2:-2]
    assert consistency_db(wrong, hsi) < 40


def test_d_lambda_is_0_for_the_truth_and_agrees_with_sewars_q2n(images):
    sewar = pytest.importorskip("sewar")
    scene, hsi, _ = images
    assert d_lambda(hsi, hsi) == pytest.approx(0, abs=1e-12)
    off = hsi * 1.1 + np.random.default_rng(0).normal(0, 50, hsi.shape)
    theirs = sewar.q2n(np.moveaxis(hsi, 0, -1).copy(), np.moveaxis(off, 0, -1).copy())
    assert d_lambda(off, hsi) == pytest.approx(1 - theirs, abs=1e-9)


def test_d_s_agrees_with_torchmetrics_where_there_is_one_panchromatic_band(images):
    functional = pytest.importorskip("torchmetrics.functional.image")
    scene, hsi, pan = images
    fused = scene + np.random.default_rng(1).normal(0, 60, scene.shape)
    low = Degradation.whole(Sampling(4, 1.1, 1.1), scene.shape[1:])(pan)
    spread = (len(hsi), 1, 1)
    theirs = functional.spatial_distortion_index(
        as_batch(fused), as_batch(hsi), as_batch(np.tile(pan, spread)), as_batch(np.tile(low, spread))
    )
    fine = uiqi_bands(np.tile(pan, spread), fused, kernel=GAUSSIAN_11)
    coarse = uiqi_bands(np.tile(low, spread), hsi, kernel=GAUSSIAN_11)
    assert d_s(fine, coarse) == pytest.approx(float(theirs), abs=1e-5)


def test_d_s_by_hand():
    assert d_s(np.array([0.9, 0.5, np.nan]), np.array([0.8, 0.8, 0.1])) == pytest.approx(0.2)
    assert np.isnan(d_s(np.array([np.nan]), np.array([1.0])))
    assert hqnr(0.2, 0.1) == pytest.approx(0.72)
    assert hqnr(0, 0) == 1


def test_weights_are_those_of_the_combination(images):
    scene, _, _ = images
    down = Degradation.whole(Sampling(4, 1.1, 1.1), scene.shape[1:])
    msi, true = scene[[1, 4]], np.array([[0.3, 0.8, -20.0], [1.5, -0.2, 5.0]])
    bands = combined(true, msi)
    low = down(msi)
    weights = detail_weights(down(bands), low, np.ones(low.shape[1:], bool))
    np.testing.assert_allclose(weights, true, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(combined(weights, msi), bands, rtol=1e-4, atol=0.1)
    with pytest.raises(HSFusionError, match="Too few"):
        few = np.zeros(low.shape[1:], bool)
        few[0, :3] = True
        detail_weights(down(bands), low, few)


def test_several_bands_give_less_distortion_than_their_mean(make_scene):
    """The truth of a scene of three materials and three MSI bands is a combination of these, so D_S vanishes."""
    scene = make_scene(12, 96, 96, materials=3, seed=5).astype(np.float64)
    down = Degradation.whole(Sampling(4, 1.1, 1.1), scene.shape[1:])
    hsi, every = down(scene), np.ones((24, 24), bool)

    def distortion(msi):
        low = down(msi)
        weights = detail_weights(hsi, low, every)
        fine = box_quality(combined(weights, msi), scene, np.ones(scene.shape[1:], bool), window_size(4))
        return d_s(fine, box_quality(combined(weights, low), hsi, every, window_size()))

    assert distortion(scene[[0, 5, 11]]) < 1e-3
    assert distortion(scene.mean(axis=0, keepdims=True)) > 5e-3


@pytest.mark.parametrize(("ratio", "size"), [(1, WINDOW), (4, 4 * WINDOW), (8.33, 67), (2.5, 20)])
def test_windows_cover_the_same_ground(ratio, size):
    assert window_size(ratio) == size


@pytest.mark.parametrize("size", [7, 8, 33])
def test_windows_from_cumulative_sums_agree_with_the_sliding_ones(images, size):
    scene, _, _ = images
    other = scene * 1.02 + np.random.default_rng(2).normal(0, 40, scene.shape)
    mask = np.ones(scene.shape[1:], bool)
    kernel = np.full(size, 1 / size)
    np.testing.assert_allclose(box_quality(scene, other, mask, size), uiqi_bands(scene, other, mask, kernel), rtol=1e-9)
    mask[20:30, 40:70] = False
    holes = np.where(mask, scene, np.nan)
    np.testing.assert_allclose(box_quality(holes, other, mask, size), uiqi_bands(scene, other, mask, kernel), rtol=1e-9)


def test_windows_without_texture_and_images_without_windows():
    flat = np.full((1, 20, 20), 5.0)
    mask = np.ones((20, 20), bool)
    assert box_quality(flat, flat, mask, 8)[0] == pytest.approx(1)
    assert box_quality(flat, 2 * flat, mask, 8)[0] == pytest.approx(0.8), "2 * 1 * 2 / (1 + 4)"
    assert np.isnan(box_quality(flat, flat, mask, 21)[0])
