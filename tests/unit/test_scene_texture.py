"""Noise of an MSI whose texture is as fine as its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.blocks import whole_block
from hsfusion.models.scene.estimation import msi_noise
from hsfusion.models.scene.texture import noise_without_texture

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
