"""Fixed windows: they cover, they blend to one, and they lie where the scene says, not the tile."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Sampling, Upsampling, coarse_shape
from hsfusion.models.scene.tiles.fixed_windows import Windows
from hsfusion.models.scene.window import Window


@pytest.mark.parametrize("length", [10, 64, 65, 112, 113, 300])
@pytest.mark.parametrize(("size", "overlap"), [(64, 16), (64, 0), (64, 32)])
def test_weights_sum_to_one_everywhere(length, size, overlap):
    windows = Windows(size, overlap)
    total = np.zeros(max(length, size))
    for start, weights in windows.weights(length).items():
        assert start + size <= max(length, size) and (weights >= 0).all()
        total[start : start + size] += weights
    np.testing.assert_allclose(total, 1.0)
    assert set(windows.weights(length)) == set(windows.starts(length))


def test_every_pixel_of_a_core_gets_all_its_windows():
    windows = Windows(64, 16)
    for core in (range(0, 1), range(48, 49), range(63, 64), range(64, 130), range(200, 300)):
        holding = [s for s in windows.starts(300) if any(s <= p < s + 64 for p in core)]
        assert windows.touching(core, 300) == holding


def test_an_overlap_of_more_than_half_is_refused():
    with pytest.raises(HSFusionError, match="at most half"):
        Windows(64, 33)


@pytest.mark.parametrize(
    ("shape", "sampling"),
    [
        ((200, 160), Sampling(4)),
        ((200, 160), Sampling(2.5, 1.0, 1.0, 0.7, -1.3)),
        ((96, 90), Sampling(3, 1.0, 1.0, 9.5, -7.0)),
        ((20, 28), Sampling(4)),
    ],
)
def test_the_place_holds_all_that_interpolation_takes(shape, sampling):
    """Interpolated from the place alone or from the whole scene: the same values."""
    windows = Windows(32, 8)
    y = np.random.default_rng(0).random((2, *coarse_shape(shape, sampling.ratio)))
    whole = Upsampling.whole(sampling, shape)(y)
    for rows in (range(0, 5), range(shape[0] // 2, shape[0] // 2 + 9), range(shape[0] - 3, shape[0])):
        for cols in (range(0, 7), range(shape[1] - 4, shape[1])):
            place = windows.place(Window(rows, cols), shape, sampling)
            part = y[
                :, place.coarse_rows.start : place.coarse_rows.stop, place.coarse_cols.start : place.coarse_cols.stop
            ]
            found = Upsampling(sampling, shape, *place.fine.axes, *place.coarse.axes)(part)
            fine = np.s_[:, place.fine_rows.start : place.fine_rows.stop, place.fine_cols.start : place.fine_cols.stop]
            np.testing.assert_allclose(found, whole[fine], atol=1e-12)
            assert place.fine_rows.start <= rows.start and rows.stop <= place.fine_rows.stop
