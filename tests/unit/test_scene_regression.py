"""Ridge regression: least squares where the ridge is nil, nothing but the mean where it is large, whatever the units;
and by sums of parts.
"""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.pixels.regression import NormalEquations, ridge_regression


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


def test_parts_of_the_pixels_add_up_and_can_be_left_out(samples):
    x, y = (values.T for values in samples)
    parts = [
        NormalEquations.of(x[:, rows], y[:, rows]) for rows in (slice(0, 900), slice(900, 2000), slice(2000, None))
    ]
    whole, rest = NormalEquations.of(x, y), NormalEquations.of(x[:, 900:], y[:, 900:])
    nothing = np.zeros((3, 3))
    np.testing.assert_allclose(NormalEquations.total(parts).solved(nothing), whole.solved(nothing), rtol=1e-9)
    np.testing.assert_allclose((whole - parts[0]).solved(nothing), rest.solved(nothing), rtol=1e-6)


def test_weights_are_those_of_least_squares_and_leave_what_they_leave(samples):
    x, y = (values.T for values in samples)
    equations = NormalEquations.of(x, y)
    weights = equations.solved(np.zeros((3, 3)))
    np.testing.assert_allclose(weights, np.linalg.lstsq(x.T, y.T, rcond=None)[0], rtol=1e-6)
    np.testing.assert_allclose(equations.left(weights), ((y - weights.T @ x) ** 2).sum(axis=1), rtol=1e-6)


def test_a_penalty_is_weighed_against_how_often_pixels_count(samples):
    x, y = (values.T for values in samples)
    equations, penalty = NormalEquations.of(x, y), np.diag([1.0, 2.0, 3.0])
    np.testing.assert_allclose(equations.counted(0.25).solved(penalty), equations.solved(4 * penalty), rtol=1e-9)
