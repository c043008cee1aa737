"""Weighted sums of a few pixels along one axis, with another place for every pixel that is made: what separable
matrices cannot say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .axis import like


class Taps:
    """out[p] = sum over t of weight[t, p] x[index[t, p]] for images (..., rows, cols) of one shape, numpy or torch,
    with its adjoint.
    """

    def __init__(self, index: np.ndarray, weight: np.ndarray, source: tuple[int, int]) -> None:
        """index (T, rows, cols): flat numbers of pixels of the `source` (rows, cols); weight the same shape."""
        self.shape, self.source = index.shape[1:], source
        self._index = np.ascontiguousarray(index.reshape(len(index), -1), np.int64)
        self._weight = np.ascontiguousarray(weight.reshape(len(weight), -1), np.float64)
        self._there: dict[Any, tuple[Any, Any]] = {}

    def __call__(self, x: Any) -> Any:
        """(..., *source) -> (..., *shape)."""
        flat = x.reshape(-1, self.source[0] * self.source[1])
        index, weight = self._like(x)
        found: Any = 0.0
        for place, share in zip(index, weight):
            taken = np.take(flat, place, axis=1) if isinstance(x, np.ndarray) else flat[:, place]
            taken *= share
            taken += found
            found = taken
        return found.reshape(*x.shape[:-2], *self.shape)

    def adjoint(self, y: Any) -> Any:
        """The exact transpose, (..., *shape) -> (..., *source)."""
        flat = y.reshape(-1, self.shape[0] * self.shape[1])
        size = self.source[0] * self.source[1]
        index, weight = self._like(y)
        if isinstance(y, np.ndarray):
            place = index.ravel()
            found = np.empty((len(flat), size), y.dtype)
            for row, values in zip(found, flat):
                row[:] = np.bincount(place, (weight * values).ravel(), size)
        else:
            found = flat.new_zeros((len(flat), size))
            for place, share in zip(index, weight):
                found.index_add_(1, place, share * flat)
        return found.reshape(*y.shape[:-2], *self.source)

    def only(self, wanted: np.ndarray) -> Taps:
        """The same with 0 for the pixels that are not wanted, bool of the shape made."""
        return Taps(
            self._index.reshape(-1, *self.shape), self._weight.reshape(-1, *self.shape) * wanted[None], self.source
        )

    def _like(self, x: Any) -> tuple[Any, Any]:
        """Index and weight as the kind of array that x is."""
        key = (x.dtype, getattr(x, "device", None))
        if key not in self._there:
            index = self._index if isinstance(x, np.ndarray) else x.new_tensor(self._index, dtype=_int64(x))
            self._there[key] = index, like(self._weight, x)
        return self._there[key]


def _int64(x: Any) -> Any:
    """torch.int64, without importing torch."""
    return x.new_zeros(1).long().dtype


def taps_along(axis: int, first: np.ndarray, weights: np.ndarray, window: range, other: int, size: int = 0) -> Taps:
    """Taps along `axis` (0 rows, 1 columns) of a window whose other axis has `other` pixels, the same before and after.

    first (rows, cols): absolute number of the first of the taps along the axis; weights (T, rows, cols). What falls
    beyond the scene [0, size) is reflected where a size is given, what falls beyond the window is left out; the weights
    are scaled to sum to 1, or to 0 where nothing is left.
    """
    taps = first[None] + np.arange(len(weights))[:, None, None]
    if size:
        taps = np.mod(taps, 2 * size)
        taps = np.where(taps >= size, 2 * size - 1 - taps, taps)
    taps = taps - window.start
    inside = (taps >= 0) & (taps < len(window))
    weights = np.where(inside, weights, 0.0)
    total = weights.sum(axis=0)
    weights = weights * np.divide(1.0, total, out=np.zeros_like(total), where=np.abs(total) > 1e-6)
    taps = np.where(inside, taps, 0).astype(np.int64)
    if axis == 0:
        return Taps(taps * other + np.arange(other)[None, None, :], weights, (len(window), other))
    return Taps(taps + len(window) * np.arange(other)[None, :, None], weights, (other, len(window)))
