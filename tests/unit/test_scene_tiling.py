"""The plan of tiles covers the output once, lies on the absolute grid, and no pixel of a closed form depends on the
cut.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.models.observation import Degradation, Sampling, coarse_range, coarse_shape, noise_std
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.tiles.plan import COARSE_HALO, coarse_halo, place_of, plan_tiles
from hsfusion.models.scene.window import Window


def slices(rows: range, cols: range, top: int = 0, left: int = 0) -> tuple:
    """Ranges as slices behind a band axis."""
    return slice(None), slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([2, 2.5, 3, 3.7, 4, 8]),
    st.integers(40, 300),
    st.integers(0, 200),
    st.integers(1, 100),
    st.sampled_from([1, 8]),
    st.floats(-3, 3),
)
def test_a_place_lies_on_the_grid_and_sees_its_reach(ratio, size, start, length, multiple, shift):
    core = range(min(start, size - 1), min(start + length, size))
    sampling = Sampling(ratio, shift_y=shift, shift_x=shift)
    place = place_of(Window(core, core), (size, size), sampling, 16, multiple)
    window = place.fine_rows
    assert window.start % multiple == 0 and (window.stop % multiple == 0 or window.stop == size)
    assert window.start <= max(0, core.start - 16) and window.stop >= min(size, core.stop + 16)
    coarse = place.coarse_rows
    assert 0 <= coarse.start < coarse.stop <= coarse_shape((size, size), ratio)[0]
    centres = (np.arange(coarse.start, coarse.stop) + 0.5) * ratio - 0.5 + shift
    inside = (centres >= window.start - 1e-6) & (centres <= window.stop - 1 + 1e-6)
    if window.start > 0 and window.stop < size and len(window) > 2 * ratio:
        assert inside.all()


def test_coarse_pixels_reach_the_border_of_the_scene():
    assert coarse_range(range(0, 40), 40, 10, 4, 2.5) == range(0, 10)
    assert coarse_range(range(8, 24), 40, 10, 4, 0.0) == range(2, 6)


@pytest.fixture(scope="module")
def scenes(make_scene):
    """Fitted pairs by (ratio, fwhm, snr_db), made when first asked for."""
    kept = {}

    def get(ratio: float, fwhm: float, snr_db: float, size: int = 320):
        key = (ratio, fwhm, snr_db, size)
        if key not in kept:
            truth, sampling = make_scene(24, size, size, seed=3), Sampling(ratio, fwhm, fwhm)
            hsi, msi = Degradation.whole(sampling, (size, size))(truth), truth[[3, 9, 15]]
            if snr_db:
                rng = np.random.default_rng(0)
                hsi, msi = (
                    a
                    + noise_std((a**2).mean(axis=(1, 2)), snr_db)[:, None, None].astype(np.float32)
                    * rng.standard_normal(a.shape, np.float32)
                    for a in (hsi, msi)
                )
            block = whole_block(hsi, msi)
            scene = fit_scene([block], sampling)
            y, z = scene.subspace.project(hsi).astype(np.float32), scene.standardise(msi)
            whole = ClosedForms.of(scene.standardised(block), scene.coefficients)
            kept[key] = truth, scene, y, z, whole
        return kept[key]

    return get


@pytest.mark.parametrize(
    ("ratio", "fwhm", "snr_db"), [(4, 1.0, 0), (2, 1.0, 25), (4, 1.6, 45), (2, 2.0, 0), (2.5, 0.8, 35), (8, 1.0, 35)]
)
@pytest.mark.parametrize("tile_size", [64, 96, 160])
def test_closed_forms_do_not_depend_on_the_cut(scenes, ratio, fwhm, snr_db, tile_size):
    """Any tile gives the pixels of the whole scene to 1e-4 of the data range, also where a wide PSF is inverted on
    clean data.
    """
    truth, scene, y, z, whole = scenes(ratio, fwhm, snr_db)
    model, basis, worst = scene.coefficients, scene.subspace.basis, 0.0
    for tile in plan_tiles(Window(range(100, 230), range(64, 200)), model, tile_size)[:3]:
        place = tile.place
        ty, tz = y[slices(place.coarse_rows, place.coarse_cols)], z[slices(place.fine_rows, place.fine_cols)]
        forms = ClosedForms(ty, tz, np.ones(ty.shape[1:], np.float32), np.ones(tz.shape[1:], np.float32), model, place)
        for name in ("y_up", "glp", "loc", "map", "misfit"):
            difference = (
                getattr(forms, name)[(slice(None), *tile.inner)]
                - getattr(whole, name)[slices(tile.core.rows, tile.core.cols)]
            )
            worst = max(worst, float(np.abs(np.tensordot(basis, difference, axes=1)).max()))
    assert worst < 1e-4 * np.ptp(truth)


def test_the_halo_grows_with_what_map_inverts(scenes):
    """A narrow PSF or noisy data need LOC's window only; a wide PSF on clean data needs more."""
    assert coarse_halo(scenes(2.5, 0.8, 35)[1].coefficients) == COARSE_HALO
    assert COARSE_HALO + 6 < coarse_halo(scenes(2, 2.0, 0)[1].coefficients) <= 32


@pytest.mark.parametrize(("size", "multiple"), [(64, 8), (100, 8), (5, 1), (3, 8)])
def test_tiles_cover_the_output_once(scenes, size, multiple):
    model = scenes(4, 1.0, 0)[1].coefficients
    rows, cols, seen = range(13, 90), range(7, 61), np.zeros((320, 320), int)
    for tile in plan_tiles(Window(rows, cols), model, size, halo=16, multiple=multiple):
        seen[slices(tile.core.rows, tile.core.cols)[1:]] += 1
        inner = tile.inner
        assert (
            inner[0].stop - inner[0].start == len(tile.core.rows)
            and inner[1].start + tile.place.fine_cols.start == tile.core.cols.start
        )
    assert (seen[13:90, 7:61] == 1).all() and seen.sum() == 77 * 54


def test_a_cut_of_the_output_gives_tiles_of_the_same_grid(scenes):
    """Cores are cut at absolute multiples of the size, so an EXTENT's tiles see what the full run's see."""
    model = scenes(4, 1.0, 0)[1].coefficients
    whole = {(t.core.rows, t.core.cols): t.place for t in plan_tiles(Window.whole((320, 320)), model, 64, 16, 8)}
    for tile in plan_tiles(Window(range(64, 192), range(128, 320)), model, 64, 16, 8):
        assert whole[(tile.core.rows, tile.core.cols)] == tile.place
