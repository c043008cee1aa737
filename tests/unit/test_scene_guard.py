"""The guard at reduced resolution: one implementation, which fusion and its benchmark call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hsfusion.models import trials
from hsfusion.models.errors import RunCancelled
from hsfusion.models.listener import Listener
from hsfusion.models.observation import Sampling
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.reduced.guard import decide
from hsfusion.models.scene.reduced.scene import ReducedScene

SAMPLING = Sampling(4, 1.1, 1.1)
WAVELENGTHS = np.linspace(450.0, 900.0, 12)


@dataclass
class Said:
    """An answer in spectra."""

    spectra: np.ndarray
    x: None = None


@dataclass
class Oracle:
    """A method that knows the truth, with an error on it; seen: the scene models that it was given."""

    truth: np.ndarray
    error: float
    name: str = "oracle"

    def fuse(self, block, scene, core):
        """The whole block."""
        rng = np.random.default_rng(0)
        self.seen = scene
        return Said(self.truth + self.error * rng.standard_normal(self.truth.shape))


class Patient(Listener):
    """Cancels when it has been asked so often."""

    def __init__(self, most):
        self.asked, self.most, self.steps = 0, most, []

    def cancelled(self):
        self.asked += 1
        return self.asked > self.most

    def step(self, fraction):
        self.steps.append(fraction)


@pytest.fixture(scope="module")
def simulated(make_scene):
    scene = trials.Scene(make_scene(12, 160, 160), WAVELENGTHS)
    return trials.simulate(scene, trials.Case("test", fwhm=1.1, snr_db=35.0))


@pytest.fixture(scope="module")
def fitted(simulated):
    block = whole_block(simulated.hsi, simulated.msi)
    return trials.Fitted.to(block, simulated.sampling, simulated.wavelengths, components=5)


@pytest.mark.parametrize(("error", "kept"), [(2.0, True), (400.0, False)])
def test_the_better_one_is_shipped(fitted, error, kept):
    method = Oracle(fitted.block.y[:, :40, :40], error)
    verdict = decide(fitted.scene, [fitted.block], method, WAVELENGTHS)
    assert (verdict.shipped == "oracle") is kept and (verdict.gain > 0) is kept
    assert verdict.shipped in verdict.scores and set(verdict.scores) > {"glp-hs", "loc", "map", "average"}
    assert verdict.sentence("oracle").startswith("Checked at reduced resolution")


def test_the_benchmark_asks_the_guard_that_ships(fitted):
    """Same choice, same scene model: wavelengths and noise of the scene itself."""
    seen = []

    def runner(tensors, request):
        seen.append(request.model)
        return {"x": np.zeros((1, 5, *request.core.shape), np.float32)}

    assert trials.guarded(fitted, runner) != trials.NETWORK
    reduced = ReducedScene.of(fitted.scene, [fitted.block], WAVELENGTHS)
    np.testing.assert_array_equal(seen[0].response, reduced.scene.coefficients.response)
    np.testing.assert_array_equal(seen[0].z_std, reduced.scene.coefficients.z_std)


def test_trials_fit_with_the_scenes_wavelengths(simulated, fitted):
    """As fusion does: the estimated response is smooth over wavelength."""
    block = whole_block(simulated.hsi, simulated.msi)
    direct = fit_scene([block], simulated.sampling, 5, wavelengths=WAVELENGTHS)
    np.testing.assert_array_equal(fitted.scene.spectral_response, direct.spectral_response)


@pytest.fixture(scope="module")
def small(make_scene):
    """The truth of a scene of 20 x 20 HSI pixels, and what is fitted to it."""
    pair = trials.simulate(trials.Scene(make_scene(12, 80, 80), WAVELENGTHS), trials.Case("small", snr_db=40.0))
    return pair.truth, trials.Fitted.to(whole_block(pair.hsi, pair.msi), pair.sampling, components=5)


def test_where_nothing_can_be_checked_the_record_decides(small):
    truth, fitted = small
    method = Oracle(truth, 0.0)
    verdict = decide(fitted.scene, [fitted.block], method)
    assert verdict.shipped == "oracle" and verdict.scores == {} and "Not decidable" in verdict.sentence("oracle")
    verdict = decide(fitted.scene, [fitted.block], method, trusted=False)
    assert verdict.shipped == "average" and "no record" in verdict.sentence("oracle")


@pytest.mark.parametrize("error", [300.0, 1000.0])
def test_what_contradicts_the_pair_is_not_shipped_unchecked(small, error):
    truth, fitted = small
    verdict = decide(fitted.scene, [fitted.block], Oracle(truth, error))
    assert verdict.shipped == "average" and "contradicts" in verdict.sentence("oracle")


def test_a_closed_form_must_be_better_by_every_score(fitted):
    """A method of larger RMSE but the truth's spectral angles, as where bright pixels are a little off, is kept."""
    truth = fitted.block.y[:, :40, :40]
    gains = 1 + 0.3 * np.random.default_rng(0).standard_normal(truth.shape[1:])
    verdict = decide(fitted.scene, [fitted.block], Oracle(truth * gains, 0.0), WAVELENGTHS)
    assert verdict.leads["rmse"] < 0 < verdict.leads["sam"] and verdict.shipped == "oracle"
    assert "disagree" in verdict.sentence("oracle")


def test_a_cancel_is_heard_everywhere(fitted):
    """Wherever the guard is, the next step ends it: while it fits the reduced scene, and while it waits for a
    method.
    """
    method, everything = Oracle(fitted.block.y[:, :40, :40], 1.0), Patient(10**6)
    decide(fitted.scene, [fitted.block], method, WAVELENGTHS, everything)
    assert everything.asked > 20 and everything.steps[-1] == 1.0
    for number in (0, everything.asked // 3, 2 * everything.asked // 3, everything.asked - 2):
        with pytest.raises(RunCancelled):
            decide(fitted.scene, [fitted.block], method, WAVELENGTHS, Patient(number))
