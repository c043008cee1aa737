"""Physical values: bounds hold, HSI pixels keep their means, tiles agree, the rest is not touched."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Sampling, coarse_shape
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.methods.names import CLOSED_FORMS
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.pixels.bounds import REACH_STD, Bounds, Span, cell_reach
from hsfusion.models.scene.tiles.spectra import bounded_tile, expand_tile, outside_part
from hsfusion.models.scene.window import Window
from hsfusion.models.trials import Case, Fitted, Scene, simulate

ONE, TWO, DARK = (np.full(n, v, np.float32) for n, v in ((2, 1), (2, 2), (1, 0)))
WIDE = Bounds(Span(-TWO, TWO, 30 * ONE), Span(DARK, DARK, DARK + 1), True)


def made(ratio: float, shift: float = 0.0) -> tuple:
    """An HSI (2, 12, 10) of ones, one pixel of it negative, and values (2, H, W) that scatter by 1.5 about it."""
    sampling = Sampling(ratio, shift_y=shift, shift_x=-shift)
    height, width = round(12 * ratio), round(10 * ratio)
    hsi = np.ones((2, *coarse_shape((height, width), ratio)), np.float32)
    hsi[:, 4, 3] = -1
    random = np.random.default_rng(0)
    values = (1 + 0.7 * random.standard_normal((2, height, width))).astype(np.float32)
    return whole_block(hsi, np.zeros((1, height, width), np.float32)), values, sampling


def cell_of(size: int, ratio: float, shift: float) -> np.ndarray:
    """The HSI pixel in which each fine pixel's centre lies, along one axis."""
    return np.floor((np.arange(size) + 0.5 - shift) / ratio).astype(int)


@pytest.mark.parametrize(("ratio", "shift"), [(4.0, 0.0), (4.0, 1.3), (2.5, -0.7), (10.0, 0.0)])
def test_nothing_is_negative_where_the_hsi_is_not_and_every_hsi_pixel_keeps_its_mean(ratio, shift):
    block, values, sampling = made(ratio, shift)
    after = values.copy()
    bounded = WIDE.apply(after, block.place.fine, block, sampling)
    rows, cols = cell_of(values.shape[1], ratio, shift), cell_of(values.shape[2], ratio, -shift)
    free = (rows[:, None] == 4) & (cols[None, :] == 3)
    assert (values[:, ~free] < 0).any() and not (after[:, ~free] < 0).any()
    assert np.array_equal(after[:, free], values[:, free])
    assert np.array_equal(bounded, (values < 0).any(axis=0) & ~free)
    for row in np.unique(rows):
        for col in np.unique(cols):
            cell = (slice(None), *np.ix_(rows == row, cols == col))
            wanted = np.maximum(values[cell].mean(axis=(1, 2)), 0)
            if not free[cell[1:]].any():
                assert after[cell].mean(axis=(1, 2)) == pytest.approx(wanted, abs=1e-5)


def test_cells_without_a_value_beyond_a_bound_stay_as_they_are():
    block, values, sampling = made(4.0)
    after = values.copy()
    WIDE.apply(after, block.place.fine, block, sampling)
    for band in range(2):
        for row in range(12):
            for col in range(10):
                cell = (band, slice(4 * row, 4 * row + 4), slice(4 * col, 4 * col + 4))
                if (values[cell] >= 0).all():
                    assert np.array_equal(after[cell], values[cell])


def test_a_window_with_whole_cells_gives_what_the_whole_gives():
    block, values, sampling = made(2.5, 0.6)
    whole = values.copy()
    WIDE.apply(whole, block.place.fine, block, sampling)
    core = Window(range(7, 19), range(6, 21))
    seen = core.grown(cell_reach(sampling), values.shape[1:])
    part = values[(slice(None), *seen.inside(block.place.fine))].copy()
    WIDE.apply(part, seen, block, sampling)
    found = part[(slice(None), *core.inside(seen))]
    assert np.abs(found - whole[(slice(None), *core.inside(block.place.fine))]).max() < 1e-6


