"""Defects of the benchmark's cases: what they touch, and that the repair which ships takes them away."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.trial_defects import DEFECTS, GAIN, SHARE_OF_BANDS, SPIKES, damaged

HSI = np.random.default_rng(0).uniform(500, 1500, (60, 40, 50)).astype(np.float32)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_the_same_for_a_seed_and_another_for_another(defect):
    assert np.array_equal(damaged(HSI, defect, 3), damaged(HSI, defect, 3))
    assert not np.array_equal(damaged(HSI, defect, 3), damaged(HSI, defect, 4))
    assert damaged(HSI, defect).dtype == np.float32


def test_what_they_touch():
    dead = damaged(HSI, "dead column") == 0
    assert dead.any(axis=(0, 1)).sum() == 1 and dead.any(axis=(1, 2)).mean() == pytest.approx(SHARE_OF_BANDS, abs=0.12)
    assert (damaged(HSI, "spikes") != HSI).mean() == pytest.approx(SPIKES, rel=0.3)
    gains = damaged(HSI, "stripes") / HSI
    assert np.ptp(gains, axis=1).max() < 1e-5 and gains[:, 0].std() == pytest.approx(GAIN, rel=0.1)
    with pytest.raises(ValueError):
        damaged(HSI, "rust")
