"""Linear regression: of spectra on the MSI's bands, which are few and alike, and by sums over parts of a scene."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from .moments import covariance


def ridge_regression(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (m, n) and intercepts (m,) of y (N, m) on x (N, n), ridge relative to the mean variance of x."""
    gram = covariance(x)
    slopes = np.linalg.solve(gram + strength * np.trace(gram) / len(gram) * np.eye(len(gram)), covariance(x, y)).T
    return slopes, y.mean(axis=0) - slopes @ x.mean(axis=0)


@dataclass(frozen=True)
class NormalEquations:
    """What some pixels say of weights w (n, K) of regressors for targets: sums of products, gram (n, n) among
    regressors and cross (n, K) with targets, and of the targets' squares, power (K,).
    """

    gram: np.ndarray
    cross: np.ndarray
    power: np.ndarray

    @classmethod
    def of(cls, regressors: np.ndarray, targets: np.ndarray) -> NormalEquations:
        """Of (n, N) and (K, N)."""
        return cls(regressors @ regressors.T, regressors @ targets.T, (targets**2).sum(axis=1))

    @classmethod
    def total(cls, parts: Iterable[NormalEquations]) -> NormalEquations:
        """Of all pixels together."""
        return reduce(add, parts)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.gram + other.gram, self.cross + other.cross, self.power + other.power)

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.gram - other.gram, self.cross - other.cross, self.power - other.power)

    def counted(self, share: float) -> NormalEquations:
        """As if each pixel were `share` of one."""
        return NormalEquations(share * self.gram, share * self.cross, share * self.power)

    def solved(self, penalty: np.ndarray) -> np.ndarray:
        """The weights (n, K) with the least sum of squares and w' penalty w, penalty (n, n)."""
        return np.linalg.solve(self.gram + penalty, self.cross)

    def left(self, weights: np.ndarray) -> np.ndarray:
        """(K,): the squares that weights (n, K) leave."""
        return self.power - 2 * (weights * self.cross).sum(axis=0) + ((self.gram @ weights) * weights).sum(axis=0)
