"""Two halves of the HSI pixels, fitted apart: a displacement that they do not both show is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....observation import Displacement, Sampling
from .descent import Fit, descend
from .images import SHIFT_X, SHIFT_Y
from .misfit import Misfit

SQUARE = 5  # HSI pixels per axis of the squares that the halves are made of, as on a chessboard
DISAGREEMENT = 0.5  # of the displacement's own size, by which the halves may differ
STEPS = 10


def halves_agree(misfit: Misfit, fit: Fit, check: Callable[[], None]) -> bool:
    """Whether both halves show the same displacement, shift left out, where the MSI has detail to tell."""
    square = (misfit.numbers // SQUARE).astype(int).sum(axis=1) % 2
    found = []
    for half in (0, 1):
        part = descend(misfit, fit.sampling, fit.free, (square == half).astype(float), check, STEPS)
        found.append(_moved(part.sampling, misfit.places))
    change = misfit.images(fit.sampling).change
    told = np.stack([change[SHIFT_Y], change[SHIFT_X]]) ** 2
    told = told.sum(axis=2) * fit.weight  # (2, N)
    size, apart = (_size(d, told) for d in (_moved(fit.sampling, misfit.places), found[0] - found[1]))
    return bool(apart < DISAGREEMENT * size)


def _moved(sampling: Sampling, places: np.ndarray) -> np.ndarray:
    """(2, N): the displacement beside the shift."""
    d = sampling.displacement or Displacement((1, 1))
    return d.of(*places.T)


def _size(d: np.ndarray, weight: np.ndarray) -> float:
    """Root of the weighted mean square about the weighted mean of each axis."""
    mean = (weight * d).sum(axis=1, keepdims=True) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
    return float(np.sqrt((weight * (d - mean) ** 2).sum() / max(float(weight.sum()), 1e-30)))
