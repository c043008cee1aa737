"""The rule by which a change of speed is called real: coverage of its interval, and its robustness."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.scripts.benchmarking.speed.paired import FEWEST, change


def test_the_interval_is_that_of_wilcoxons_test():
    """Tables of the signed-rank test: 6 pairs give the whole range, 10 (W = 8) leave out eight means at each end."""
    ratios = np.exp(np.array([0.01, 0.02, 0.04, 0.08, 0.16, 0.32]))
    found = change(np.ones(6), ratios)
    assert (found.low, found.high) == pytest.approx((ratios.min(), ratios.max()))
    logs = np.array([0.31, 0.07, 0.11, 0.02, 0.19, 0.23, 0.05, 0.13, 0.29, 0.17])
    means = sorted((a + b) / 2 for i, a in enumerate(logs) for b in logs[i:])
    found = change(np.ones(10), np.exp(logs))
    assert np.log([found.low, found.high]) == pytest.approx([means[8], means[-9]])


def test_it_holds_the_truth_as_often_as_it_says():
    random, held = np.random.default_rng(3), 0
    for _ in range(400):
        load = random.lognormal(0.0, 0.5, (2, 7))
        old, new = load[0], 1.2 * load[0] * random.lognormal(0.0, 0.1, 7)
        found = change(old, new)
        held += found.low <= 1.2 <= found.high
    assert held >= 0.93 * 400


def test_verdicts():
    steady = np.array([1.0, 1.1, 0.9, 1.3, 1.0, 1.2, 1.05])
    assert change(steady, 1.2 * steady).slower and "faster" in change(steady, 0.8 * steady).verdict
    assert "no change" in change(steady, 1.01 * steady).verdict and not change(steady, 1.01 * steady).slower
    disturbed = steady * 1.2
    disturbed[3] *= 4
    assert change(steady, disturbed).ratio == pytest.approx(1.2, rel=0.05), "one disturbed run moves nothing"
    wild = steady * np.array([0.7, 1.4, 0.9, 1.2, 0.8, 1.3, 1.0])
    assert "open" in change(steady, wild).verdict
    with pytest.raises(ValueError, match="pairs"):
        change(steady[: FEWEST - 1], steady[: FEWEST - 1])
