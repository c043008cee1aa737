"""What lies outside the subspace: how much of it the MSI tells, how much of it is signal, and how far off it will be.

Made block by block: all of it would be as large as the spectra themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...listener import Listener
from ...observation import Sampling
from ..block import Samples
from ..pixels.moments import covariance
from ..pixels.regression import ridge_regression
from .hidden_detail import fine_std, neighbour_products
from .subspace import Subspace

RIDGE = 1e-3
UNSHARED = 1.6  # of the signal's variance to what neighbours share of it


@dataclass(frozen=True)
class OutsideFit:
    """regression (L, l) on the standardised MSI; gate (L,): share of that part which is signal; std (L,): how far it is
    expected to be off.
    """

    regression: np.ndarray
    gate: np.ndarray
    std: np.ndarray


def fit_outside(
    samples: Samples, low: np.ndarray, subspace: Subspace, sampling: Sampling, listener: Listener
) -> OutsideFit:
    """Fit it to a scene's coarse samples, whose MSI is `low` (N, l), standardised. The listener may end it between the
    steps.
    """
    beyond = np.eye(len(subspace.mean)) - subspace.basis @ subspace.analysis
    slopes, of_spectra = ridge_regression(low, samples.spectra, RIDGE)
    regression, intercept = beyond @ slopes, beyond @ (of_spectra - subspace.mean)
    listener.check()

    def part(rows: slice) -> np.ndarray:
        return (samples.spectra[rows] - subspace.mean) @ beyond.T

    def rest(rows: slice) -> np.ndarray:
        return part(rows) - low[rows] @ regression.T - intercept

    variance = ((beyond @ covariance(samples.spectra)) * beyond).sum(axis=1)
    listener.check()
    # A Wiener gate: neighbouring pixels share signal and not noise.
    (shared,) = neighbour_products(samples.made(part), (1,))
    gate = np.clip(UNSHARED * shared / np.maximum(variance, 1e-30), 0.0, 1.0)
    listener.check()
    return OutsideFit(regression, gate, fine_std(samples.made(rest), sampling))
