"""Linear regression of spectra on the MSI's bands, which are few and alike."""

from __future__ import annotations

import numpy as np

from .moments import covariance


def ridge_regression(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (m, n) and intercepts (m,) of y (N, m) on x (N, n), ridge relative to the mean variance of x."""
    gram = covariance(x)
    slopes = np.linalg.solve(gram + strength * np.trace(gram) / len(gram) * np.eye(len(gram)), covariance(x, y)).T
    return slopes, y.mean(axis=0) - slopes @ x.mean(axis=0)
