"""Two cubes read block by block, so that an evaluation never holds either of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .hypercomplex import BLOCK
from .structural import TILE

VALUES = 20_000_000  # of one cube in one block, about


class Cube(Protocol):
    """A cube (L, H, W) that is read by windows: an array's `InMemory`, or a raster."""

    shape: tuple[int, int, int]

    def window(self, rows: slice, cols: slice, bands: np.ndarray | None = None) -> np.ndarray:
        """(L, rows, cols) of all bands, or of those indices; NaN = nodata."""
        ...


@dataclass(frozen=True)
class InMemory:
    """An array (L, H, W) as a Cube."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, H, W)."""
        return self.values.shape

    def window(self, rows: slice, cols: slice, bands: np.ndarray | None = None) -> np.ndarray:
        """A part of the array."""
        chosen = slice(None) if bands is None or np.array_equal(bands, np.arange(len(self.values))) else bands
        return self.values[chosen, rows, cols]


@dataclass(frozen=True)
class Part:
    """One block of an image: rows and cols are its own pixels, of which every pixel of the image is in one block."""

    rows: slice
    cols: slice

    def reaching(self, window: int, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of all sliding windows of `window` pixels that begin in the block and end in the image."""
        return tuple(
            slice(side.start, min(side.stop + window - 1, length))
            for side, length in zip((self.rows, self.cols), shape)
        )

    @property
    def own(self) -> tuple[slice, slice]:
        """Rows and columns of its own pixels."""
        return self.rows, self.cols

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of its own pixels."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def parts(shape: tuple[int, int, int], values: int = VALUES) -> list[Part]:
    """Blocks of an image (L, H, W) that begin at multiples of TILE and of BLOCK pixels.

    So the windows of SSIM and UIQI are summed in the same tiles as in the whole image, and the blocks of Q2n are the
    same. A remainder of fewer than BLOCK pixels, which Q2n fills by reflection, belongs to the block before it.
    """
    bands, rows, cols = shape
    pixels = max(1, values // max(1, bands))
    unit = max(TILE, BLOCK)
    high = max(1, min(int(pixels**0.5), rows) // unit) * unit
    wide = max(1, pixels // high // unit) * unit
    return [Part(down, across) for down in _cut(rows, high) for across in _cut(cols, wide)]


def _cut(length: int, step: int) -> Iterator[slice]:
    starts: Sequence[int] = range(0, length, step)
    if len(starts) > 1 and length - starts[-1] < BLOCK:
        starts = starts[:-1]
    return (slice(start, stop) for start, stop in zip(starts, [*starts[1:], length]))
