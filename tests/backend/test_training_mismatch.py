"""What keeps the two images of a real pair from agreeing, as training simulates it."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.training.subspace.mismatch import LARGEST_CHANGE, LARGEST_SHADING, _moved, mismatched


def test_a_ramp_moves_by_the_shift():
    """Linear interpolation is exact on a linear image, but for the border."""
    rows, cols = np.mgrid[:12, :10].astype(float)
    image = np.stack([3.0 * rows + 2.0 * cols])
    moved = _moved(image, 0.25, -0.5)
    assert moved[0, 2:-2, 2:-2] == pytest.approx((3.0 * (rows - 0.25) + 2.0 * (cols + 0.5))[2:-2, 2:-2])


def test_no_shift_changes_nothing():
    """An image that is moved by 0 is itself."""
    image = np.random.default_rng(0).random((2, 8, 8))
    assert np.array_equal(_moved(image, 0.0, 0.0), image)


def test_a_mismatch_is_bounded_and_follows_the_seed():
    """A constant image shows the gain alone: it stays near 1 but for what changed, and repeats with the seed."""
    image = np.full((3, 40, 60), 100.0, np.float32)
    found = [mismatched(np.random.default_rng(seed), image) for seed in range(30)]
    assert all(one.shape == image.shape and one.dtype == np.float32 and np.isfinite(one).all() for one in found)
    assert np.array_equal(found[3], mismatched(np.random.default_rng(3), image))
    ordinary = np.median(np.abs(np.stack(found) / 100.0 - 1.0))
    assert 0.0 < ordinary < LARGEST_SHADING
    assert max(np.abs(one / 100.0 - 1.0).max() for one in found) > 0.5 * LARGEST_CHANGE


def test_bands_change_apart():
    """The bands of a pair of dates do not change alike."""
    image = np.full((2, 40, 40), 100.0, np.float32)
    first, second = mismatched(np.random.default_rng(5), image)
    assert not np.allclose(first, second)
