"""Blocks: the samples that everything is fitted to, the same from one block as from many, and nothing of a masked pixel
in them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import (
    Block,
    Samples,
    coarse_samples,
    middle,
    part,
    valid_pixels,
    whole_block,
    windows,
)
from hsfusion.models.scene.window import Place, Window

SAMPLING = Sampling(4, 1.2, 1.2)


@pytest.fixture
def block(make_scene) -> Block:
    """A whole scene as a block: HSI 6 x 20 x 24, MSI 3 x 80 x 96."""
    scene = make_scene(bands=6, rows=80, cols=96)
    return whole_block(Degradation.whole(SAMPLING, (80, 96))(scene), scene[[0, 2, 5]])


def cut(block: Block, rows: range, cols: range, ratio: int, halo: int) -> Block:
    """Part of a whole block: coarse pixels rows x cols, and `halo` fine pixels more on each side."""
    fine = [
        range(max(0, r.start * ratio - halo), min(n, r.stop * ratio + halo))
        for r, n in zip((rows, cols), block.scene_shape)
    ]
    return block.cut(Place(Window(*fine), Window(rows, cols)))


def test_samples_of_a_whole_scene(block):
    samples = coarse_samples([block], SAMPLING)
    assert samples.spectra.shape == (480, 6) and samples.low.shape == (480, 3)
    np.testing.assert_allclose(
        samples.low, samples.spectra[:, [0, 2, 5]], rtol=1e-5
    )  # the MSI is three of the HSI's bands


def test_blocks_with_a_halo_give_the_samples_of_the_whole(block):
    parts = [
        cut(block, rows, cols, 4, 16) for rows in (range(0, 10), range(10, 20)) for cols in (range(0, 9), range(9, 24))
    ]
    whole, cuts = coarse_samples([block], SAMPLING), coarse_samples(parts, SAMPLING)
    assert len(whole.low) == len(cuts.low)
    np.testing.assert_allclose(np.sort(cuts.low, axis=0), np.sort(whole.low, axis=0), rtol=1e-5)


def test_a_part_says_what_the_whole_says_there(block):
    there = part(block, slice(4, 10), slice(7, 24), Sampling(4.0))
    assert (there.coarse_rows, there.coarse_cols) == (range(4, 10), range(7, 24))
    whole = block.degradation(SAMPLING)(block.z)
    np.testing.assert_allclose(there.degradation(SAMPLING)(there.z), whole[:, 4:10, 7:24], rtol=1e-5)
    assert middle(block, 6, Sampling(4.0)).coarse_cols == range(9, 15)


def test_windows_are_the_blocks_where_these_are_small_and_else_spread_over_all_of_them(block):
    assert windows([block], SAMPLING, 480, 4) == [block]
    parts = windows([block, block], SAMPLING, 400, 5)
    assert len(parts) == 16 and all(p.y.shape == (6, 5, 5) for p in parts)
    assert {p.coarse_rows.start for p in parts} == {0, 5, 10, 15}
    assert {p.coarse_cols.start for p in parts} == {0, 5, 10, 15}


def test_windows_lie_where_both_images_are_valid(block):
    mask = block.z_mask.copy()
    mask[:, :50] = 0.0
    parts = windows([replace(block, z_mask=mask)], SAMPLING, 100, 5)
    assert len(parts) == 4 and all(p.coarse_cols.start >= 10 for p in parts)
    nothing = replace(block, z_mask=np.zeros_like(mask))
    assert windows([nothing], SAMPLING, 100, 5) == [nothing]


def test_masked_pixels_take_no_part(block):
    z_mask, y_mask = block.z_mask.copy(), block.y_mask.copy()
    z_mask[40:60, 30:50], y_mask[2:5, 3] = 0.0, 0.0
    masked = replace(block, z_mask=z_mask, y_mask=y_mask)
    spoilt = replace(
        masked, z=np.where(z_mask > 0, block.z, np.float32(1e6)), y=np.where(y_mask > 0, block.y, np.float32(-1e6))
    )
    clean, dirty = coarse_samples([masked], SAMPLING), coarse_samples([spoilt], SAMPLING)
    assert len(clean.low) < 480
    np.testing.assert_array_equal(clean.spectra, dirty.spectra)
    np.testing.assert_array_equal(clean.low, dirty.low)
    valid = valid_pixels(masked, SAMPLING)
    assert not valid[2:5, 3].any() and not valid[10:15, 8:12].any() and valid[0, 0]


def test_too_few_valid_pixels_are_refused(block):
    z_mask = np.zeros_like(block.z_mask)
    z_mask[:20, :20] = 1.0
    with pytest.raises(HSFusionError, match="at least 36"):
        coarse_samples([replace(block, z_mask=z_mask)], SAMPLING)


def test_samples_go_back_to_their_places():
    """Values of the valid pixels of two blocks, whole or made a part at a time; what is invalid is NaN."""
    valid = [np.array([[True, False], [True, True]]), np.array([[False, True]])]
    samples = Samples(np.zeros((4, 1)), np.zeros((4, 1)), valid)
    values = np.arange(8.0).reshape(4, 2)
    for maps in (samples.maps(values), samples.made(lambda rows: values[rows])):
        first, second = maps
        np.testing.assert_array_equal(first[0], [[0, np.nan], [2, 4]])
        np.testing.assert_array_equal(second[1], [[np.nan, 7]])
