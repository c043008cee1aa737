"""Dead and hot columns: a column of a band is judged as a whole, by what it shows of the scene.

Lines are the same with rows and columns exchanged.
"""

from __future__ import annotations

import numpy as np

DEAD = 0.05  # spread along a column, in that of the columns around it, below which it shows nothing
# spread of the deviations from what other bands let one expect, in that of the band's other columns and of the column's
# other bands
HOT = 5.0
LOOSE = 0.7  # the same in the spread of what is expected, from which it shows nothing of that
TIED = 0.6  # spread of the differences to a neighbour, in the column's own, below which both show the same
AROUND = 3  # columns on either side
ENOUGH_ROWS = 48
LEAST_ROWS = 16  # that a column must have to be judged


class ColumnSpreads:
    """Robust spreads along the columns of each band, averaged over windows that are given in any order: medians are not
    moved by spikes.

    own: of the values; expected: of what the pixel's other bands let one expect; apart: of the difference; step: of the
    difference to the neighbouring column that is more alike. All (L, cols).
    """

    def __init__(self, bands: int, cols: int) -> None:
        self.own, self.expected, self.apart, self.step = (np.zeros((bands, cols)) for _ in range(4))
        self.windows = np.zeros((bands, cols), int)

    def add(self, values: np.ndarray, expected: np.ndarray, known: np.ndarray, first: int) -> None:
        """Take in values and expected values (L, rows, cols), finite, whose first column is number `first`; columns of
        which less than half is `known`, bool (L, rows, cols), do not count.
        """
        if values.shape[1] < LEAST_ROWS:
            return
        there, enough = slice(first, first + values.shape[2]), 2 * known.sum(axis=1) > values.shape[1]
        for sums, image in ((self.own, values), (self.expected, expected), (self.apart, values - expected)):
            sums[:, there] += np.where(enough, _spread(image), 0.0)
        self.step[:, there] += np.where(enough, _spread_of_steps(values), 0.0)
        self.windows[:, there] += enough

    def bad(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns that are dead and columns that seem hot, bool (L, cols) each; columns that no window covered are not
        judged.
        """
        count = np.maximum(self.windows, 1)
        own, expected, apart, step = (sums / count for sums in (self.own, self.expected, self.apart, self.step))
        judged = self.windows > 0
        around = _median_around(np.where(judged, own, np.nan))
        with np.errstate(invalid="ignore", divide="ignore"):
            dead = judged & (own < DEAD * around)
            of_band = apart / _nanmedian(np.where(judged & ~dead, apart, np.nan), axis=1)[:, None]
            of_column = of_band / _nanmedian(np.where(judged & ~dead, of_band, np.nan), axis=0)[None]
            hot = judged & (of_band > HOT) & (of_column > HOT) & (apart > LOOSE * expected) & (step > TIED * own)
        return dead, hot & ~dead


def _spread(image: np.ndarray) -> np.ndarray:
    """Median absolute deviation along the rows of (L, rows, cols), of as many as tell it well."""
    image = image[:, :: max(1, image.shape[1] // ENOUGH_ROWS)]
    return np.median(np.abs(image - np.median(image, axis=1, keepdims=True)), axis=1)


def _spread_of_steps(image: np.ndarray) -> np.ndarray:
    """`_spread` of the differences to the left or the right neighbour of (L, rows, cols), whichever is smaller;
    infinite where there is none.
    """
    steps = np.pad(_spread(np.diff(image, axis=2)), ((0, 0), (1, 1)), constant_values=np.inf)
    return np.minimum(steps[:, :-1], steps[:, 1:])


def _nanmedian(values: np.ndarray, axis: int) -> np.ndarray:
    """NaN where nothing is known, without a warning."""
    known = np.isfinite(values).any(axis=axis, keepdims=True)
    return np.where(known.squeeze(axis), np.nanmedian(np.where(known, values, 0.0), axis=axis), np.nan)


def _median_around(values: np.ndarray) -> np.ndarray:
    """Median of the columns around each, itself left out."""
    cols = values.shape[1]
    padded = np.pad(values, ((0, 0), (AROUND, AROUND)), constant_values=np.nan)
    shifted = [padded[:, AROUND + k : AROUND + k + cols] for k in range(-AROUND, AROUND + 1) if k]
    return _nanmedian(np.stack(shifted), axis=0)
