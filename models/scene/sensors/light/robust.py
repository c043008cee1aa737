"""Regressions of the MSI on the HSI that a third of the cells may contradict."""

from __future__ import annotations

import numpy as np

DRAWS = 60
KEPT = 0.7  # share of the cells that a random start is judged by
CUT = 5.0  # robust standard deviations (root mean square over bands) from which a cell has no weight
CONCENTRATIONS = 2
SEED = 25
MOST_DRAWN = 1500  # cells that the start is sought among


def robust_scale(residual: np.ndarray) -> np.ndarray:
    """Standard deviation (l,) of residuals (N, l) about zero from their median absolute value."""
    return 1.4826 * np.median(np.abs(residual), axis=0) + 1e-12


def distance(residual: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Root mean square over bands (N,) of residuals (N, l) in units of `scale` (l,)."""
    return np.sqrt(((residual / scale) ** 2).mean(axis=1))


def tukey(distances: np.ndarray, cut: float = CUT) -> np.ndarray:
    """Tukey's biweight (N,)."""
    return np.clip(1.0 - (distances / cut) ** 2, 0.0, None) ** 2


def weighted_fit(predictors: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients (K, l) of values (N, l) on predictors (N, K), by weighted least squares with the slightest ridge."""
    gram = predictors.T @ (predictors * weights[:, None])
    gram += 1e-9 * max(np.trace(gram), 1e-30) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram, predictors.T @ (values * weights[:, None]))


def robust_weights(predictors: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Weight (N,) of every cell in the regression of low (N, l) on predictors (N, K).

    Random subsets with concentration steps (Rousseeuw and van Driessen 1999, FAST-LTS), the best by what KEPT of the
    cells leave, then Tukey's biweight until it settles.
    """
    step = -(-len(low) // MOST_DRAWN)
    fit = _started(predictors[::step], low[::step])
    for _ in range(20):
        rest = low - predictors @ fit
        weights = tukey(distance(rest, robust_scale(rest)))
        fit = weighted_fit(predictors, low, weights)
    return weights


def _started(predictors: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The best (K, l) of the random starts."""
    rng = np.random.default_rng(SEED)
    size = min(len(low), 4 * predictors.shape[1])
    best = (np.inf, np.zeros((predictors.shape[1], low.shape[1])))
    for _ in range(DRAWS):
        chosen = rng.choice(len(low), size, replace=False)
        fit = weighted_fit(predictors[chosen], low[chosen], np.ones(size))
        for _ in range(CONCENTRATIONS):
            rest = low - predictors @ fit
            far = distance(rest, robust_scale(rest))
            fit = weighted_fit(predictors, low, (far <= np.quantile(far, KEPT)).astype(float))
        left = float(np.log(np.quantile(np.abs(low - predictors @ fit), KEPT, axis=0) + 1e-30).sum())
        if left < best[0]:
            best = (left, fit)
    return best[1]
