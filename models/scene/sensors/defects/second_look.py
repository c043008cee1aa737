"""Columns and lines that were taken for bad, judged again by all the values of their pixels that are beyond
suspicion.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .columns import HOT
from .prediction import Prediction


def confirmed(
    bad: np.ndarray, windows: Iterable[tuple[np.ndarray, np.ndarray, int]], prediction: Prediction
) -> np.ndarray:
    """Those of the columns `bad`, bool (L, cols), whose values lie far from what the prediction expects.

    windows: values (L, h, w), the same with NaN where they are not trusted, and the number of the first column.
    """
    apart, count = np.zeros(bad.shape), np.zeros(bad.shape[1])
    for values, trusted, first in windows:
        places = np.flatnonzero(bad[:, first : first + values.shape[2]].any(axis=0))
        if not places.size:
            continue
        seen = trusted[:, :, places].reshape(len(values), -1)
        expected = prediction.expected(seen, np.isfinite(seen)).reshape(len(values), -1, len(places))
        size = np.abs(np.nan_to_num(values[:, :, places]) - expected)
        apart[:, first + places] += np.median(size, axis=1)
        count[first + places] += 1
    return bad & (apart > HOT * prediction.noise[:, None] * np.maximum(count, 1))
