"""Diffusion against regression: the verdict goes by paired differences, the texture's error by the detail alone."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.pixels.scaling import Scaling
from hsfusion.models.training.full_band.data import Observed
from hsfusion.models.training.full_band.validation import Trial
from hsfusion.scripts.benchmarking.claims import HOLDS, REFUTED, UNDECIDED
from hsfusion.scripts.benchmarking.iterating import decided, texture_error
from hsfusion.scripts.benchmarking.papers.bundled import GLP_HS, cost_of


@pytest.mark.parametrize(("sign", "says"), [(1, HOLDS), (-1, REFUTED)])
def test_a_steady_difference_decides_however_far_scenes_lie_apart(sign, says):
    scenes = np.array([20.0, 30.0, 40.0, 50.0])
    verdict, apart, error = decided(scenes + [0.9, 1.0, 1.1, 1.0], scenes, sign)
    assert verdict == says and apart == pytest.approx(1.0) and error == pytest.approx(np.sqrt(0.02 / 3 / 4))


def test_a_difference_within_two_standard_errors_decides_nothing():
    assert decided(np.array([1.0, -1.0, 1.0, -0.5]), np.zeros(4), 1)[0] == UNDECIDED


def test_the_texture_of_half_the_detail_is_off_by_ln_2():
    rng, sampling = np.random.default_rng(0), Sampling(4)
    truth = rng.random((3, 32, 32), np.float32)
    hsi = Degradation.whole(sampling, (32, 32))(truth)
    base = Upsampling.whole(sampling, (32, 32))(hsi)
    pair = Observed("x", truth, hsi, truth[:1], Scaling(1.0, np.ones(1), np.zeros(1)), False, np.arange(3.0))
    trial = Trial(pair, sampling, {})
    assert texture_error(trial, truth) == pytest.approx(0.0, abs=1e-6)
    assert texture_error(trial, base + (truth - base) / 2) == pytest.approx(np.log(2), rel=1e-4)


@pytest.mark.parametrize("name", ["ddrf", GLP_HS])
def test_a_cost_is_of_the_fusion_alone(name):
    cost = cost_of(name, "ddrf", 32)
    assert cost.seconds > 0 and cost.peak >= cost.before > 0
    assert (cost.file > 0) == (name == "ddrf") == (cost.parameters > 0)
