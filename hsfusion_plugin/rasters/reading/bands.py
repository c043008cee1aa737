"""Which bands carry a signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....models.errors import HSFusionError
from .raster import Raster

if TYPE_CHECKING:
    from ...jobs.run.progress import Progress

_WINDOW = 128
_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class BandReport:
    """0-based band numbers: usable ones, and the others by why they are left out; a mask (alpha) is none of either."""

    usable: tuple[int, ...]
    bad: tuple[int, ...]
    empty: tuple[int, ...]
    constant: tuple[int, ...]

    def sentence(self, role: str) -> str:
        """What was left out, for the user; "" when nothing was."""
        parts = [
            f"{len(bands)} {why}"
            for bands, why in ((self.bad, "marked bad"), (self.empty, "without data"), (self.constant, "constant"))
            if bands
        ]
        left_out = len(self.bad) + len(self.empty) + len(self.constant)
        return (
            f"{role}: {left_out} of {left_out + len(self.usable)} bands take no part ({', '.join(parts)})."
            if parts
            else ""
        )


def band_report(
    raster: Raster, progress: Progress | None = None, rows: range | None = None, cols: range | None = None
) -> BandReport:
    """Sort the bands by what the window (default: the whole raster) holds of them.

    Exact and yet quick: windows are visited spread over the raster, and a band is read no further once two values of it
    differ.
    """
    rows, cols = rows or range(raster.rows), cols or range(raster.cols)
    low, high = np.full(raster.count, np.inf), np.full(raster.count, -np.inf)
    good = ~raster.bad
    for window in _spread(rows, cols):
        open_bands = np.flatnonzero(good & ~(high > low))
        if open_bands.size == 0:
            break
        step = max(1, _VALUES_AT_ONCE // (len(window[0]) * len(window[1])))
        for start in range(0, open_bands.size, step):
            if progress is not None:
                progress.check()
            some = open_bands[start : start + step]
            values = raster.read(*window, bands=some)
            empty = np.isnan(values)
            low[some] = np.minimum(low[some], np.where(empty, np.inf, values).min(axis=(1, 2)))
            high[some] = np.maximum(high[some], np.where(empty, -np.inf, values).max(axis=(1, 2)))
    mask = np.isin(np.arange(raster.count), raster.alpha)
    kinds = (good & (high > low), ~good & ~mask, good & np.isinf(high), good & (high == low))
    return BandReport(*(tuple(int(i) for i in np.flatnonzero(kind)) for kind in kinds))


def usable_bands(
    raster: Raster, progress: Progress | None = None, rows: range | None = None, cols: range | None = None
) -> list[int]:
    """0-based numbers of the bands that are not marked bad, not all nodata and not constant, in file order.

    The others are named in a warning; HSFusionError when none is left.
    """
    report = band_report(raster, progress, rows, cols)
    if not report.usable:
        kind = "only nodata" if not report.constant else "no band whose values differ"
        raise HSFusionError(
            f"{raster.role}: '{raster.path}' holds {kind} in the area of interest; choose another raster or area."
        )
    sentence = report.sentence(raster.role)
    if sentence and progress is not None:
        progress.warn(sentence)
    return list(report.usable)


def _spread(rows: range, cols: range) -> list[tuple[range, range]]:
    """Windows that cover the area, far-apart ones first."""
    windows = [
        (range(r, min(r + _WINDOW, rows.stop)), range(c, min(c + _WINDOW, cols.stop)))
        for r in range(rows.start, rows.stop, _WINDOW)
        for c in range(cols.start, cols.stop, _WINDOW)
    ]
    stride = max(1, int(len(windows) ** 0.5))
    return [window for start in range(stride) for window in windows[start::stride]]
