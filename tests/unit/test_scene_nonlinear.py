"""The scene's own nonlinear law: it finds what is there, keeps quiet where nothing is, and never says more than it has seen."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.nonlinear import KernelFit, fit_kernel


@pytest.fixture
def low() -> np.ndarray:
    """A smooth standardised MSI at the coarse scale (2, 40, 40) in which colours come back all over the scene."""
    rng = np.random.default_rng(0)
    fields = np.kron(rng.standard_normal((2, 10, 10)), np.ones((1, 4, 4)))
    return fields + 0.3 * rng.standard_normal((2, 40, 40))


def test_a_nonlinear_law_is_found(low: np.ndarray) -> None:
    law = np.stack([low[0] ** 2 - 1.0, np.abs(low[1])])
    fit = fit_kernel([law], [low], np.ones(2))
    assert (fit.gain > 0.7).all()
    left = ((fit(low) - law) ** 2).mean(axis=(1, 2)) / law.var(axis=(1, 2))
    assert (left < 0.1).all()


def test_noise_is_not_taken_for_a_law(low: np.ndarray) -> None:
    noise = np.random.default_rng(1).standard_normal((2, 40, 40))
    fit = fit_kernel([noise], [low], np.ones(2))
    assert (fit.gain < 0.05).all()
    assert fit(low).std() < 0.4


def test_it_never_says_more_than_it_has_seen(low: np.ndarray) -> None:
    law = low[:1] ** 3
    fit = fit_kernel([law], [low], np.ones(1))
    assert np.abs(fit(50.0 * low)).max() <= np.abs(law).max() + 1e-9


def test_gaps_take_no_part(low: np.ndarray) -> None:
    law, gappy_law, gappy_low = low[:1] ** 2, low[:1] ** 2, low.copy()
    gappy_law[:, :, 30:], gappy_low[:, :, 30:] = np.nan, np.nan
    fit, narrow = (
        fit_kernel([gappy_law], [gappy_low], np.ones(1)),
        fit_kernel([law[..., :30]], [low[..., :30]], np.ones(1)),
    )
    np.testing.assert_allclose(fit(low), narrow(low), atol=1e-9)


def test_it_is_a_function_of_the_pixel_alone(low: np.ndarray) -> None:
    fit = fit_kernel([low[:1] ** 2], [low], np.ones(1))
    np.testing.assert_allclose(fit(low)[:, 7:20, 3:11], fit(low[:, 7:20, 3:11]), atol=1e-12)


def test_numpy_and_torch_agree(low: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    fit: KernelFit = fit_kernel([low[:1] ** 2], [low], np.ones(1))
    z = np.random.default_rng(2).standard_normal((2, 130, 9)).astype(np.float32)
    np.testing.assert_allclose(fit(torch.from_numpy(z)).numpy(), fit(z), atol=2e-3 * np.abs(fit(z)).max())
