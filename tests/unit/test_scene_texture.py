"""Noise of an MSI whose texture is as fine as its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import coarse_samples, whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.sensors.msi_noise import noise_unlike_hsi, noise_without_texture
from hsfusion.models.scene.sensors.response import msi_noise
from hsfusion.models.scene.subspace.subspace import fit_subspace

NOISE = np.array([5.0, 10.0, 10.0, 20.0])


def block(bands: int = 4, textured: bool = True, mask: np.ndarray | None = None):
    """Bands that share two textures of white noise, each with its own noise."""
    random = np.random.default_rng(0)
    texture = random.normal(size=(2, 160, 200)) * (60.0 if textured else 0.0)
    z = 1000 + np.tensordot(random.uniform(0.5, 1.5, (bands, 2)), texture, axes=1)
    z = (z + NOISE[:bands, None, None] * random.normal(size=z.shape)).astype(np.float32)
    return whole_block(np.zeros((5, 40, 50), np.float32), z, z_mask=mask)


def test_shared_texture_is_no_noise():
    scene = block()
    assert (msi_noise([scene]) > 2 * NOISE).all(), "what the plain estimate takes it for"
    found = noise_without_texture([scene]) / NOISE
    assert (found > 0.85).all() and (found < 2.0).all()


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_without_texture_both_agree(bands):
    scene = block(bands, textured=False)
    np.testing.assert_allclose(noise_without_texture([scene]), NOISE[:bands], rtol=0.12)


def test_one_band_and_few_whole_patches_keep_the_plain_estimate():
    np.testing.assert_array_equal(noise_without_texture([block(1)]), msi_noise([block(1)]))
    mask = (np.random.default_rng(1).random((160, 200)) > 0.1).astype(np.float32)
    np.testing.assert_array_equal(noise_without_texture([block(mask=mask)]), msi_noise([block(mask=mask)]))


def test_masked_pixels_are_never_seen():
    mask = np.ones((160, 200), np.float32)
    mask[40:60, 50:90] = 0
    clear, spoiled = block(mask=mask), block(mask=mask)
    spoiled.z[:, 40:60, 50:90] = 1e6
    np.testing.assert_array_equal(noise_without_texture([clear]), noise_without_texture([spoiled]))


def rough_pair(noise: float, hsi_noise: float, seed: int = 0):
    """A pair whose scene is white noise of three spectra, and whose one MSI band is a sum over the HSI's."""
    random = np.random.default_rng(seed)
    truth = 500 + np.tensordot(random.uniform(0.5, 1.5, (30, 3)), 100.0 * random.normal(size=(3, 160, 160)), axes=1)
    hsi = Degradation.whole(Sampling(4), (160, 160))(truth)
    hsi = hsi + hsi_noise * random.normal(size=hsi.shape)
    msi = truth[5:15].mean(axis=0, keepdims=True)
    return whole_block(hsi.astype(np.float32), (msi + noise * random.normal(size=msi.shape)).astype(np.float32))


@pytest.mark.parametrize("hsi_noise", [0.2, 5.0])
def test_what_both_images_show_is_no_noise(hsi_noise):
    scene = rough_pair(10.0, hsi_noise)
    assert msi_noise([scene])[0] > 40.0, "what the plain estimate takes the texture for"
    samples = coarse_samples([scene], Sampling(4))
    subspace = fit_subspace(samples.spectra, 3)
    x, gain = subspace.project(samples.spectra.T).T, scene.degradation(Sampling(4)).noise_gain
    found = noise_unlike_hsi(samples.low, x, subspace.coefficient_noise, gain)
    np.testing.assert_allclose(found, 10.0, rtol=0.2)
    blamed = noise_unlike_hsi(samples.low, x, np.zeros(3), gain)
    assert blamed[0] > found[0], "the HSI's own noise would count as the MSI's"


def test_a_scene_takes_the_lowest_estimate():
    rough, smooth = rough_pair(10.0, 0.2), block(textured=False)
    assert fit_scene([rough], Sampling(4), 3).msi_noise[0] < 12.0
    smooth = whole_block(np.random.default_rng(2).normal(size=smooth.y.shape).astype(np.float32), smooth.z)
    np.testing.assert_array_equal(fit_scene([smooth], Sampling(4), 3).msi_noise, noise_without_texture([smooth]))
