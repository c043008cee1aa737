"""Defects of a detector, found once for a scene: dead and hot columns and lines, stripes, spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .columns import ColumnSpreads
from .prediction import Prediction
from .repair import Repair
from .second_look import confirmed
from .spikes import FAR, SpikeTest
from .stripes import COMPONENTS, Gains

LEAST_SPIKES = 1e-4  # pixels that hold spikes, per value, below which only certain ones are taken for spikes
ROUNDS = 2  # of stripes
SAMPLED, MAPPED = 64, 256  # pixels per axis

Windows = Callable[[], Iterator[tuple[np.ndarray, int, int]]]


@dataclass(frozen=True)
class Found:
    """The repair, and what it is about: columns and lines as `Repair` has them; spikes: their share of the values;
    places: share of the bands that are predicted, of pixels spread evenly (rows, cols), NaN where none was looked
    at.
    """

    repair: Repair
    spikes: float = 0.0
    places: np.ndarray | None = None

    def __bool__(self) -> bool:
        r = self.repair
        return any(part is not None for part in (r.columns, r.lines, r.gains, r.spikes))


def find_defects(windows: Windows, sample: np.ndarray, shape: tuple[int, int]) -> Found:
    """Of a scene (rows, cols) that `windows` reads anew at each call: (values (L, h, w), first row, first column), NaN
    where unknown.

    sample (L, N): some of its pixels, spread evenly. Bands, columns and pixels that are as they should be stay bit for
    bit as they are.
    """
    test = SpikeTest.fit(sample)
    if test is None:
        return Found(Repair(Prediction.fit(sample) if np.isnan(sample).any() else None))
    (dead_columns, hot_columns), (dead_lines, hot_lines) = _columns_and_lines(windows, test, shape)
    repair = Repair(columns=_some(dead_columns | hot_columns), lines=_some(dead_lines | hot_lines))
    columns, lines = repair.columns, repair.lines
    if columns is not None or lines is not None:
        sample = _sample(windows, repair, shape)
    clean = _unsuspicious(sample, test)
    if columns is not None or lines is not None:
        hot_columns, hot_lines = _confirmed(windows, repair, (hot_columns, hot_lines), clean)
        columns, lines = _some(dead_columns | hot_columns), _some(dead_lines | hot_lines)
        repair = Repair(columns=columns, lines=lines)
        clean = _unsuspicious(_sample(windows, repair, shape), test)
    gains = _stripes(windows, replace(repair, spikes=test), clean, shape)
    repair = replace(repair, gains=gains, prediction=Prediction.fit(clean))
    if gains is not None:
        test = SpikeTest.fit(_sample(windows, repair, shape)) or test
    share, pixels, certain = _share(windows, replace(repair, spikes=test))
    few = pixels < LEAST_SPIKES
    share = certain if few else share
    repair = replace(repair, spikes=test if share > 0 else None, certain=few and share > 0)
    if columns is None and lines is None and repair.spikes is None and not np.isnan(sample).any():
        repair = replace(repair, prediction=None)
    return Found(repair, share, _places(windows, repair, shape) if repair.prediction is not None else None)


def _unsuspicious(sample: np.ndarray, test: SpikeTest) -> np.ndarray:
    """The sample (L, N) with NaN for values that may be spikes: it is nothing lost where they are not."""
    far = np.maximum(FAR * test.scale, test.least)[:, None]
    return np.where(np.abs(test.apart(test.known(sample))) > far, np.nan, sample)


def _some(bad: np.ndarray) -> np.ndarray | None:
    return bad if bad.any() else None


def _confirmed(
    windows: Windows, repair: Repair, hot: tuple[np.ndarray, np.ndarray], sample: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the hot columns and lines that a second look finds bad too."""
    prediction, (columns, lines) = Prediction.fit(sample), hot
    if prediction is None:
        return hot
    if columns.any():
        pairs = zip(windows(), _trusted(windows, repair))
        columns = confirmed(columns, ((v, t, col) for (v, _, col), (t, _, _) in pairs), prediction)
    if lines.any():
        pairs = zip(windows(), _trusted(windows, repair))
        turned = ((np.swapaxes(v, 1, 2), np.swapaxes(t, 1, 2), row) for (v, row, _), (t, _, _) in pairs)
        lines = confirmed(lines, turned, prediction)
    return columns, lines