def test_values_far_outside_the_range_come_back_to_it_and_nan_stays():
    block, values, sampling = made(4.0)
    bounds = Bounds(Span(0 * ONE, TWO, 0.1 * ONE), Span(DARK, DARK + 1, DARK + 0.5), False)
    values[:, 9, 9], values[:, 30:34, 8] = 50.0, np.nan
    missing, least, most = np.isnan(values), -0.1 * REACH_STD - 1e-6, 2 + 0.1 * REACH_STD + 1e-6
    bounds.apply(values, block.place.fine, block, sampling)
    assert np.array_equal(np.isnan(values), missing)
    assert np.nanmin(values) >= least and np.nanmax(values) <= most


def test_a_pixel_that_the_msi_shows_brighter_than_its_range_may_be_so_in_every_band():
    block, values, sampling = made(4.0)
    bounds = Bounds(Span(0 * ONE, TWO, 0.1 * ONE), Span(DARK, DARK + 1, DARK + 0.5), False)
    block.z[0, 9, 9], values[:, 9, 9] = 1 + 0.5 * 20, 3.5  # the MSI 20 std beyond, the value 15
    bounds.apply(values, block.place.fine, block, sampling)
    assert values[:, 9, 9] == pytest.approx(3.5, abs=0.2) and (values[:, 9, 9] > 3).all()


def test_a_quantity_that_may_be_negative_has_no_bound_at_zero():
    random = np.random.default_rng(1)
    decibels = random.normal(-2, 3, (500, 4))
    assert not Bounds.of(decibels, decibels[:, :1], np.full(4, 0.1)).positive
    noisy = np.abs(decibels) + random.normal(0, 0.5, decibels.shape)
    assert (noisy < 0).mean() > 0.01 and Bounds.of(noisy, noisy[:, :1], np.full(4, 0.5)).positive


def test_a_small_dark_scene_with_few_hsi_pixels_stays_physical(make_scene):
    """10 x 27 HSI pixels, ratio 10, three bands: a regression on so few pixels says values far below zero."""
    truth = make_scene(40, 100, 270, materials=7, seed=3)
    truth = (truth - truth.min(axis=(1, 2), keepdims=True)).astype(np.float32)
    bands = ((485.0, 60.0), (560.0, 60.0), (660.0, 60.0))
    case = Case("few", ratio=10, bands=bands, snr_db=35.0)
    pair = simulate(Scene(truth, np.linspace(400, 2400, 40)), case)
    fitted = Fitted.to(whole_block(pair.hsi, pair.msi), pair.sampling, pair.wavelengths)
    forms, spread = fitted.closed_forms(), pair.hsi.std(axis=(1, 2))[:, None, None]
    low, high = (f(pair.hsi, axis=(1, 2))[:, None, None] for f in (np.min, np.max))
    below = float((pair.hsi < 0).mean())
    for name in CLOSED_FORMS:
        x = forms.named(name)
        fused, free = fitted.expand(x), expand_tile(fitted.scene, x, outside_part(fitted.scene, fitted.block))
        assert (free < 0).mean() > below + 1e-4, "the scene does not ask for a bound"
        assert (fused < 0).mean() <= below + 1e-4
        far = ((fused < low - 3 * spread) | (fused > high + 3 * spread)).any(axis=0)
        assert not (far & (fitted.scene.bounds.msi.beyond(pair.msi) == 0)).any()
        assert np.mean((fused - pair.truth) ** 2) <= np.mean((free - pair.truth) ** 2)


def test_the_bounds_are_part_of_the_scene(make_scene):
    truth = make_scene(12, 48, 48, materials=4, seed=1)
    hsi = truth.reshape(12, 12, 4, 12, 4).mean(axis=(2, 4))
    block = whole_block(hsi, truth[[2, 6, 10]])
    scene = fit_scene([block], Sampling(4, psf="block-mean"))
    assert scene.bounds.positive and scene.bounds.hsi.high == pytest.approx(hsi.max(axis=(1, 2)))
    assert (
        bounded_tile(
            scene, np.zeros((scene.subspace.components, 48, 48), np.float32), whole_block(hsi, truth[[2, 6, 10]])
        ).min()
        >= 0
    )
