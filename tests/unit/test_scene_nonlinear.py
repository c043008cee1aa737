"""The scene's own nonlinear law: it finds what is there, keeps quiet where nothing is, and never says more than it has
seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.laws.nonlinear import AXES, Features, KernelFit, Window, fit_kernel

RATIO, COARSE = 4, 40


@pytest.fixture
def z() -> np.ndarray:
    """A standardised MSI (2, 160, 160): fields of one colour, smaller than HSI pixels, and colours that come back all
    over the scene.
    """
    rng = np.random.default_rng(0)
    wide = np.kron(rng.standard_normal((2, 20, 20)), np.ones((1, 8, 8)))
    small = np.kron(rng.standard_normal((2, 80, 80)), np.ones((1, 2, 2)))
    return (0.8 * wide + 0.6 * small).astype(np.float32)


def window(z: np.ndarray, law: np.ndarray, mask: np.ndarray | None = None) -> Window:
    """What the HSI sees of a law that holds in every pixel of z."""
    shape = z.shape[1:]
    down = Degradation.whole(Sampling(RATIO), shape)
    mask = np.ones(shape, np.float32) if mask is None else mask
    values, support = down.masked(np.concatenate([law, z]).astype(np.float64), mask)
    values[:, support < 0.98] = np.nan
    rest = values[: len(law)]
    return Window(rest, rest, values[len(law) :], z, mask, down)


def left(fit: KernelFit, z: np.ndarray, law: np.ndarray) -> np.ndarray:
    """The share of the law's variance (K,), at the fine scale, that the fit leaves."""
    return (fit(z) - law).var(axis=(1, 2)) / law.var(axis=(1, 2))


def test_a_law_of_single_pixels_is_found_although_only_their_mixtures_are_seen(z: np.ndarray) -> None:
    law = np.stack([z[0] ** 2 - 1.0, z[0] * z[1], np.abs(z[1])])
    fit = fit_kernel([window(z, law)], np.ones(3))
    assert (fit.gain > 0.5).all()
    assert (left(fit, z, law) < [0.15, 0.15, 0.35]).all()


def test_the_mixtures_say_more_of_it_than_coarse_pixels_taken_for_pure_ones(
    z: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = z[:1] * z[1:]
    both = left(fit_kernel([window(z, law)], np.ones(1)), z, law)
    monkeypatch.setattr("hsfusion.models.scene.laws.nonlinear.COARSE_SHARE", 1.0)
    assert both < 0.7 * left(fit_kernel([window(z, law)], np.ones(1)), z, law)


def test_noise_is_not_taken_for_a_law(z: np.ndarray) -> None:
    noise = np.random.default_rng(1).standard_normal((2, COARSE, COARSE))
    fit = fit_kernel([replace(window(z, z), rest=noise)], np.ones(2))
    assert (fit.gain < 0.05).all()
    assert fit(z).std() < 0.5


def test_it_says_hardly_more_than_it_has_seen(z: np.ndarray) -> None:
    seen = window(z, z[:1] ** 3)
    fit = fit_kernel([seen], np.ones(1))
    assert np.abs(fit(50.0 * z)).max() <= 1.5 * np.abs(seen.rest).max() + 1e-6


def test_gaps_take_no_part(z: np.ndarray) -> None:
    law, mask = z[:1] ** 2, np.ones(z.shape[1:], np.float32)
    mask[:, 120:] = 0.0
    wrong = np.where(mask > 0, z, 1e3).astype(np.float32)
    fits = [fit_kernel([window(given, law, mask)], np.ones(1)) for given in (z, wrong)]
    np.testing.assert_allclose(fits[0](z), fits[1](z), atol=1e-4)


def test_windows_are_learnt_from_together(z: np.ndarray) -> None:
    law = np.where(z[:1] > 0, z[:1] ** 2, 0.0)  # seen in full by neither window alone
    halves = [(np.maximum(z, -0.2), law), (np.minimum(z, 0.2), law)]
    windows = [window(part, np.where(part[:1] > 0, part[:1] ** 2, 0.0)) for part, _ in halves]
    assert left(fit_kernel(windows, np.ones(1)), z, law) < 0.3
    assert left(fit_kernel(windows[1:], np.ones(1)), z, law) > 0.5


def test_it_is_a_function_of_the_pixel_alone(z: np.ndarray) -> None:
    fit = fit_kernel([window(z, z[:1] ** 2)], np.ones(1))
    np.testing.assert_allclose(fit(z)[:, 7:60, 3:110], fit(z[:, 7:60, 3:110]), atol=1e-4)


def test_numpy_and_torch_agree(z: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    fit = fit_kernel([window(z, z[:1] ** 2)], np.ones(1))
    np.testing.assert_allclose(fit(torch.from_numpy(z)).numpy(), fit(z), atol=1e-4 * np.abs(fit(z)).max())


def test_the_products_are_those_of_two_and_of_three_components() -> None:
    z = np.random.default_rng(3).standard_normal((3, 5, 4))
    found = Features(np.zeros((1, 3)), 1.0, np.eye(3)[:, :2])(z)
    a, b = z[:2]
    expected = [a * a, a * b, b * b, a * a * a, a * a * b, a * b * b, b * b * b]
    np.testing.assert_allclose(found[0], np.exp(-0.5 * (z**2).sum(0)))
    np.testing.assert_allclose(found[1:], expected)


def test_of_many_bands_the_leading_components_are_taken() -> None:
    rng = np.random.default_rng(4)
    bands = rng.standard_normal((13, 3)) @ rng.standard_normal((3, 64 * 64)) + 0.1 * rng.standard_normal((13, 64 * 64))
    z = (bands / bands.std(axis=1, keepdims=True)).reshape(13, 64, 64).astype(np.float32)
    fit = fit_kernel([window(z, z[:1] ** 2)], np.ones(1))
    assert fit.axes.shape == (13, AXES)
    pixels = z.reshape(13, -1)
    assert (fit.axes[:, -3:].T @ pixels).var() > 0.9 * pixels.var() * 13 / 3


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_windows_of_a_row_or_two(z, rows):
    """The last block of a scene may be as narrow as that; a mean of 2 x 2 then has no pixel."""
    law = np.stack([z[0] * z[1], z[0] ** 2]).astype(np.float32)
    narrow = window(z[:, : rows * RATIO], law[:, : rows * RATIO])
    fit = fit_kernel([window(z, law), narrow], np.ones(2))
    assert np.isfinite(fit(z)).all() and left(fit, z, law).max() < 0.5
