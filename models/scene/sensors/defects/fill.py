"""Fill that no header names, and saturation: exact values that are no measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fill:
    """Which exact values of a raster are no measurements; bands are counted from 0.

    entries: (band, value): fill wherever that band holds it. flat: (value, band): fill where that band and the band in
    question hold it, for values such as 0 that other bands may really have. saturated: (band, value): where detector or
    data type stop counting.
    """

    entries: tuple[tuple[int, float], ...] = ()
    flat: tuple[tuple[float, int], ...] = ()
    saturated: tuple[tuple[int, float], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries or self.flat or self.saturated)

    def blank(self, values: np.ndarray, bands: Sequence[int], layer_of: Callable[[int], np.ndarray]) -> None:
        """Write NaN over the fill in values (len(bands), rows, cols); `layer_of` reads any band of the same window,
        (rows, cols).
        """
        rows = {band: row for row, band in enumerate(bands)}
        flat = []
        for value, probe in self.flat:
            layer = values[rows[probe]] if probe in rows else layer_of(probe)
            flat.append((np.float32(value), layer == np.float32(value)))
        for band, value in (*self.entries, *self.saturated):
            if band in rows:
                layer = values[rows[band]]
                layer[layer == np.float32(value)] = np.nan
        for value, there in flat:
            if there.any():
                values[:, there] = np.where(values[:, there] == value, np.float32(np.nan), values[:, there])


NOTHING = Fill()
