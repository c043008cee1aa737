"""Physical values: a fused band stays within what the scene's HSI spans, and is not negative where the HSI is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...observation import Sampling
from ..block import Block
from ..window import Window

REACH_STD = 2.9  # standard deviations of a band that a value may lie outside the band's range in the HSI
BRIGHTER = 3.0  # ... and so many more for each that the MSI's pixel lies outside its own range
SURELY_NEGATIVE = 3.0  # standard deviations of noise below zero from which an HSI value is negative and no noise
ROUNDS = 8  # of Newton's method
MOST_NEGATIVE = 0.01  # share of such values up to which the quantity is taken to have no negative values


@dataclass(frozen=True)
class Bounds:
    """hsi, msi: what the bands span at the HSI's resolution. positive: whether the HSI shows a quantity that has no
    negative values, as reflectance or radiance; decibels and temperatures in degrees have some.
    """

    hsi: Span
    msi: Span
    positive: bool

    @classmethod
    def of(cls, spectra: np.ndarray, low: np.ndarray, noise: np.ndarray) -> Bounds:
        """Of a scene's HSI spectra (N, L) with noise of std (L,), and of its MSI as the HSI would see it (N, l)."""
        negative = float((spectra < -SURELY_NEGATIVE * noise).mean())
        return cls(Span.of(spectra), Span.of(low), negative <= MOST_NEGATIVE)

    def apply(self, values: np.ndarray, window: Window, block: Block, sampling: Sampling) -> np.ndarray:
        """Bound fused values (L, rows, cols) of the absolute fine pixels `window` in place; returns where one of the
        bands was beyond a bound, bool (rows, cols). NaN stays NaN. The block is in the rasters' units.

        A value may lie REACH_STD standard deviations of its band outside the band's range, and farther where the MSI's
        pixel lies outside its own: the HSI's range hides what is small and bright. It may not be negative where the
        nearest HSI pixel is valid and not negative. The fine pixels whose centres lie in one HSI pixel make a cell.
        Where one of its values is beyond a bound, the cell becomes what is nearest to it, by least squares, of all that
        lies within the bounds and has its mean. A cell is a function of its own pixels, so a window must hold the whole
        cell of every pixel that is used: see `cell_reach`.
        """
        cells = _Cells.of(window, block, sampling)
        at = window.inside(block.place.fine)
        reach = REACH_STD + BRIGHTER * self.msi.beyond(block.z[(slice(None), *at)]) * (block.z_mask[at] > 0)
        bounded = np.zeros(window.shape, bool)
        for band, image in enumerate(values):
            margin = reach * self.hsi.std[band]
            low, high = self.hsi.low[band] - margin, self.hsi.high[band] + margin
            if self.positive:
                positive = cells.of_hsi(block.y[band], block.y_mask) >= 0
                low = np.where(positive[cells.number], np.maximum(low, 0), low)
            beyond = (image < low) | (image > high)
            if beyond.any():
                bounded |= beyond
                _project(image, cells.with_one_of(beyond), cells.number, low, high)
        return bounded


@dataclass(frozen=True)
class Span:
    """Lowest and highest value and standard deviation of bands (n,), float32."""

    low: np.ndarray
    high: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> Span:
        """Of pixels (N, n)."""
        return cls(*(np.float32(found) for found in (pixels.min(axis=0), pixels.max(axis=0), pixels.std(axis=0))))

    def beyond(self, image: np.ndarray) -> np.ndarray:
        """How far a pixel of an image (n, rows, cols) lies outside, in std of the band in which that is most; 0 inside,
        (rows, cols).
        """
        farthest = np.zeros(image.shape[1:], np.float32)
        for band, low, high, std in zip(image, self.low, self.high, self.std):
            np.maximum(farthest, np.maximum(low - band, band - high) / max(std, np.float32(1e-12)), out=farthest)
        return farthest


def cell_reach(sampling: Sampling) -> int:
    """Fine pixels around a window within which the cells of all its pixels lie."""
    return int(np.ceil(sampling.ratio))


@dataclass(frozen=True)
class _Cells:
    """The cells that the pixels of a window lie in. number (rows, cols): the cell of each pixel; count: of the cells;
    at: per axis, the HSI's pixel of each row and column of cells.
    """

    number: np.ndarray
    count: int
    at: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, window: Window, block: Block, sampling: Sampling) -> _Cells:
        numbers, at = [], []
        shifts = (sampling.shift_y, sampling.shift_x)
        for axis, coarse, shift in zip(window.axes, block.place.coarse.axes, shifts):
            pixel = np.floor((np.arange(axis.start, axis.stop) + 0.5 - shift) / sampling.ratio).astype(int)
            pixels, number = np.unique(pixel, return_inverse=True)
            numbers.append(number)
            at.append(np.clip(pixels, coarse.start, coarse.stop - 1) - coarse.start)
        (rows, cols), (height, width) = numbers, map(len, at)
        return cls(rows[:, None] * width + cols[None, :], height * width, (at[0], at[1]))

    def of_hsi(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The HSI's value in each cell (count,), NaN where it is masked."""
        there = np.ix_(*self.at)
        return np.where(mask[there] > 0, image[there], np.nan).ravel()

    def with_one_of(self, pixels: np.ndarray) -> np.ndarray:
        """Flat numbers of all pixels in cells that hold one of `pixels`, bool (rows, cols)."""
        hit = np.zeros(self.count, bool)
        hit[self.number[pixels]] = True
        return np.flatnonzero(hit[self.number])


def _project(image: np.ndarray, pixels: np.ndarray, number: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """The cells' pixels (flat numbers) of an image, in place: v becomes clip(v - t, low, high), t per cell so that the
    mean is kept. number, low, high (rows, cols).

    t by Newton's method on a piecewise linear function; what is left after ROUNDS is shared out in proportion to the
    distance from the bound, which never leaves the bounds.
    """
    pixels = pixels[np.isfinite(image.ravel()[pixels])]
    cells, cell = np.unique(number.ravel()[pixels], return_inverse=True)
    before, least, most = (values.ravel()[pixels].astype(np.float64) for values in (image, low, high))

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values, len(cells))

    taken = np.zeros(len(cells))
    for _ in range(ROUNDS):
        moved = before - taken[cell]
        after = np.clip(moved, least, most)
        free = total((moved > least) & (moved < most))
        taken += total(after - before) / np.maximum(free, 1.0)
    after = np.clip(before - taken[cell], least, most)
    added = total(after - before)
    down = np.minimum(np.maximum(added, 0) / np.maximum(total(after - least), 1e-30), 1.0)[cell]
    up = np.minimum(np.maximum(-added, 0) / np.maximum(total(most - after), 1e-30), 1.0)[cell]
    kept = after - down * (after - least) + up * (most - after)
    image.reshape(-1)[pixels] = np.clip(kept.astype(np.float32), low.ravel()[pixels], high.ravel()[pixels])
