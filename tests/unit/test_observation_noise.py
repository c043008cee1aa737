"""Noise that does not depend on how a scene is cut."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import gaussian_field, noise_std


def test_a_tile_is_the_crop_of_the_whole():
    whole = gaussian_field(7, range(0, 60), range(0, 50), 3)
    np.testing.assert_array_equal(gaussian_field(7, range(11, 40), range(5, 31), 3), whole[:, 11:40, 5:31])
    np.testing.assert_array_equal(gaussian_field(7, range(0, 60), range(0, 50), 2), whole[:2])


def test_it_is_standard_normal_and_white():
    field = gaussian_field(1, range(1000, 1512), range(0, 512), 4).astype(float)
    assert abs(field.mean()) < 4e-3 and abs(field.std() - 1) < 4e-3
    assert abs((field**4).mean() - 3) < 0.05
    for shifted in (field[:, 1:, :] * field[:, :-1, :], field[:, :, 1:] * field[:, :, :-1], field[1:] * field[:-1]):
        assert abs(shifted.mean()) < 4e-3


@pytest.mark.parametrize("other", [{"seed": 8}, {"stream": 1}])
def test_seed_and_stream_change_everything(other):
    plain = gaussian_field(7, range(64), range(64), 1)
    changed = gaussian_field(**{"seed": 7, "stream": 0, **other}, rows=range(64), cols=range(64), components=1)
    assert abs(np.corrcoef(plain.ravel(), changed.ravel())[0, 1]) < 0.06


def test_snr_is_mean_square_over_variance():
    assert noise_std(np.array([4.0]), 20.0) == pytest.approx(0.2)
