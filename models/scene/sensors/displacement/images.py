"""D z of a displaced HSI with its derivatives by the PSF's widths and the shift, from which those by every other
parameter follow.

Only the HSI pixels that are compared are made, all at once: each from the patch of the MSI around its displaced centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....observation import Displacement, Sampling
from ....observation.axis import SIGMA_PER_FWHM
from ...block import Block

WIDTH_Y, WIDTH_X, SHIFT_Y, SHIFT_X = range(4)  # derivatives, in this order
TAILS = 3.5  # sigma at which the PSF is cut
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Patches:
    """What patches are taken from: the MSI of all blocks in one line, flat (l, M), and for each pixel (N,) where its
    block lies in it.

    places (N, 2): nominal centres in MSI pixels; start: of the block in the line; first (N, 2) and shape (N, 2): its
    fine window.
    """

    flat: np.ndarray
    places: np.ndarray
    start: np.ndarray
    first: np.ndarray
    shape: np.ndarray
    scene_shape: tuple[int, int]

    @classmethod
    def of(
        cls, blocks: Sequence[Block], images: Sequence[np.ndarray], counts: Sequence[int], places: np.ndarray
    ) -> Patches:
        """images: the MSI (l, H, W) of each block; counts: how many of the pixels, which come in the blocks' order,
        each has.
        """
        sizes = [image[0].size for image in images]
        start = np.repeat(np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64), counts)
        first = np.repeat([(b.fine_rows.start, b.fine_cols.start) for b in blocks], counts, axis=0)
        shape = np.repeat([image.shape[1:] for image in images], counts, axis=0)
        flat = np.concatenate([image.reshape(len(image), -1) for image in images], axis=1)
        return cls(flat, places, start, first, shape, blocks[0].scene_shape)

    def __call__(self, sampling: Sampling) -> np.ndarray:
        """(1 + 4, N, l): D z, then its derivatives by (log fwhm_y, log fwhm_x, shift_y, shift_x)."""
        rows, cols = (self._axis(axis, sampling) for axis in (0, 1))
        found = np.empty((5, len(self.places), len(self.flat)))
        for part in self._parts(rows.index.shape[1] * cols.index.shape[1]):
            index = (
                self.start[part, None, None]
                + rows.index[part, :, None] * self.shape[part, 1, None, None]
                + cols.index[part, None, :]
            )
            patch = np.moveaxis(np.take(self.flat, index, axis=1), 0, 1)  # (n, l, T, T)
            every = rows.weights[part, None] @ patch @ np.swapaxes(cols.weights[part], 1, 2)[:, None]  # (n, l, 3, 3)
            for number, (i, j) in enumerate(((0, 0), (1, 0), (0, 1), (2, 0), (0, 2))):
                found[number, part] = every[:, :, i, j]
        return found

    def _parts(self, patch: int) -> Iterator[slice]:
        step = max(1, VALUES_AT_ONCE // (patch * len(self.flat)))
        return (slice(first, first + step) for first in range(0, len(self.places), step))

    def _axis(self, axis: int, sampling: Sampling) -> _Axis:
        d, ratio = sampling.displacement or Displacement(self.scene_shape), sampling.ratio
        y, x = self.places.T
        half = np.array([ratio / 2, 0.0]) if axis == 0 else np.array([0.0, ratio / 2])
        ahead, behind = (d.of(y + sign * half[0], x + sign * half[1])[axis] for sign in (1.0, -1.0))
        fwhm, shift = ((sampling.fwhm_y, sampling.shift_y), (sampling.fwhm_x, sampling.shift_x))[axis]
        sigma = SIGMA_PER_FWHM * fwhm * ratio * np.maximum(1.0 + (ahead - behind) / ratio, 0.1)[:, None]
        centre = self.places[:, axis] + shift + d.of(y, x)[axis]
        reach = int(np.ceil(TAILS * SIGMA_PER_FWHM * fwhm * ratio * (1.0 + min(d.strain, 0.5))))
        taps = np.round(centre).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)[None]
        distance = taps - centre[:, None]
        weight = np.exp(-0.5 * (distance / sigma) ** 2)
        size = self.scene_shape[axis]
        taps = np.mod(taps, 2 * size)
        taps = np.where(taps >= size, 2 * size - 1 - taps, taps) - self.first[:, axis, None]
        inside = (taps >= 0) & (taps < self.shape[:, axis, None])
        weight = np.where(inside, weight, 0.0)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
        wider, moved = ((weight * (f - (weight * f).sum(axis=1, keepdims=True))) for f in _logarithms(distance, sigma))
        return _Axis(np.where(inside, taps, 0), np.stack([weight, wider, moved], axis=1).astype(np.float32))


@dataclass(frozen=True)
class _Axis:
    """index (N, T) of taps in the pixel's window; weights (N, 3, T): the PSF, its derivatives by log width and by
    shift.
    """

    index: np.ndarray
    weights: np.ndarray


def _logarithms(distance: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of a Gaussian's logarithm by log width and by shift."""
    return (distance / sigma) ** 2, distance / sigma**2
