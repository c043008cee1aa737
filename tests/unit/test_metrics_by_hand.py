"""Cases whose answer can be worked out by hand, and what masks, bad bands and degenerate input do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics import CONVENTIONS, NUMBERS, evaluate
from hsfusion.models.metrics.hypercomplex import q2n, sign_table
from hsfusion.models.metrics.spectral import sam
from hsfusion.models.metrics.structural import GAUSSIAN_11, local_moments, ssim_bands, uiqi_bands


def cube(bands: int = 4, rows: int = 40, cols: int = 44, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 1000 + 300 * random.random((bands, rows, cols)).cumsum(axis=2) / 20


def test_radiometric_numbers_by_hand():
    # Two bands of means 2 and 4, errors of exactly 1 and 2 with alternating sign, maxima 3 and 5.
    x = np.stack([np.tile([1.0, 3.0], (12, 6)), np.tile([3.0, 5.0], (12, 6))])
    sign = np.tile([1.0, -1.0], (12, 6))
    y = x + np.stack([sign, 2 * sign])
    scores = evaluate(x, y, ratio=4)
    assert scores.peak == 5
    assert pytest.approx(math.sqrt(2.5)) == scores.RMSE
    assert pytest.approx(10 * math.log10(25 / 2.5)) == scores.PSNR
    assert pytest.approx(10 * math.log10(25) / 2 + 10 * math.log10(25 / 4) / 2) == scores.PSNR_BAND_MEAN
    assert pytest.approx(10 * math.log10(9) / 2 + 10 * math.log10(25 / 4) / 2) == scores.PSNR_BAND_PEAK
    assert pytest.approx(25 * math.sqrt((1 / 4 + 4 / 16) / 2)) == scores.ERGAS
    np.testing.assert_allclose(scores.bias_bands, 0, atol=1e-12)
    np.testing.assert_allclose(scores.error_map, math.sqrt(2.5))
    # Band 1 becomes constant (2, 2): no correlation; band 2 becomes 5, 3: correlation -1.
    assert np.isnan(scores.cc_bands[0])
    assert pytest.approx(-1) == scores.CC


def test_spectral_angles_by_hand():
    x = np.array([[[1.0, 1.0, 0.0, 2.0]], [[0.0, 1.0, 0.0, 0.0]]])
    y = np.array([[[0.0, 1.0, 1.0, -3.0]], [[5.0, 0.0, 1.0, 0.0]]])
    result = sam(x, y)  # 90, 45, zero reference, 180 degrees
    assert result.mean == pytest.approx(105)
    assert result.zero == 1


def test_perfect_fusion():
    x = cube()
    scores = evaluate(x, x.copy(), ratio=4)
    assert [math.inf] * 3 == [scores.PSNR, scores.PSNR_BAND_MEAN, scores.PSNR_BAND_PEAK]
    assert [scores.RMSE, scores.SAM, scores.ERGAS] == [0, 0, 0]
    for value in (scores.SSIM, scores.Q2N, scores.CC, scores.UIQI):
        assert value == pytest.approx(1)


def test_bands_and_pixels_that_are_left_out_are_counted_and_do_not_matter():
    x = cube(bands=6)
    y = x + np.random.default_rng(2).normal(0, 20, x.shape)
    wanted = evaluate(np.delete(x, [1, 4], axis=0), np.delete(y, [1, 4], axis=0), 4)
    x[1], y[4] = np.nan, np.nan  # one nodata in the reference, one in the fused image
    scores = evaluate(x, y, 4)
    assert scores.bands_excluded == 2 and list(scores.bands) == [0, 2, 3, 5]
    assert scores.numbers() == wanted.numbers()
    x[1], y[4] = 1e9, -1e9  # bad bands with wild values, named
    assert evaluate(x, y, 4, bands=[0, 2, 3, 5]).numbers() == wanted.numbers()


def test_masked_corner_equals_the_cropped_image():
    x = cube(rows=64, cols=64)
    y = x + np.random.default_rng(3).normal(0, 20, x.shape)
    x_hole = x.copy()
    x_hole[2, :, 32:] = np.nan  # a pixel without one of its bands takes no part in any
    scores, wanted = evaluate(x_hole, y, 4, peak=2000), evaluate(x[..., :32], y[..., :32], 4, peak=2000)
    assert scores.pixels_valid == 64 * 32 and scores.pixels_total == 64 * 64 and scores.pixels_missing == 0
    for name in ("PSNR", "PSNR_BAND_MEAN", "PSNR_BAND_PEAK", "RMSE", "SAM", "ERGAS", "Q2N", "CC"):
        assert getattr(scores, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name
    assert np.isnan(scores.error_map[:, 32:]).all() and np.isnan(scores.sam_map[:, 32:]).all()


def test_what_the_method_left_out_is_counted():
    x = cube()
    y = x.copy()
    y[:, :3, :5] = np.nan
    assert evaluate(x, y, 4).pixels_missing == 15


def test_masked_ssim_by_brute_force():
    random = np.random.default_rng(4)
    x, y = 100 + 10 * random.random((2, 24, 26))
    mask = random.random(x.shape) > 0.3
    weight = np.outer(GAUSSIAN_11, GAUSSIAN_11)
    c1, c2 = (0.01 * 110) ** 2, (0.03 * 110) ** 2
    values = []
    for row in range(5, 19):
        for col in range(5, 21):
            if mask[row, col]:
                part = np.s_[row - 5 : row + 6, col - 5 : col + 6]
                w = weight * mask[part]
                w /= w.sum()
                a, b = x[part], y[part]
                ma, mb = (w * a).sum(), (w * b).sum()
                va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
                vab = (w * (a - ma) * (b - mb)).sum()
                values.append((2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    x[~mask] = np.nan
    assert ssim_bands(x[None], y[None], 110, mask)[0] == pytest.approx(np.mean(values), abs=1e-10)


def test_local_variance_of_a_bright_flat_band_is_not_rounding_noise():
    x = np.full((16, 16), 1e6) + np.random.default_rng(5).normal(0, 1e-3, (16, 16))
    moments = local_moments(x, x, np.ones_like(x, dtype=bool), GAUSSIAN_11)
    assert (moments.spread > 2e-8).all()


def test_uiqi_of_constant_windows():
    flat = np.full((1, 10, 10), 3.0)
    assert uiqi_bands(flat, flat)[0] == 1
    assert uiqi_bands(flat, 2 * flat)[0] == pytest.approx(2 * 3 * 6 / (9 + 36))
    assert uiqi_bands(0 * flat, 0 * flat)[0] == 1
    textured = flat + np.random.default_rng(6).random(flat.shape)
    assert uiqi_bands(textured, flat)[0] == pytest.approx(0, abs=1e-9)


def test_quaternion_signs_are_hamiltons():
    # i j = k, j k = i, k i = j and i^2 = j^2 = k^2 = -1 up to the orientation of the algebra.
    sign = sign_table(4)
    assert [sign[n, n] for n in range(4)] == [1, -1, -1, -1]
    assert sign[1, 2] == -sign[2, 1] and sign[2, 3] == -sign[3, 2] and sign[1, 3] == -sign[3, 1]
    assert abs(sign_table(16)).min() == 1


def test_q2n_of_one_band_is_the_plain_index_of_normalised_blocks():
    random = np.random.default_rng(7)
    x = random.random((1, 32, 32))
    y = 0.8 * x + 0.1 * random.random((1, 32, 32)) + 0.2
    a, b = (x - x.mean()) / x.std(ddof=1) + 1, (y - x.mean()) / x.std(ddof=1) + 1
    covariance = np.cov(a.ravel(), b.ravel())
    level = 2 * a.mean() * b.mean() / (a.mean() ** 2 + b.mean() ** 2)
    assert q2n(x, y) == pytest.approx(level * 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1]), abs=1e-12)


def test_a_flat_reference_band_does_not_decide_q2n():
    # A band that is constant over a block (water, a dead detector) has no spread to divide by. The authors' toolbox,
    # and sewar after it, divide by 2e-16 and score the block 0, however good the other bands are.
    sewar = pytest.importorskip("sewar")
    x = cube(bands=3, rows=32, cols=32)
    x[1] = 7
    y = x + np.random.default_rng(8).normal(0, 0.1, x.shape)
    assert q2n(x, y) > 0.99
    assert sewar.q2n(np.moveaxis(x, 0, -1), np.moveaxis(y, 0, -1)) < 1e-6


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(1e-4, 1e4), bands=st.integers(1, 6))
def test_units_do_not_matter_except_for_rmse(seed, scale, bands):
    random = np.random.default_rng(seed)
    x = 1 + random.random((bands, 33, 34))
    y = x + 0.1 * random.normal(size=x.shape)
    plain, scaled = evaluate(x, y, 3), evaluate(scale * x, scale * y, 3)
    assert pytest.approx(scale * plain.RMSE, rel=1e-9) == scaled.RMSE
    for name in NUMBERS:
        if name != "RMSE":
            assert getattr(scaled, name) == pytest.approx(getattr(plain, name), rel=1e-7, abs=1e-9), name
    for name in ("SSIM", "Q2N", "CC", "UIQI"):
        assert -1 - 1e-9 <= getattr(scaled, name) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("reference", "fused", "settings", "sentence"),
    [
        (np.ones((3, 8, 9)), np.ones((3, 8, 8)), {}, "must be the same"),
        (np.ones((3, 8, 9)), np.ones((2, 8, 9)), {}, "must be the same"),
        (np.full((2, 8, 8), np.nan), np.ones((2, 8, 8)), {}, "no valid pixel in common"),
        (np.ones((2, 8, 8)), np.ones((2, 8, 8)), {"bands": []}, "no valid pixel in common"),
        (np.ones((2, 8, 8)), np.ones((2, 8, 8)), {"ratio": 0.25}, "at least 1"),
        (np.ones((2, 8, 8)), np.ones((2, 8, 8)), {"peak": -1}, "must be positive"),
        (np.zeros((2, 8, 8)), np.ones((2, 8, 8)), {}, "must be positive"),
        (np.ones((8, 8)), np.ones((8, 8)), {}, "two cubes"),
    ],
)
def test_bad_input_gets_one_sentence(reference, fused, settings, sentence):
    with pytest.raises(HSFusionError, match=sentence):
        evaluate(reference, fused, **{"ratio": 4, **settings})


def test_an_image_smaller_than_the_window_has_no_ssim_but_all_else():
    x = cube(rows=6, cols=7)
    scores = evaluate(x, x + 1, 4)
    assert np.isnan(scores.SSIM) and np.isfinite(scores.PSNR) and np.isfinite(scores.Q2N)


def test_a_band_of_zero_mean_takes_no_part_in_ergas():
    x = cube(bands=3)
    x[1] = np.where(np.arange(44) % 2, 1.0, -1.0)
    scores = evaluate(x, x + 1, 4)
    assert scores.bands_without_ergas == 1
    assert pytest.approx(evaluate(x[[0, 2]], x[[0, 2]] + 1, 4).ERGAS) == scores.ERGAS


def test_every_number_has_its_convention_and_the_table_its_rows():
    scores = evaluate(cube(), cube() + 1, 4)
    assert set(scores.numbers()) == set(NUMBERS) <= set(CONVENTIONS)
    table = scores.band_table()
    assert [row["band"] for row in table] == [1, 2, 3, 4]
    assert table[0]["bias"] == pytest.approx(1)
