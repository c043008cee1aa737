"""The spectral subspace: an exact round trip inside it, whitened by the bands' noise, which is found from the spectra
alone.
"""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.scene.subspace.subspace import band_noise, fit_subspace


@pytest.fixture
def spectra(make_scene) -> np.ndarray:
    """Clean spectra (N, L) of rank 5."""
    return make_scene(bands=24, rows=60, cols=60, materials=5).reshape(24, -1).T.astype(np.float64)


def test_spectra_inside_the_subspace_survive_the_round_trip(spectra):
    subspace = fit_subspace(spectra, 6)
    back = subspace.expand(subspace.project(spectra.T))
    assert np.abs(back - spectra.T).max() < 2e-3 * np.ptp(spectra)
    x = np.random.default_rng(0).standard_normal((6, 5, 4))
    np.testing.assert_allclose(subspace.project(subspace.expand(x)), x, atol=1e-6)  # 1e-8 with some BLAS


def test_coefficients_have_unit_variance_and_are_uncorrelated(spectra):
    x = fit_subspace(spectra, 4).project(spectra.T)
    np.testing.assert_allclose(np.cov(x, bias=True), np.eye(4), atol=1e-6)


@pytest.mark.parametrize("snr_db", [25, 35])
def test_noise_is_found_in_every_band(spectra, snr_db):
    """Per band to 35 %, the mean to 20 %, where the bands' noise differs by a factor of ten: an upper estimate, as
    noisy predictors explain less.
    """
    rng = np.random.default_rng(1)
    true = np.sqrt((spectra**2).mean()) * 10 ** (-snr_db / 20) * np.geomspace(0.3, 3.0, spectra.shape[1])
    noisy = spectra + true * rng.standard_normal(spectra.shape)
    found = band_noise(noisy) / true
    assert found.min() > 0.95 and found.max() < 1.35 and found.mean() < 1.2


def test_noisy_bands_do_not_rule_the_subspace(spectra):
    """With noise ten times the signal in two bands, the other bands are still explained by the leading components."""
    noisy = spectra.copy()
    noisy[:, [3, 17]] += 10 * spectra.std() * np.random.default_rng(2).standard_normal((len(spectra), 2))
    subspace = fit_subspace(noisy, 5)
    rest = np.delete(subspace.expand(subspace.project(noisy.T)).T - noisy, [3, 17], axis=1)
    assert rest.std() < 0.02 * spectra.std()


def test_coefficient_noise_is_what_white_noise_becomes(spectra):
    noise = np.linspace(20.0, 80.0, spectra.shape[1])
    subspace = fit_subspace(spectra, 4, noise=noise)
    white = noise[:, None] * np.random.default_rng(3).standard_normal((spectra.shape[1], 20000))
    measured = (subspace.analysis @ white).std(axis=1)
    np.testing.assert_allclose(subspace.coefficient_noise, measured, rtol=0.03)


def test_components_are_cut_to_what_there_is(spectra):
    assert fit_subspace(spectra[:, :3], 8).components == 3
    assert fit_subspace(spectra[:5], 8).components == 4


def test_a_band_without_contrast_is_carried_along(spectra):
    spectra[:, 7] = 42.0
    subspace = fit_subspace(spectra, 5)
    np.testing.assert_allclose(subspace.expand(subspace.project(spectra.T))[7], 42.0, atol=1e-6)


def test_a_constant_scene_is_refused():
    with pytest.raises(HSFusionError, match="constant"):
        fit_subspace(np.full((100, 10), 5.0), 4)


def test_numpy_equals_torch(spectra):
    torch = pytest.importorskip("torch")
    subspace, cube = fit_subspace(spectra, 4), spectra.T.reshape(-1, 60, 60)
    x = subspace.project(cube)
    np.testing.assert_allclose(subspace.project(torch.from_numpy(cube)).numpy(), x, atol=1e-9)
    np.testing.assert_allclose(subspace.expand(torch.from_numpy(x)).numpy(), subspace.expand(x), rtol=1e-9)
