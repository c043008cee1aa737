"""Gain and offset that vary over the scene, together with the regression of the MSI on the HSI: z = (1 + F g) (A b) + F
o.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .robust import distance, robust_scale, tukey

ROUNDS = 6
SPREAD = 0.3  # standard deviation that gains, and offsets in units of the band's spread, are expected to have
CORRELATED = 4.0  # factor on the residual's variance: neighbouring residuals are not independent
GAINS = (0.2, 5.0)
CAP = 3.0  # robust standard deviations beyond which a cell that was left out counts no more
FLOOR = 0.01  # squared robust standard deviations below which an improvement counts no more
LEAST_WEIGHT = 0.1  # that every cell starts with where gain and offset may vary
FOLDS = 4
BLOCK = 3  # cells per axis that are left out together


@dataclass(frozen=True)
class BilinearFit:
    """gain, offset (m, l): coefficients of the basis F; seen (N, l): A b, the MSI under one light; residual (N, l) and
    weights (N,) of all cells; unknowns (l, K + 2 m): where another fit may start.
    """

    gain: np.ndarray
    offset: np.ndarray
    seen: np.ndarray
    residual: np.ndarray
    weights: np.ndarray
    unknowns: np.ndarray


def fit_bilinear(
    predictors: np.ndarray,
    low: np.ndarray,
    basis: np.ndarray,
    weights: np.ndarray,
    taking: np.ndarray | None = None,
    rounds: int = ROUNDS,
    start: BilinearFit | None = None,
) -> BilinearFit:
    """Gauss and Newton's steps, reweighted by Tukey's biweight.

    predictors A (N, K), low (N, l), basis F (N, m), weights (N,) to start from; taking (N,): cells that take part, None
    = all; start: a fit of the same basis.
    """
    taking, count = np.ones(len(low), bool) if taking is None else taking, basis.shape[1]
    a, z, f, w = predictors[taking], low[taking], basis[taking], weights[taking]
    if count and start is None:  # cells that contradict one light may agree with another
        w = np.maximum(w, LEAST_WEIGHT)
    spread, mean = np.sqrt(np.maximum(low.var(axis=0), 1e-30)), low.mean(axis=0)
    # Offsets act around the band's mean, so that gain and offset are as little alike as they can be.
    unknowns = np.zeros((z.shape[1], a.shape[1] + 2 * count)) if start is None else start.unknowns.copy()
    scale = spread.copy() if start is None else robust_scale(start.residual[taking])
    for _ in range(rounds):
        rest = np.empty_like(z)
        for band in range(z.shape[1]):
            unknowns[band] = _step(a, z[:, band], f, w, unknowns[band], mean[band], spread[band], scale[band])
            rest[:, band] = z[:, band] - _predicted(a, f, unknowns[band], mean[band], spread[band])
        scale = robust_scale(rest)
        w = tukey(distance(rest, scale))
    residual = low - np.stack(
        [_predicted(predictors, basis, u, m, s) for u, m, s in zip(unknowns, mean, spread)], axis=1
    )
    k = predictors.shape[1]
    gain = unknowns[:, k : k + count].T
    offset = unknowns[:, k + count :].T * spread - gain * mean
    every = np.zeros(len(low))
    every[taking] = w
    return BilinearFit(gain, offset, predictors @ unknowns[:, :k].T, residual, every, unknowns)


def _predicted(a: np.ndarray, f: np.ndarray, unknowns: np.ndarray, mean: float, spread: float) -> np.ndarray:
    k, m = a.shape[1], f.shape[1]
    seen = a @ unknowns[:k]
    return seen + (f @ unknowns[k : k + m]) * (seen - mean) + spread * (f @ unknowns[k + m :])


def _step(
    a: np.ndarray,
    z: np.ndarray,
    f: np.ndarray,
    w: np.ndarray,
    unknowns: np.ndarray,
    mean: float,
    spread: float,
    scale: float,
) -> np.ndarray:
    """One step for one band, with a ridge that is the expected spread of gain and offset."""
    k, m = a.shape[1], f.shape[1]
    if not unknowns.any():
        gram = a.T @ (a * w[:, None])
        gram += 1e-9 * np.trace(gram) / k * np.eye(k)
        unknowns = np.concatenate([np.linalg.solve(gram, a.T @ (w * z)), np.zeros(2 * m)])
    seen = a @ unknowns[:k]
    gain = np.clip(1.0 + f @ unknowns[k : k + m], *GAINS)
    jacobian = np.concatenate([a * gain[:, None], f * (seen - mean)[:, None], f * spread], axis=1)
    rest = z - _predicted(a, f, unknowns, mean, spread)
    ridge = np.concatenate([np.full(k, 1e-9 * w.sum()), np.full(2 * m, CORRELATED * scale**2 / SPREAD**2)])
    gram = jacobian.T @ (jacobian * w[:, None]) + np.diag(ridge)
    pull = ridge * np.concatenate([np.zeros(k), unknowns[k:]])
    return unknowns + np.linalg.solve(gram, jacobian.T @ (w * rest) - pull)


def block_folds(index: np.ndarray) -> np.ndarray:
    """A fold (N,) for each cell at `index` (N, 2), the same for all cells of a block."""
    blocks = index // BLOCK
    cols = int(blocks[:, 1].max()) + 1
    order = np.random.default_rng(0).permutation((int(blocks[:, 0].max()) + 1) * cols)
    return order[blocks[:, 0] * cols + blocks[:, 1]] % FOLDS


class HeldOut:
    """How well a basis tells cells that took no part in the fit, in blocks; all judged by the same scale (l,)."""

    def __init__(self, predictors: np.ndarray, low: np.ndarray, index: np.ndarray, weights: np.ndarray) -> None:
        self._predictors, self._low, self._weights = predictors, low, weights
        self._fold = block_folds(index)
        none = np.zeros((len(low), 0))
        self.scale = robust_scale(fit_bilinear(predictors, low, none, weights).residual)

    def misfit(self, basis: np.ndarray) -> float:
        """Mean log of the square of what is left in the cells that were left out, in units of `scale`; no few cells can
        outweigh the rest.
        """
        rest = np.zeros_like(self._low)
        whole = fit_bilinear(self._predictors, self._low, basis, self._weights)
        for fold in range(FOLDS):  # from the whole fit it is two steps to each of these
            out = self._fold == fold
            fit = fit_bilinear(self._predictors, self._low, basis, whole.weights, ~out, 2, whole)
            rest[out] = fit.residual[out]
        return self.of(rest)

    def of(self, rest: np.ndarray) -> float:
        """The same of residuals (N, l)."""
        return float(np.log((rest / self.scale) ** 2 + FLOOR).mean())
