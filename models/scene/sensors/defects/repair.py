"""What is done to the HSI whenever it is read: a pure function of its pixels, their place and what was found once for
the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .prediction import Prediction
from .spikes import FAR, OWN, SpikeTest

SECOND_LOOK = 0.5  # share of the limits beyond which what the first look found must lie


@dataclass(frozen=True)
class Repaired:
    """values (L, h, w) float32, 0 where unknown; mask (h, w) float32, 1 where known; filled (h, w) bool: where some
    entries are predicted.
    """

    values: np.ndarray
    mask: np.ndarray
    filled: np.ndarray

    def part(self, row: int, col: int, rows: int, cols: int) -> Repaired:
        """A window of it."""
        if self.mask.shape == (rows, cols):
            return self
        there = slice(row, row + rows), slice(col, col + cols)
        return Repaired(self.values[(slice(None), *there)], self.mask[there], self.filled[there])


@dataclass(frozen=True)
class Repair:
    """columns (L, cols), lines (L, rows): bool, those that show nothing, or None; gains (L, cols) of the columns, or
    None; spikes: how they are found, or None, `certain` as it says; prediction: fills entries that are unknown or
    bad while more than half of the pixel's bands are not. Rows and columns are those of the overlap; a window may
    reach beyond it.
    """

    prediction: Prediction | None = None
    columns: np.ndarray | None = None
    lines: np.ndarray | None = None
    gains: np.ndarray | None = None
    spikes: SpikeTest | None = None
    certain: bool = False

    @property
    def reach(self) -> int:
        """Pixels around a window on which its repair depends."""
        return 0 if self.spikes is None else 1

    def __call__(self, values: np.ndarray, rows: range, cols: range) -> Repaired:
        """Repair a window (L, h, w) as it was read, NaN where unknown."""
        values = self.trusted(values, rows, cols)
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

    def trusted(self, values: np.ndarray, rows: range, cols: range) -> np.ndarray:
        """The window without stripes, NaN where values are unknown or bad."""
        if self.gains is not None:
            values = values / _at(self.gains, cols, 1.0)[:, None].astype(np.float32)
        bad = np.zeros(values.shape, bool)
        if self.columns is not None:
            bad |= _at(self.columns, cols, False)[:, None]
        if self.lines is not None:
            bad |= _at(self.lines, rows, False)[:, :, None]
        if self.spikes is not None:
            bad |= self.spikes_of(values, bad)
        return np.where(bad, np.float32(np.nan), values) if bad.any() else values

    def spikes_of(self, values: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Which of the values (L, h, w), NaN where unknown, are spikes; those that are `bad` anyway count for nothing.

        A first look compares with the bands that are most alike; a second with all that is beyond suspicion, which
        frees bands that were taken for others' faults and finds those that hid in the company of others.
        """
        test = self.spikes
        apart = np.where(np.isfinite(values) & ~bad, test.apart(test.known(values)), np.float32(0))
        found = test.among(apart, self.certain)
        if self.prediction is None or not found.any():
            return found
        row, col = np.nonzero(found.any(axis=0))
        spectra, first = values[:, row, col], found[:, row, col]
        suspect = np.abs(apart[:, row, col]) > FAR * test.scale[:, None]
        for band in np.flatnonzero(first.any(axis=1)):
            suspect[test.bands[band]] |= first[band]
        known = np.isfinite(spectra) & ~suspect & ~bad[:, row, col]
        enough = 2 * known.sum(axis=0) > len(values)  # a rare material is suspect in most of its bands
        size = (
            np.abs(spectra - self.prediction.expected(spectra, known))
            / np.maximum(FAR * test.scale, test.least)[:, None]
        )
        usual = np.nanquantile(np.where(known | ~enough, size, np.nan), 0.9, axis=0)
        limit = np.maximum(np.where(first, SECOND_LOOK, 1.0), OWN * usual)
        found[:, row, col] = np.isfinite(spectra) & suspect & enough & (size > limit)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        plain: dict[str, Any] = {name: None if v is None else v.tolist() for name, v in self._arrays().items()}
        for name, part in (("prediction", self.prediction), ("spikes", self.spikes)):
            plain[name] = None if part is None else part.to_dict()
        return {**plain, "certain": self.certain}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Repair:
        """The inverse of `to_dict`."""
        arrays = {
            name: None if plain[name] is None else np.asarray(plain[name]) for name in ("columns", "lines", "gains")
        }
        prediction, spikes = plain["prediction"], plain["spikes"]
        return cls(
            None if prediction is None else Prediction.from_dict(prediction),
            spikes=None if spikes is None else SpikeTest.from_dict(spikes),
            certain=plain["certain"],
            **arrays,
        )

    def _arrays(self) -> dict[str, np.ndarray | None]:
        return {"columns": self.columns, "lines": self.lines, "gains": self.gains}


def _at(values: np.ndarray, places: range, beyond: float | bool) -> np.ndarray:
    """Columns `places` of values (L, n), which hold `beyond` where there are none."""
    index = np.arange(places.start, places.stop)
    inside = (index >= 0) & (index < values.shape[1])
    found = np.full((len(values), len(index)), beyond, values.dtype)
    found[:, inside] = values[:, index[inside]]
    return found
