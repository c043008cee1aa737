"""PSF width along rows and columns and sub-pixel shift come out of the pair as they were put in, with honest
intervals.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, noise_std
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.sensors.comparable import MOST_PIXELS, comparable, comparison, thinned
from hsfusion.models.scene.sensors.psf_match import gaussian_rows, theta_of
from hsfusion.models.scene.sensors.registration import (
    FWHM_RANGE,
    LARGEST_DRIFT,
    SMALLEST_SHIFT,
    Estimate,
    Registration,
    register,
)

BANDS = 30
RESPONSE = np.exp(-0.5 * ((np.arange(BANDS) - np.array([[4.0], [11.0], [20.0]])) / 2.0) ** 2)
RESPONSE /= RESPONSE.sum(axis=1, keepdims=True)


def noisy(image: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    std = noise_std((image**2).mean(axis=(1, 2)), snr_db)[:, None, None]
    return (image + std * np.random.default_rng(seed).standard_normal(image.shape)).astype(np.float32)


def simulate(scene: np.ndarray, sampling: Sampling, snr_db: float = 35.0, bands: slice = slice(None)) -> Block:
    hsi = Degradation.whole(sampling, scene.shape[1:])(scene)
    return whole_block(noisy(hsi, snr_db, 1), noisy(np.tensordot(RESPONSE[bands], scene, axes=1), snr_db, 2))


@pytest.mark.parametrize(
    ("ratio", "fwhm_y", "fwhm_x", "shift_y", "shift_x"),
    [
        (2, 1.3, 0.9, -2.7, 1.1),
        (3, 0.8, 1.4, 0.4, -1.6),
        (4, 1.0, 1.0, 2.8, -2.8),
        (8, 1.2, 0.7, -0.5, 2.2),
        (8.33, 0.8, 1.3, 1.7, -0.9),
    ],
)
def test_widths_and_shift_together(make_scene, ratio, fwhm_y, fwhm_x, shift_y, shift_x):
    size = round(36 * ratio)
    block = simulate(make_scene(BANDS, size, size, seed=4), Sampling(ratio, fwhm_y, fwhm_x, shift_y, shift_x))
    found = register([block], Sampling(ratio))
    limit = 0.1 if ratio <= 4 else 0.03 * ratio
    assert found.fwhm_y.determined and found.fwhm_x.determined and found.shift_y.determined and found.shift_x.determined
    assert found.fwhm_y.value == pytest.approx(fwhm_y, rel=0.05)
    assert found.fwhm_x.value == pytest.approx(fwhm_x, rel=0.05)
    assert found.shift_y.value == pytest.approx(shift_y, abs=limit)
    assert found.shift_x.value == pytest.approx(shift_x, abs=limit)
    assert found.beyond is None


def test_panchromatic(make_scene):
    block = simulate(make_scene(BANDS, 144, 144, seed=4), Sampling(4, 1.2, 1.2, 1.0, -0.5), bands=slice(1, 2))
    found = register([block], Sampling(4))
    assert (found.shift_y.value, found.shift_x.value) == pytest.approx((1.0, -0.5), abs=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_rasters_that_lie_on_each_other_stay_there(make_scene, seed):
    block = simulate(make_scene(BANDS, 128, 128, seed=seed), Sampling(4, 1.1, 1.1))
    found = register([block], Sampling(4))
    assert max(abs(found.shift_y.value), abs(found.shift_x.value)) < 0.05
    used = found.applied(Sampling(4))
    assert (used.shift_y, used.shift_x) == (0.0, 0.0)
    assert used.fwhm_y == used.fwhm_x == pytest.approx(1.1, rel=0.03)


def test_a_shift_comes_on_top_of_the_phase(make_scene):
    phase = Sampling(4, shift_y=0.3, shift_x=-0.4)
    block = simulate(make_scene(BANDS, 144, 144, seed=4), replace(phase, shift_y=1.3, shift_x=-2.4))
    found = register([block], phase)
    assert (found.shift_y.value, found.shift_x.value) == pytest.approx((1.0, -2.0), abs=0.1)
    used = found.applied(phase)
    assert (used.shift_y, used.shift_x) == pytest.approx((1.3, -2.4), abs=0.1)


def test_what_is_given_is_kept(make_scene):
    true = Sampling(4, 1.3, 0.9, 1.0, -1.5)
    block = simulate(make_scene(BANDS, 144, 144, seed=4), true)
    found = register([block], replace(true, shift_x=0.0), (False, True), (False, True))
    assert found.fwhm_y == Estimate.given(1.3)
    assert found.shift_y == Estimate.given(0.0), "relative to what was given"
    assert found.fwhm_x.value == pytest.approx(0.9, rel=0.05)
    assert found.shift_x.value == pytest.approx(-1.5, abs=0.1)
    used = found.applied(replace(true, shift_x=0.0))
    assert used.fwhm_y == pytest.approx(1.3) and used.shift_y == 1.0
    nothing = register([block], true, (False, False), (False, False))
    assert nothing.applied(true) == pytest.approx(true) or theta_of(nothing.applied(true)) == pytest.approx(
        theta_of(true)
    )


def test_beyond_the_search_nothing_is_corrected(make_scene):
    block = simulate(make_scene(BANDS, 160, 160, seed=4), Sampling(4, 1.0, 1.0, 4.5, -1.0))
    found = register([block], Sampling(4))
    assert found.beyond == pytest.approx((4.5, -1.0), abs=0.2)
    assert not found.shift_y.determined and found.shift_y.value == found.shift_x.value == 0.0


def test_unrelated_images_determine_nothing(make_scene):
    block = simulate(make_scene(BANDS, 128, 128, seed=1), Sampling(4))
    unrelated = replace(block, z=np.random.default_rng(0).standard_normal(block.z.shape).astype(np.float32))
    found = register([unrelated], Sampling(4))
    assert not found.shift_y.determined and not found.shift_x.determined and found.beyond is None
    assert theta_of(found.applied(Sampling(4)))[2:] == pytest.approx([0, 0])
    assert not (found.fwhm_y.determined and found.fwhm_x.determined)


def test_small_scenes_keep_to_the_nominal_values(make_scene):
    block = simulate(make_scene(BANDS, 36, 36, seed=1), Sampling(4, 1.3, 1.3))
    found = register([block], Sampling(4))
    assert not found.fwhm_x.determined and found.fwhm_x.value == 1.0 and found.fwhm_x.low < found.fwhm_x.high
    middling = simulate(make_scene(BANDS, 64, 64, seed=1), Sampling(4, 1.2, 1.2))
    found = register([middling], Sampling(4))
    assert found.fwhm_x.low < 1.2 < found.fwhm_x.high or found.fwhm_x.value == pytest.approx(1.2, rel=0.1)


def test_intervals_cover_the_truth(make_scene):
    inside = []
    for seed in range(6):
        true = Sampling(4, 1.2, 1.0, 0.7, -0.3)
        found = register([simulate(make_scene(BANDS, 120, 120, seed=seed), true, 25.0)], Sampling(4))
        for estimate, value in zip((found.fwhm_y, found.fwhm_x, found.shift_y, found.shift_x), (1.2, 1.0, 0.7, -0.3)):
            margin = 0.02 * (value if value > 0.9 else 1.0)  # the bias that noise in the MSI leaves
            inside.append(estimate.low - margin < value < estimate.high + margin)
    assert np.mean(inside) > 0.8


def test_edges_of_the_search_are_refused(make_scene):
    block = simulate(make_scene(BANDS, 160, 160, seed=4), Sampling(4, 4.5, 4.5), 50.0)
    found = register([block], Sampling(4))
    assert not found.fwhm_y.determined and found.fwhm_y.value == 1.0
    assert found.fwhm_y.high <= FWHM_RANGE[1]


def test_masked_pixels_do_not_matter(make_scene):
    true = Sampling(4, 1.2, 0.9, 1.2, -0.8)
    block = simulate(make_scene(BANDS, 160, 160, seed=4), true)
    z, y = block.z.copy(), block.y.copy()
    z_mask, y_mask = np.ones(z.shape[1:], np.float32), np.ones(y.shape[1:], np.float32)
    z_mask[20:50, 60:100], y_mask[25:30, 5:12] = 0, 0
    z[:, z_mask == 0], y[:, y_mask == 0] = 1e4, 1e4
    found = register([replace(block, y=y, z=z, y_mask=y_mask, z_mask=z_mask)], Sampling(4))
    assert (found.shift_y.value, found.shift_x.value) == pytest.approx((1.2, -0.8), abs=0.1)
    assert found.fwhm_y.value == pytest.approx(1.2, rel=0.05)


def test_the_gradient_is_that_of_the_value(make_scene):
    block = simulate(make_scene(BANDS, 96, 96, seed=4), Sampling(3, 1.2, 0.9, 0.6, -0.8))
    matching = comparison([block], Sampling(3), 2.0)
    theta = np.array([0.1, 0.05, 0.2, -0.3])
    match = matching.match(theta)
    assert match.value == pytest.approx(matching.value(theta), rel=1e-6)
    assert match.scores.sum(axis=0) == pytest.approx(match.gradient)
    for axis in range(4):
        step = np.eye(4)[axis] * 1e-2
        slope = (matching.value(theta + step) - matching.value(theta - step)) / 2e-2
        assert match.gradient[axis] == pytest.approx(slope, rel=0.02, abs=0.02)


def test_the_smooth_operator_is_the_observation_models(make_scene):
    sampling = Sampling(2.5, 1.1, 1.1, 0.4, 0.4)
    down = Degradation.whole(sampling, (100, 100))
    rows = gaussian_rows(range(100), range(40), 2.5, 1.1, 0.4)[0]
    np.testing.assert_allclose(rows[4:-4], down.rows[4:-4], atol=2e-4)


def test_large_scenes_are_thinned_to_windows_at_their_places(make_scene):
    scene = make_scene(BANDS, 420, 420, seed=2)
    block = simulate(scene, Sampling(2, 1.2, 1.2, 0.5, -0.5))
    assert block.y_mask.size > MOST_PIXELS
    parts = thinned([block], Sampling(2))
    assert sum(p.y_mask.size for p in parts) <= MOST_PIXELS
    for part in parts:
        rows, cols = part.coarse_rows, part.coarse_cols
        np.testing.assert_array_equal(part.y, block.y[:, rows.start : rows.stop, cols.start : cols.stop])
        fine = part.fine_rows, part.fine_cols
        np.testing.assert_array_equal(part.z, block.z[:, fine[0].start : fine[0].stop, fine[1].start : fine[1].stop])
    found = register([block], Sampling(2))
    assert (found.shift_y.value, found.shift_x.value) == pytest.approx((0.5, -0.5), abs=0.1)


def test_compared_pixels_keep_away_from_the_border(make_scene):
    block = simulate(make_scene(BANDS, 80, 80, seed=2), Sampling(4))
    good = comparable(block, Sampling(4), 4.0)
    assert good[2:-2, 2:-2].all() and good.sum() == 16 * 16


def test_a_shift_that_may_be_none_is_none():
    assert Estimate(0.3, 0.05, 0.55, True).beyond_doubt == 0.0
    assert Estimate(0.3, 0.25, 0.35, True).beyond_doubt == 0.3
    assert Estimate(SMALLEST_SHIFT / 2, 0.02, 0.03, True).beyond_doubt == 0.0
    widths = Estimate(1.1, 1.0, 1.2, True), Estimate(1.15, 1.05, 1.25, True)
    shift = Estimate.given(0.0)
    used = Registration(*widths, shift, shift).applied(Sampling(4))
    assert used.fwhm_y == pytest.approx(used.fwhm_x)
    apart = Registration(Estimate(1.1, 1.09, 1.11, True), Estimate(1.3, 1.29, 1.31, True), shift, shift).applied(
        Sampling(4)
    )
    assert (apart.fwhm_y, apart.fwhm_x) == pytest.approx((1.1, 1.3))


@pytest.mark.parametrize(("turn", "scale"), [(0.0, 0.0), (0.02, 0.0), (0.0, 0.02)])
def test_rotation_and_scale_are_seen(make_scene, turn, scale):
    """The HSI's content is turned by `turn` radians or stretched by `scale` against its grid: cubic interpolation of
    the fine scene.
    """
    ratio, size, margin = 4, 40, 16
    scene = make_scene(BANDS, size * ratio + 2 * margin, size * ratio + 2 * margin, seed=6)
    down = Degradation.whole(Sampling(ratio, 1.1, 1.1), scene.shape[1:])
    blurred = down(np.tensordot(np.eye(BANDS), scene, axes=1))
    fine = scene[:, margin:-margin, margin:-margin]
    still = Degradation.whole(Sampling(ratio, 1.1, 1.1), fine.shape[1:])(fine)
    if turn or scale:
        centre = (np.arange(size) + 0.5) * ratio - 0.5 - (size * ratio - 1) / 2
        y, x = np.meshgrid(centre, centre, indexing="ij")
        rows = ((1 + scale) * y + turn * x + (size * ratio - 1) / 2 + margin + 0.5) / ratio - 0.5
        cols = ((1 + scale) * x - turn * y + (size * ratio - 1) / 2 + margin + 0.5) / ratio - 0.5
        r0, c0 = np.floor(rows).astype(int), np.floor(cols).astype(int)
        fr, fc = rows - r0, cols - c0
        still = (
            blurred[:, r0, c0] * (1 - fr) * (1 - fc)
            + blurred[:, r0 + 1, c0] * fr * (1 - fc)
            + blurred[:, r0, c0 + 1] * (1 - fr) * fc
            + blurred[:, r0 + 1, c0 + 1] * fr * fc
        )
    msi = np.tensordot(RESPONSE, fine, axes=1)
    found = register([whole_block(noisy(still, 35, 1), noisy(msi, 35, 2))], Sampling(ratio))
    expected = np.hypot(1, 1) * (abs(turn) + abs(scale)) * size * ratio / 2
    if expected:
        assert found.drift == pytest.approx(expected, rel=0.4) and found.drift > LARGEST_DRIFT
    else:
        assert found.drift < 0.1
