"""Means and products of many spectra, a part of them at a time: a centred copy of all would be the most that the
estimates hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ROWS = 2048  # spectra at a time


def parts(count: int) -> Iterator[slice]:
    """Of `count` rows, one after the other."""
    return (slice(start, start + ROWS) for start in range(0, count, ROWS))


def covariance(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Mean product (m, n) of the columns of x (N, m) and y (N, n), or x again, less their means; float64."""
    x_mean, y_mean = x.mean(axis=0), None if y is None else y.mean(axis=0)
    total: np.ndarray | float = 0.0
    for rows in parts(len(x)):
        part = x[rows] - x_mean
        total = total + part.T @ (part if y is None else y[rows] - y_mean)
    return np.asarray(total) / max(len(x), 1)
