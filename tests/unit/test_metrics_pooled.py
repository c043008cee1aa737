"""Scores of several blocks taken together."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.metrics import evaluate
from hsfusion.models.metrics.pooled import Compared, pooled_scores


def block(rows: int, cols: int, seed: int) -> Compared:
    random = np.random.default_rng(seed)
    truth = 1000 + 200 * random.random((5, rows, cols)).cumsum(axis=2) / 20
    return Compared(truth, truth + random.normal(0, 5 + 10 * seed, truth.shape), np.ones((rows, cols), bool))


def test_one_block_is_an_evaluation():
    one = block(64, 64, 1)
    scores, wanted = pooled_scores([one], 4, one.truth.max()), evaluate(one.truth, one.fused, 4)
    for name in ("PSNR", "RMSE", "SAM", "ERGAS", "SSIM", "Q2N", "CC"):
        assert getattr(scores, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name
    np.testing.assert_allclose(scores.rmse_bands, wanted.rmse_bands)


def test_blocks_count_by_their_pixels():
    small, large = block(32, 32, 1), block(32, 64, 2)
    scores = pooled_scores([small, large], 4, 2000.0)
    beside = [np.concatenate([a, b], axis=2) for a, b in ((small.truth, large.truth), (small.fused, large.fused))]
    wanted = evaluate(*beside, 4, peak=2000.0)
    for name in ("PSNR", "RMSE", "SAM", "ERGAS", "Q2N", "CC"):
        assert getattr(scores, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name
    assert scores.pixels == 32 * 96
    alone = [pooled_scores([b], 4, 2000.0).SSIM for b in (small, large)]
    assert pytest.approx((alone[0] + 2 * alone[1]) / 3) == scores.SSIM


def test_masked_pixels_take_no_part():
    whole = block(32, 64, 3)
    left = Compared(whole.truth[..., :32], whole.fused[..., :32], whole.mask[:, :32])
    fused = whole.fused.copy()
    fused[..., 32:] = 1e6
    mask = whole.mask.copy()
    mask[:, 32:] = False
    scores, wanted = (pooled_scores([b], 4, 2000.0) for b in (Compared(whole.truth, fused, mask), left))
    assert scores.pixels == 32 * 32
    for name in ("PSNR", "SAM", "ERGAS", "Q2N"):
        assert getattr(scores, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name


def test_blocks_too_small_for_windows_have_all_else():
    scores = pooled_scores([block(8, 9, 1)], 4, 2000.0)
    assert np.isnan(scores.SSIM) and np.isfinite(scores.PSNR)
