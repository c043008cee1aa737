"""Scores of ensembles and of stated uncertainties against the truth: proper scores, and whether the spread is that of
the errors.

Members come first: (n, ...) against a truth (...). What is not finite must be left out by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, pi, sqrt

import numpy as np

_ERF = np.vectorize(erf, otypes=[np.float64])


def fair_crps(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of an ensemble (n, ...) per value (...), the estimator without bias for few members (Ferro 2014, eq. 7), n >
    1.
    """
    x = np.sort(np.asarray(members, np.float64), axis=0)
    count = len(x)
    # The sum of |x_i - x_j| over pairs, from the sorted values.
    weights = (2 * np.arange(1, count + 1) - count - 1).reshape(-1, *([1] * (x.ndim - 1)))
    apart = (weights * x).sum(axis=0) / (count * (count - 1))
    return np.abs(x - truth).mean(axis=0) - apart


def gaussian_crps(truth: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """CRPS of a Gaussian forecast per value (Gneiting and Raftery 2007, eq. 21)."""
    std = np.asarray(std, np.float64)
    z = (np.asarray(truth, np.float64) - mean) / std
    density = np.exp(-0.5 * z**2) / sqrt(2 * pi)
    return std * (z * _ERF(z / sqrt(2)) + 2 * density - 1 / sqrt(pi))


def energy_score(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Energy score of vectors: members (n, d, ...), truth (d, ...) -> (...); Gneiting and Raftery 2007, eq. 22, the
    fair estimator.
    """
    x = np.asarray(members, np.float64)
    count = len(x)
    off = np.sqrt(((x - truth) ** 2).sum(axis=1)).mean(axis=0)
    apart = sum(np.sqrt(((x[i + 1 :] - x[i]) ** 2).sum(axis=1)).sum(axis=0) for i in range(count - 1))
    return off - apart / (count * (count - 1))


def variogram_score(members: np.ndarray, truth: np.ndarray, order: float = 0.5) -> np.ndarray:
    """Variogram score of vectors, all weights 1: members (n, d, ...), truth (d, ...) -> (...); Scheuerer and Hamill
    2015, eq. 4.
    """
    x, y = np.asarray(members, np.float64), np.asarray(truth, np.float64)
    total = np.zeros(y.shape[1:])
    for i in range(len(y)):
        of_truth = np.abs(y - y[i]) ** order
        of_members = (np.abs(x - x[:, i : i + 1]) ** order).mean(axis=0)
        total += ((of_truth - of_members) ** 2).sum(axis=0)
    return total


def rank_histogram(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How often (n + 1,) the truth has each rank among the members; ties are shared evenly by the ranks that they leave
    open.
    """
    below = (members < truth).sum(axis=0).ravel()
    equal = (members == truth).sum(axis=0).ravel()
    counts = np.zeros(len(members) + 1)
    for ties in np.unique(equal):
        first = below[equal == ties]
        for rank in range(ties + 1):
            counts += np.bincount(first + rank, minlength=len(counts)) / (ties + 1)
    return counts


def coverage(members: np.ndarray, truth: np.ndarray) -> float:
    """Share of the truth within the members' range; (n - 1) / (n + 1) of an ensemble that cannot be told from it."""
    return float(((truth >= members.min(axis=0)) & (truth <= members.max(axis=0))).mean())


@dataclass(frozen=True)
class SpreadError:
    """Root mean squares over all values: spread of the members, error of their mean; `ratio` is 1 where the spread is
    right.
    """

    spread: float
    error: float

    @property
    def ratio(self) -> float:
        """spread / error."""
        return self.spread / max(self.error, 1e-300)


def spread_error(members: np.ndarray, truth: np.ndarray) -> SpreadError:
    """Of an ensemble (n, ...), n > 1; the spread includes sqrt((n + 1) / n) for the few members (Fortin et al. 2014,
    eq. 15).
    """
    x = np.asarray(members, np.float64)
    count = len(x)
    spread = sqrt((count + 1) / count * float(x.var(axis=0, ddof=1).mean()))
    return SpreadError(spread, sqrt(float(((x.mean(axis=0) - truth) ** 2).mean())))
