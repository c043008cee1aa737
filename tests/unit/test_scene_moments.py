"""Moments of spectra in parts: what numpy says of all of them at once."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.pixels.moments import ROWS, covariance, parts


@pytest.mark.parametrize("count", [1, 50, ROWS, 2 * ROWS + 7])
def test_parts_are_all_rows_once(count):
    rows = [np.arange(count)[part] for part in parts(count)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(count))
    assert max(map(len, rows)) <= ROWS


@pytest.mark.parametrize("count", [50, 2 * ROWS + 7])
def test_agrees_with_numpy(count):
    random = np.random.default_rng(0)
    x = 1000 + random.normal(size=(count, 5)) @ random.normal(size=(5, 5))
    y = x[:, :2] @ random.normal(size=(2, 3)) + random.normal(size=(count, 3))
    both = np.cov(np.concatenate([x, y], axis=1), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance(x), both[:5, :5], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(covariance(x, y), both[:5, 5:], rtol=1e-9, atol=1e-9)
