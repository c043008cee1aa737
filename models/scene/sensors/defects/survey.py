"""What tells fill from data, collected window by window: extremes with their counts, flat spectra, a sample of the
pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

DEPTH = 4  # distinct values that are kept at either end of each band
_FEW = 16  # values that are looked at first
_SAMPLE = 64  # pixels per axis of the sample


class Tails:
    """The lowest distinct values of each band and how often they occur; of negated values, the highest."""

    def __init__(self, bands: int) -> None:
        self._found: list[Counter[float]] = [Counter() for _ in range(bands)]

    def add(self, values: np.ndarray) -> None:
        """Take in values (bands, pixels), NaN where unknown."""
        left = np.where(np.isnan(values), np.float32(np.inf), values)
        few = min(_FEW, left.shape[1])
        lowest = np.sort(np.partition(left, few - 1, axis=1)[:, :few], axis=1)
        # Where these hold enough different values, their counts are known: all but that of the last.
        enough = (np.diff(lowest, axis=1) > 0).sum(axis=1) >= DEPTH
        for band in np.flatnonzero(enough):
            found, counts = np.unique(lowest[band], return_counts=True)
            self._take(int(band), found[:DEPTH], counts[:DEPTH])
        for band in np.flatnonzero(~enough):
            layer = left[band]
            for _ in range(DEPTH):
                value = layer.min()
                if np.isinf(value):
                    break
                same = layer == value
                self._take(int(band), [value], [same.sum()])
                layer = layer[~same]
                if not layer.size:
                    break

    def _take(self, band: int, values: Iterable[float], counts: Iterable[int]) -> None:
        found = self._found[band]
        for value, count in zip(values, counts):
            if np.isfinite(value):
                found[float(value)] += int(count)
        if len(found) > DEPTH:
            self._found[band] = Counter({value: found[value] for value in sorted(found)[:DEPTH]})

    def of(self, band: int) -> list[tuple[float, int]]:
        """(value, count) of the band, the lowest first."""
        return sorted(self._found[band].items())


class Survey:
    """Statistics of a raster of `bands` bands and `shape` (rows, cols), whose windows are given in any order, once
    each.

    flat: how many pixels hold one value in all their bands, by value; neighbours: how many of those have one to their
    right or below; at_border: how many lie at the border of the raster. pixels: how many were seen; known: of them,
    with data, per band.
    """

    def __init__(self, bands: int, shape: tuple[int, int]) -> None:
        self.bands, self.shape = bands, shape
        self.low, self.high = Tails(bands), Tails(bands)
        self.flat, self.at_border = Counter[float](), Counter[float]()
        self.right, self.below = Counter[float](), Counter[float]()
        self.pixels, self.known = 0, np.zeros(bands, np.int64)
        self._step = tuple(max(1, -(-size // _SAMPLE)) for size in shape)
        self._sample: list[np.ndarray] = []

    def add(self, values: np.ndarray, row: int, col: int) -> None:
        """Take in values (bands, rows, cols) float32, NaN where unknown, of the window that begins at (row, col)."""
        plain = values.reshape(len(values), -1)
        self.low.add(plain)
        self.high.add(-plain)
        self.pixels += plain.shape[1]
        self.known += np.isfinite(plain).sum(axis=1)
        first = (-row) % self._step[0], (-col) % self._step[1]
        self._sample.append(values[:, first[0] :: self._step[0], first[1] :: self._step[1]].reshape(len(values), -1))
        self._add_flat(values, row, col)

    def sample(self) -> np.ndarray:
        """Some pixels, spread evenly: (bands, N), NaN where unknown."""
        return np.concatenate(self._sample, axis=1) if self._sample else np.empty((self.bands, 0), np.float32)

    def _add_flat(self, values: np.ndarray, row: int, col: int) -> None:
        unknown = np.isnan(values)
        low = np.where(unknown, np.float32(np.inf), values).min(axis=0)
        high = np.where(unknown, np.float32(-np.inf), values).max(axis=0)
        flat = (low == high) & (2 * unknown.sum(axis=0) <= len(values))
        if not flat.any():
            return
        level = np.where(flat, low, np.float32(np.nan))
        self.flat.update(level[flat].tolist())
        self.right.update(level[:, 1:][level[:, 1:] == level[:, :-1]].tolist())
        self.below.update(level[1:][level[1:] == level[:-1]].tolist())
        border = np.zeros(level.shape, bool)
        border[0] |= row == 0
        border[-1] |= row + level.shape[0] == self.shape[0]
        border[:, 0] |= col == 0
        border[:, -1] |= col + level.shape[1] == self.shape[1]
        self.at_border.update(level[flat & border].tolist())
