"""What is done to the HSI whenever it is read: a pure function of its pixels and of what was found once for the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .prediction import Prediction


@dataclass(frozen=True)
class Repaired:
    """values (L, h, w) float32, 0 where unknown; mask (h, w) float32, 1 where known; filled (h, w) bool: where some entries are predicted."""

    values: np.ndarray
    mask: np.ndarray
    filled: np.ndarray


@dataclass(frozen=True)
class Repair:
    """prediction: fills entries that are unknown while more than half of the pixel's bands are known; without it such pixels are unknown."""

    prediction: Prediction | None = None

    def __call__(self, values: np.ndarray) -> Repaired:
        """Repair a window (L, h, w) as it was read, NaN where unknown."""
        known = np.isfinite(values)
        whole = known.all(axis=0)
        if whole.all():
            return Repaired(values, np.ones(whole.shape, np.float32), np.zeros(whole.shape, bool))
        filled = np.zeros(whole.shape, bool)
        if self.prediction is not None:
            filled = ~whole & (2 * known.sum(axis=0) > len(values))
            if filled.any():
                values = values.copy()
                values[:, filled] = self.prediction.complete(values[:, filled])
        valid = whole | filled
        return Repaired(np.where(valid, values, np.float32(0)), valid.astype(np.float32), filled)
