"""Means of 2 x 2 pixels and what they hide: one scale up, where a law of the detail can be judged by what was
observed.
"""

from __future__ import annotations

import numpy as np

OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of the pairs of rows and columns that make means of 2 x 2


def even(image: np.ndarray) -> np.ndarray:
    """(n, h, w) without the last row and column where they have no partner."""
    return image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]


def halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; NaN where one is missing."""
    image = even(image)
    bands, rows, cols = image.shape
    return image.reshape(bands, rows // 2, 2, cols // 2, 2).mean(axis=(2, 4))


def doubled(image: np.ndarray) -> np.ndarray:
    """Every pixel as 2 x 2."""
    return image.repeat(2, axis=1).repeat(2, axis=2)


def without_mean(image: np.ndarray) -> np.ndarray:
    """What the means of 2 x 2 pixels hide."""
    return even(image) - doubled(halved(image))
