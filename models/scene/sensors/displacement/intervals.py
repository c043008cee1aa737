"""How sure the numbers of a displacement are: the sandwich estimator, with scores summed over parts of the scene."""

from __future__ import annotations

import numpy as np

from .descent import FIELD_PRIOR, Fit
from .misfit import Misfit

PART = 4  # HSI pixels per axis of a part: neighbours see the same ground, and are not independent


def covariance(misfit: Misfit, fit: Fit) -> np.ndarray:
    """(P, P) of the fitted numbers: H^-1 S H^-1, S from the scores of parts of the scene, so that texture and model
    error widen it.
    """
    free, slope = fit.free, fit.slope
    prior = np.zeros(free.count)
    prior[free.global_count :] = 2.0 / (misfit.count * (FIELD_PRIOR * fit.sampling.ratio) ** 2)
    part = (misfit.numbers // PART).astype(int)
    _, number = np.unique(part, axis=0, return_inverse=True)
    number = number.ravel()
    sums = np.stack([np.bincount(number, column) for column in slope.scores.T], axis=1)
    count = len(sums)
    spread = sums.T @ sums * count / max(count - free.count, count / 4, 1)
    hessian = slope.hessian + np.diag(prior)
    inverse = np.linalg.pinv(hessian + 1e-12 * np.trace(hessian) * np.eye(len(hessian)))
    return inverse @ spread @ inverse
