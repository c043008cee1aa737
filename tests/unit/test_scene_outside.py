"""What lies outside the subspace: signal passes the gate and noise does not, and the regression stays outside."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import RunCancelled
from hsfusion.models.listener import SILENT, Listener
from hsfusion.models.observation import Degradation, Sampling, noise_std
from hsfusion.models.scene.block import Samples, coarse_samples, whole_block
from hsfusion.models.scene.subspace.outside import OutsideFit, fit_outside
from hsfusion.models.scene.subspace.subspace import Subspace, fit_subspace

SAMPLING = Sampling(4, 1.1, 1.1)


@pytest.fixture(scope="module")
def truth(make_scene) -> np.ndarray:
    """A scene of 20 bands."""
    return make_scene(20, 192, 176, materials=6, seed=5)


def fitted(truth: np.ndarray, components: int, snr_db: float = 0.0) -> tuple[Samples, Subspace, OutsideFit]:
    """Of a pair whose MSI is three of the HSI's bands."""
    hsi = Degradation.whole(SAMPLING, truth.shape[1:])(truth)
    if snr_db:
        std = noise_std((hsi**2).mean(axis=(1, 2)), snr_db)[:, None, None]
        hsi = hsi + std * np.random.default_rng(0).standard_normal(hsi.shape)
    samples = coarse_samples([whole_block(hsi.astype(np.float32), truth[[2, 9, 15]])], SAMPLING)
    low = (samples.low - samples.low.mean(axis=0)) / samples.low.std(axis=0)
    subspace = fit_subspace(samples.spectra, components)
    return samples, subspace, fit_outside(samples, low, subspace, SAMPLING, SILENT)


def test_the_gate_lets_signal_through_and_keeps_noise_out(truth):
    """Outside a subspace of two components there is signal in a clean scene; outside eight there is nothing but noise
    in a noisy one.
    """
    assert fitted(truth, 2)[2].gate.mean() > 0.8
    gate = fitted(truth, 8, 25)[2].gate
    assert gate.mean() < 0.25 and (gate >= 0).all()


def test_the_regression_adds_nothing_inside_the_subspace(truth):
    _, subspace, outside = fitted(truth, 3, 35)
    assert np.abs(subspace.analysis @ outside.regression).max() < 1e-9 * np.abs(subspace.analysis).max() * truth.max()


def test_a_larger_subspace_leaves_less_to_be_unsure_of(truth):
    small, large = (fitted(truth, components)[2].std for components in (2, 5))
    assert (large < small).mean() > 0.9 and (large > 0).all()


def test_it_may_be_ended(truth):
    samples, subspace, _ = fitted(truth, 2)

    class Cancelled(Listener):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(RunCancelled):
        fit_outside(samples, samples.low, subspace, SAMPLING, Cancelled())
