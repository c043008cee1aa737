"""MSI bands with larger pixels of their own get their detail from the sharp ones, and soft bands are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.sensors.soft_bands import blur_reach, blurred, fit_sharpening, softness

SOFT, SHARP = [3, 4], [0, 1, 2]
SIZES = np.array([1.0, 1.0, 1.0, 2.0, 2.0])


def resampled(image: np.ndarray, how: str) -> np.ndarray:
    """The image as a sensor with pixels twice as large sees it, brought back by `how`."""
    sampling = Sampling(2, 1.0, 1.0)
    low = Degradation.whole(sampling, image.shape[1:])(image)
    if how == "nearest":
        return low.repeat(2, axis=1).repeat(2, axis=2)
    return Upsampling.whole(sampling, image.shape[1:])(low)


@pytest.fixture(scope="module")
def sharp_msi(make_scene):
    scene = make_scene(20, 120, 136, seed=3)
    msi = scene.reshape(5, 4, 120, 136).mean(axis=1)
    return (msi + np.random.default_rng(0).normal(0, 0.005 * msi.std(), msi.shape)).astype(np.float32)


@pytest.fixture(params=["cubic", "nearest"])
def soft_msi(sharp_msi, request):
    msi = sharp_msi.copy()
    msi[SOFT] = resampled(sharp_msi[SOFT], request.param)
    return msi


def test_soft_bands_come_closer_to_what_they_would_be(sharp_msi, soft_msi):
    mask = np.ones(soft_msi.shape[1:], np.float32)
    found = fit_sharpening([(soft_msi, mask)], SIZES)(soft_msi, mask)
    np.testing.assert_array_equal(found[SHARP], soft_msi[SHARP])
    inner = np.s_[:, 8:-8, 8:-8]
    before, after = (np.sqrt(((m - sharp_msi)[SOFT][inner] ** 2).mean(axis=(1, 2))) for m in (soft_msi, found))
    assert (after < 0.75 * before).all()


def test_where_all_are_sharp_or_none_is_there_is_nothing_to_do(sharp_msi):
    parts = [(sharp_msi, np.ones(sharp_msi.shape[1:], np.float32))]
    assert fit_sharpening(parts, np.ones(5)) is None
    assert fit_sharpening(parts, np.full(5, 2.0)) is None


def test_a_window_with_its_reach_equals_the_crop_of_the_whole(soft_msi):
    mask = np.ones(soft_msi.shape[1:], np.float32)
    mask[40:50, 60:75] = 0
    z = soft_msi * mask
    sharpening = fit_sharpening([(z, mask)], np.array([1.0, 1.0, 1.0, 2.0, 3.0]))
    whole, reach = sharpening(z, mask), sharpening.reach
    window = np.s_[30 - reach : 70 + reach, 50 - reach : 90 + reach]
    part = sharpening(z[(slice(None), *window)], mask[window])[:, reach:-reach, reach:-reach]
    np.testing.assert_allclose(part, whole[:, 30:70, 50:90], atol=1e-4 * np.abs(whole).max())


def test_masked_pixels_do_not_leak(soft_msi):
    mask = np.ones(soft_msi.shape[1:], np.float32)
    mask[40:60, 50:80] = 0
    sharpening = fit_sharpening([(soft_msi * mask, mask)], SIZES)
    first = sharpening(soft_msi * mask, mask)
    assert (first[:, mask == 0] == 0).all()
    near = np.abs(first - soft_msi)[:, mask > 0].max()
    plain = np.abs(sharpening(soft_msi, np.ones_like(mask)) - soft_msi).max()
    assert near < 1.5 * plain, "the hole's zeros are no edge"


def test_softness_is_seen_and_only_there(sharp_msi, soft_msi):
    mask = np.ones(soft_msi.shape[1:], np.float32)
    assert not softness([(sharp_msi, mask)]).any()
    found = softness([(soft_msi, mask)])
    assert not found[SHARP].any() and found[SOFT].any()
    assert 1.2 <= found.max() <= 3.5


def test_noise_is_no_softness(sharp_msi, soft_msi):
    """A blur takes the noise of a band away, so that it explains the others better; that says nothing of how sharp
    these are.
    """
    mask, rng = np.ones(soft_msi.shape[1:], np.float32), np.random.default_rng(1)
    smooth = blurred(sharp_msi, mask, 4.0)  # large fields: all bands are alike, and little detail is lost by a blur
    noise = smooth.std(axis=(1, 2)) * np.linspace(0.25, 0.02, len(smooth))
    field = rng.standard_normal(smooth.shape) * noise[:, None, None]
    noisy = (smooth + field).astype(np.float32)
    assert softness([(noisy, mask)]).any(), "what the noise would be taken for"
    for known in (0.9, 1.0, 1.1):
        assert not softness([(noisy, mask)], known * noise).any()
    found = softness([(soft_msi, mask)], 0.1 * noise)
    assert not found[SHARP].any() and found[SOFT].any()


def test_blur_keeps_the_mean_and_reaches_as_far_as_it_says():
    image = np.zeros((1, 41, 41), np.float32)
    image[0, 20, 20] = 1
    spread = blurred(image, np.ones((41, 41), np.float32), 3.0)
    assert spread.sum() == pytest.approx(1.0, abs=1e-5)
    rows = np.flatnonzero(spread[0].sum(axis=1) > 0)
    assert rows[0] >= 20 - blur_reach(3.0) and rows[-1] <= 20 + blur_reach(3.0)