def _columns_and_lines(
    windows: Windows, test: SpikeTest, shape: tuple[int, int]
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Dead and hot columns, bool (L, cols), and the same of the lines."""
    bands = len(test.scale)
    columns, lines = ColumnSpreads(bands, shape[1]), ColumnSpreads(bands, shape[0])
    for values, row, col in windows():
        known, values = np.isfinite(values), test.known(values)
        expected = test.expected(values)
        columns.add(values, expected, known, col)
        lines.add(*(np.swapaxes(image, 1, 2) for image in (values, expected, known)), row)
    return columns.bad(), lines.bad()


def _stripes(windows: Windows, repair: Repair, sample: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Gains of the columns: each round predicts from what the round before corrected."""
    gains, striped = None, None
    for _ in range(ROUNDS):
        prediction = Prediction.fit(sample, COMPONENTS)
        if prediction is None:
            break
        sums = Gains(prediction, prediction.noise, *shape)
        for values, rows, cols in _trusted(windows, replace(repair, gains=gains)):
            sums.add(values, rows.start, cols.start)
        if striped is None:
            striped = sums.striped()
            if not striped.any():
                break
        found = sums.of_columns(striped)
        gains = found if gains is None else gains * found
        sample = _sample(windows, replace(repair, gains=gains), shape)
    return gains


def _trusted(windows: Windows, repair: Repair) -> Iterator[tuple[np.ndarray, range, range]]:
    for values, row, col in windows():
        rows, cols = range(row, row + values.shape[1]), range(col, col + values.shape[2])
        yield repair.trusted(values, rows, cols), rows, cols


def _sample(windows: Windows, repair: Repair, shape: tuple[int, int]) -> np.ndarray:
    """Some of the scene's pixels as the repair leaves them: (L, N), NaN where bad."""
    step = [max(1, size // SAMPLED) for size in shape]
    parts = []
    for values, rows, cols in _trusted(windows, repair):
        part = values[:, (-rows.start) % step[0] :: step[0], (-cols.start) % step[1] :: step[1]]
        parts.append(part.reshape(len(part), -1))
    return np.concatenate(parts, axis=1)


def _places(windows: Windows, repair: Repair, shape: tuple[int, int]) -> np.ndarray:
    """Share of the bands that are unknown or bad, thinned out."""
    step = max(1, max(shape) // MAPPED)
    found = np.full([-(-size // step) for size in shape], np.nan, np.float32)
    for values, rows, cols in _trusted(windows, repair):
        first = (-rows.start) % step, (-cols.start) % step
        part = np.isnan(values[:, first[0] :: step, first[1] :: step]).mean(axis=0)
        row, col = (rows.start + first[0]) // step, (cols.start + first[1]) // step
        found[row : row + part.shape[0], col : col + part.shape[1]] = part
    return found


def _share(windows: Windows, repair: Repair) -> tuple[float, float, float]:
    """Share of the values that are spikes; the pixels that hold any, and those that hold certain ones, in the number of
    values.

    A spike hits a value here and there. Many in one pixel are a material that no other pixel has, and count as one.
    """
    spikes, pixels, certain, count = 0, 0, 0, 0
    sure = replace(repair, certain=True)
    for values, _, _ in _trusted(windows, replace(repair, spikes=None)):
        bad = np.isnan(values)
        found = repair.spikes_of(values, bad)
        spikes += int(found.sum())
        pixels += int(found.any(axis=0).sum())
        certain += int(sure.spikes_of(values, bad).any(axis=0).sum()) if found.any() else 0
        count += int((~bad).sum())
    certain = certain if certain > 1 else 0
    return spikes / max(count, 1), pixels / max(count, 1), certain / max(count, 1)
