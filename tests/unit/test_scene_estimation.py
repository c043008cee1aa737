"""Blind estimation: PSF width, response with gain and offset, and the MSI's noise come out of the pair as they were put
in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, noise_std
from hsfusion.models.scene.block import coarse_samples, whole_block
from hsfusion.models.scene.sensors.response import NOMINAL_FWHM, estimate_psf, estimate_response, msi_noise
from hsfusion.models.scene.subspace.subspace import band_noise, fit_subspace

BANDS = 30
RESPONSE = np.exp(-0.5 * ((np.arange(BANDS) - np.array([[4.0], [11.0], [20.0]])) / 2.0) ** 2)
RESPONSE /= RESPONSE.sum(axis=1, keepdims=True)
GAIN, OFFSET = np.array([1.1, 0.9, 2.0]), np.array([200.0, -150.0, 0.0])


def noisy(image: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    """White noise at an SNR per band."""
    std = noise_std((image**2).mean(axis=(1, 2)), snr_db)[:, None, None]
    return (image + std * np.random.default_rng(seed).standard_normal(image.shape)).astype(np.float32)


def pair(scene: np.ndarray, sampling: Sampling, snr_db: float = 0.0):
    """A simulated pair as a block."""
    hsi = Degradation.whole(sampling, scene.shape[1:])(scene)
    msi = GAIN[:, None, None] * np.tensordot(RESPONSE, scene, axes=1) + OFFSET[:, None, None]
    if snr_db:
        hsi, msi = noisy(hsi, snr_db, 1), noisy(msi, snr_db, 2)
    return whole_block(hsi.astype(np.float32), msi.astype(np.float32))


@pytest.mark.parametrize(
    ("ratio", "fwhm", "snr_db"), [(4, 1.0, 35), (4, 1.6, 35), (3, 0.8, 35), (2.5, 1.3, 0), (8, 1.1, 35)]
)
def test_blind_psf_within_5_percent(make_scene, ratio, fwhm, snr_db):
    size = 40 * ratio
    scene = make_scene(BANDS, round(size), round(size), seed=4)
    true = Sampling(ratio, fwhm, fwhm)
    block = pair(scene, true, snr_db)
    subspace = fit_subspace(block.y.reshape(BANDS, -1).T, 8)
    found = estimate_psf([block], subspace, Sampling(ratio))
    assert found.determined
    assert found.fwhm == pytest.approx(fwhm, rel=0.05)


def test_where_the_pair_cannot_tell_the_psf_is_nominal(make_scene):
    """A scene of white noise in the MSI alone says nothing of the PSF."""
    scene = make_scene(BANDS, 96, 96)
    block = pair(scene, Sampling(4))
    unrelated = replace(block, z=np.random.default_rng(0).standard_normal(block.z.shape).astype(np.float32))
    found = estimate_psf([unrelated], fit_subspace(block.y.reshape(BANDS, -1).T, 8), Sampling(4))
    assert not found.determined and found.fwhm == NOMINAL_FWHM


@pytest.mark.parametrize("snr_db", [0, 35])
def test_response_with_gain_and_offset(make_scene, snr_db):
    """The row sum is the gain and the intercept the offset, both to a share of the band's mean; the curve itself where
    the scene shows it.
    """
    sampling = Sampling(4)
    block = pair(make_scene(BANDS, 160, 160, materials=8), sampling, snr_db)
    samples = coarse_samples([block], sampling)
    found = estimate_response(samples.spectra, samples.low, band_noise(samples.spectra), np.linspace(400, 1000, BANDS))
    predicted = samples.spectra @ found.response.T + found.offset
    np.testing.assert_allclose(found.residual_std, (predicted - samples.low).std(axis=0), rtol=1e-6)
    assert found.unexplained.max() < (1e-4 if not snr_db else 5e-3)
    # The reflectance of no material is flat, so row sum and offset trade off a little: check them where they act.
    flat = np.full(BANDS, samples.spectra.mean())
    expected = GAIN * flat[0] + OFFSET
    np.testing.assert_allclose(found.response @ flat + found.offset, expected, rtol=0.03)
    np.testing.assert_allclose(found.response.sum(axis=1), GAIN, rtol=0.05)
    np.testing.assert_allclose(found.offset, OFFSET, atol=0.05 * samples.low.mean())


def test_response_does_not_depend_on_the_order_of_the_bands(make_scene):
    sampling = Sampling(4)
    block = pair(make_scene(BANDS, 96, 96), sampling, 40)
    samples = coarse_samples([block], sampling)
    wavelengths, order = np.linspace(400, 1000, BANDS), np.random.default_rng(5).permutation(BANDS)
    noise = band_noise(samples.spectra)
    plain = estimate_response(samples.spectra, samples.low, noise, wavelengths)
    mixed = estimate_response(samples.spectra[:, order], samples.low, noise[order], wavelengths[order])
    np.testing.assert_allclose(mixed.response, plain.response[:, order], atol=1e-6)


def test_a_nominal_response_is_kept_where_it_fits(make_scene):
    sampling = Sampling(4)
    block = pair(make_scene(BANDS, 96, 96), sampling)
    samples = coarse_samples([block], sampling)
    found = estimate_response(samples.spectra, samples.low, band_noise(samples.spectra), prior=RESPONSE)
    np.testing.assert_allclose(found.response, GAIN[:, None] * RESPONSE, atol=1e-3)
    np.testing.assert_allclose(found.offset, OFFSET, atol=2.0)


def test_fewer_pixels_than_bands(make_scene):
    samples = make_scene(60, 8, 8).reshape(60, -1).T.astype(float)
    found = estimate_response(samples, samples[:, [3, 30]], np.ones(60))
    assert np.isfinite(found.response).all() and found.unexplained.max() < 0.01


@pytest.mark.parametrize("std", [1.0, 30.0])
def test_noise_of_a_flat_image(std):
    image = (1000 + std * np.random.default_rng(6).standard_normal((2, 128, 128))).astype(np.float32)
    block = whole_block(np.zeros((3, 32, 32), np.float32), image)
    np.testing.assert_allclose(msi_noise([block]), std, rtol=0.1)


def test_noise_of_a_textured_image_is_not_underestimated(make_scene):
    scene = make_scene(3, 160, 160)
    std = 0.01 * scene.mean()
    noisy_scene = scene + std * np.random.default_rng(7).standard_normal(scene.shape)
    found = msi_noise([whole_block(np.zeros((3, 40, 40), np.float32), noisy_scene.astype(np.float32))])
    assert (found > 0.95 * std).all() and (found < 5 * std).all()


@pytest.mark.parametrize("every", [5, 40])
def test_masked_pixels_do_not_leak_into_the_noise(every):
    """Also where no 8 x 8 patch is whole (every fifth row missing, as in Landsat 7's stripes)."""
    image = np.random.default_rng(8).standard_normal((1, 128, 128)).astype(np.float32)
    mask = np.ones((128, 128), np.float32)
    mask[::every] = 0.0
    spoilt = np.where(mask > 0, image, 1e6 * np.random.default_rng(9).random((1, 128, 128), np.float32))
    block = whole_block(np.zeros((3, 32, 32), np.float32), spoilt, z_mask=mask)
    np.testing.assert_allclose(msi_noise([block]), 1.0, rtol=0.15)
