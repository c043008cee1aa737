"""The HSI on the MSI's place: moved, and not sharpened."""

from __future__ import annotations

import numpy as np

from ....observation import Displacement, Sampling
from ....observation.axis import cubic_weights

LEAST = 0.5  # share of the interpolation's weight on known pixels


def seen_by(sampling: Sampling, rows: np.ndarray, cols: np.ndarray, scene_shape: tuple[int, int]) -> np.ndarray:
    """(2, m, n): number (row, column), a fraction, of the HSI pixel that sees the ground at rows x cols, places in MSI
    pixels of the scene.
    """
    d = sampling.displacement or Displacement(scene_shape)
    wanted = np.stack(np.meshgrid(rows - sampling.shift_y, cols - sampling.shift_x, indexing="ij"))
    place = wanted
    for _ in range(d.steps):
        place = wanted - d.of(*place)
    return (place + 0.5) / sampling.ratio - 0.5


def interpolated_at(y: np.ndarray, mask: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """y (L, h, w), mask (h, w) at numbers (2, m, n) of its pixels by cubic convolution: (L, m, n), NaN where too little
    is known.
    """
    (top, by_row), (left, by_col) = (cubic_weights(n) for n in numbers)
    values = np.zeros((len(y), *numbers.shape[1:]), np.float64)
    total = np.zeros(numbers.shape[1:])
    height, width = mask.shape
    for i in range(4):
        for j in range(4):
            row, col = top + i, left + j
            inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
            row, col = np.clip(row, 0, height - 1), np.clip(col, 0, width - 1)
            share = by_row[i] * by_col[j] * inside * mask[row, col]
            values += share * np.where(mask[row, col] > 0, y[:, row, col], 0.0)
            total += share
    known = total >= LEAST
    return np.where(known, values / np.where(known, total, 1.0), np.nan).astype(np.float32)
