"""Ridge regression: least squares where the ridge is nil, nothing but the mean where it is large, whatever the units."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.regression import ridge_regression


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    """x (3000, 3), correlated, and y (3000, 5), linear in it but for noise."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 3)) @ rng.standard_normal((3, 3)) + 5.0
    return x, x @ rng.standard_normal((3, 5)) + 2.0 + 0.1 * rng.standard_normal((3000, 5))


def test_without_a_ridge_it_is_least_squares(samples):
    x, y = samples
    slopes, intercept = ridge_regression(x, y, 0.0)
    found = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    np.testing.assert_allclose(slopes, found[:3].T, rtol=1e-6)
    np.testing.assert_allclose(intercept, found[3], rtol=1e-6)


def test_a_strong_ridge_leaves_the_mean(samples):
    x, y = samples
    slopes, intercept = ridge_regression(x, y, 1e6)
    assert np.abs(slopes).max() < 1e-5
    np.testing.assert_allclose(intercept, y.mean(axis=0), rtol=1e-4)


def test_the_ridge_is_relative_to_the_regressors(samples):
    x, y = samples
    one, scaled = (ridge_regression(unit * x, y, 0.3)[0] * unit for unit in (1.0, 1e4))
    np.testing.assert_allclose(scaled, one, rtol=1e-9)
