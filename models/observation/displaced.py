"""D and its interpolation where the HSI is displaced: D_d = D warp(., d) and U_d = warp(., d^-1) U, neither image
resampled.

Each is two passes of weighted sums (Catmull and Smith 1980): along rows to where the lines of the HSI's grid cross the
columns of the MSI's, or the other way about, then along those lines. Where lines cross is found at the HSI's pixels by
fixed-point iteration and interpolated between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .axis import block_weights, coarse_centres, cubic_weights, gaussian_reach, gaussian_weights
from .displacement import Displacement
from .taps import Taps, taps_along

AROUND = 3  # HSI pixels beyond a window at which crossings are found, for cubic interpolation between them
LEAST_INSIDE = 1.0 / 3.0  # HSI pixels by which a displaced centre must lie within the scene to be compared with the MSI


@dataclass(frozen=True)
class Crossings:
    """Where the lines of the HSI's displaced grid run in a window: the geometry that both operators share.

    ratio, shift (y, x) and displacement as in `Sampling`; ranges are absolute pixel numbers.
    """

    displacement: Displacement
    ratio: float
    shift: tuple[float, float]
    fine: tuple[range, range]
    coarse: tuple[range, range]

    def centres(self) -> np.ndarray:
        """(2, h, w): displaced centres (y, x) of the coarse pixels, in fine pixels."""
        rows, cols = (self._nominal(axis) for axis in (0, 1))
        place = np.stack(np.meshgrid(rows, cols, indexing="ij")) + self.displacement.at(rows, cols)
        return place + np.array(self.shift)[:, None, None]

    def widths(self) -> tuple[np.ndarray, np.ndarray]:
        """(h, W) and (h, w): how much longer than nominal the way to the next coarse row is at a fine column, and to
        the next coarse column.
        """
        half = self.ratio / 2
        rows, cols, lattice = self._nominal(0), self._nominal(1), self._lattice(1)
        along_y = self.displacement.at(rows + half, lattice)[0] - self.displacement.at(rows - half, lattice)[0]
        along_x = self.displacement.at(rows, cols + half)[1] - self.displacement.at(rows, cols - half)[1]
        return 1.0 + along_y @ self._between(1).T / self.ratio, 1.0 + along_x / self.ratio

    def of_row_lines(self) -> np.ndarray:
        """(h, W): fine row at which the line of a coarse row crosses a fine column."""
        rows, lattice = self._nominal(0), self._lattice(1)
        y, x = np.meshgrid(rows, lattice, indexing="ij")
        line = x.copy()
        for _ in range(self.displacement.steps):
            line = x - self.displacement.of(y, line)[1]
        moved = self.displacement.of(y, line)[0]
        return rows[:, None] + self.shift[0] + moved @ self._between(1).T

    def on_column_lines(self) -> np.ndarray:
        """(H, w): the coarse row, a fraction, at which the line of a coarse column crosses a fine row."""
        lattice, cols = self._lattice(0), self._nominal(1)
        y, x = np.meshgrid(lattice, cols, indexing="ij")
        line = y.copy()
        for _ in range(self.displacement.steps):
            line = y - self.displacement.of(line, x)[0]
        fine = np.arange(self.fine[0].start, self.fine[0].stop)[:, None] - self.shift[0]
        return self._number(fine + self._between(0) @ (line - y))

    def columns(self) -> np.ndarray:
        """(H, W): the coarse column, a fraction, that sees a fine pixel."""
        y, x = np.meshgrid(self._lattice(0), self._lattice(1), indexing="ij")
        place = np.stack([y, x])
        for _ in range(self.displacement.steps):
            place = np.stack([y, x]) - self.displacement.of(*place)
        moved = self._between(0) @ (place[1] - x) @ self._between(1).T
        fine = np.arange(self.fine[1].start, self.fine[1].stop)[None, :] - self.shift[1]
        return self._number(fine + moved)

    def _nominal(self, axis: int) -> np.ndarray:
        return coarse_centres(self.coarse[axis], self.ratio, 0.0)

    def _number(self, place: np.ndarray) -> np.ndarray:
        """Coarse pixel numbers of nominal places in fine pixels."""
        return (place + 0.5) / self.ratio - 0.5

    def _near(self, axis: int) -> range:
        """Absolute numbers of the nominal coarse pixels around the fine window."""
        first, last = (
            int(np.floor(self._number(edge - self.shift[axis])))
            for edge in (self.fine[axis].start, self.fine[axis].stop - 1)
        )
        return range(first - AROUND, last + AROUND + 2)

    def _lattice(self, axis: int) -> np.ndarray:
        return coarse_centres(self._near(axis), self.ratio, 0.0)

    def _between(self, axis: int) -> np.ndarray:
        """Cubic interpolation (fine, lattice) from the lattice to the fine pixels of the window."""
        fine, near = self.fine[axis], self._near(axis)
        position = self._number(np.arange(fine.start, fine.stop) - self.shift[axis])
        first, weights = cubic_weights(position)
        matrix = np.zeros((len(fine), len(near)))
        for tap, share in enumerate(weights):
            matrix[np.arange(len(fine)), first + tap - near.start] += share
        return matrix


@dataclass(frozen=True)
class Kernel:
    """PSFs along one axis: number of the first tap (m, n), distances (T, m, n) of the taps and FWHM (m, n) in fine
    pixels, reach to each side.
    """

    first: np.ndarray
    distance: np.ndarray
    fwhm: np.ndarray
    reach: int


class DisplacedDegradation:
    """D_d on a window: each HSI pixel's PSF about its displaced centre, as wide as the field stretches it."""

    def __init__(self, crossings: Crossings, fwhm: tuple[float, float], psf: str, scene_shape: tuple[int, int]) -> None:
        self._crossings, self._fwhm, self._psf, self._scene_shape = crossings, fwhm, psf, scene_shape

    def __call__(self, x: Any) -> Any:
        """(..., H, W) -> (..., h, w); 0 for pixels that are not `inside`."""
        rows, cols = self.passes
        return cols(rows(x))

    def adjoint(self, y: Any) -> Any:
        """The exact transpose."""
        rows, cols = self.passes
        return rows.adjoint(cols.adjoint(y))

    @cached_property
    def centres(self) -> np.ndarray:
        """(2, h, w): displaced centres (y, x) of the coarse pixels, in fine pixels."""
        return self._crossings.centres()

    @cached_property
    def inside(self) -> np.ndarray:
        """bool (h, w): coarse pixels that see the scene."""
        margin = LEAST_INSIDE * self._crossings.ratio - 0.5
        return np.logical_and(
            *((place >= margin) & (place <= size - 1 - margin) for place, size in zip(self.centres, self._scene_shape))
        )

    @cached_property
    def whole(self) -> np.ndarray:
        """bool (h, w): of those, the ones whose PSF lies in the window, as far as it lies in the scene."""
        found = self.inside.copy()
        for axis, place in enumerate(self.centres):
            window, reach = self._crossings.fine[axis], self._reach(axis)
            low = -np.inf if window.start == 0 else window.start + reach
            high = np.inf if window.stop == self._scene_shape[axis] else window.stop - 1 - reach
            found &= (place >= low) & (place <= high)
        return found

    def _reach(self, axis: int) -> int:
        c = self._crossings
        if self._psf == "block-mean":
            return int(np.ceil(c.ratio / 2)) + 1
        return gaussian_reach(c.ratio, self._fwhm[axis] * (1.0 + min(c.displacement.strain, 0.5)))

    @cached_property
    def passes(self) -> tuple[Taps, Taps]:
        """Along rows from (H, W) to (h, W), then along columns to (h, w)."""
        rows, cols = self.kernels
        c, (height, width) = self._crossings, self._scene_shape
        along = taps_along(0, rows.first, self._weights(rows), c.fine[0], len(c.fine[1]), height)
        across = taps_along(1, cols.first, self._weights(cols), c.fine[1], len(c.coarse[0]), width)
        return along, across.only(self.inside)

    @cached_property
    def kernels(self) -> tuple[Kernel, Kernel]:
        """Where the PSF of each row line, then of each pixel along its line, lies, and how wide it is."""
        c, found = self._crossings, []
        for axis, (place, wider) in enumerate(zip((c.of_row_lines(), self.centres[1]), c.widths())):
            reach = self._reach(axis)
            first = np.round(place).astype(np.int64) - reach
            distance = first[None] + np.arange(2 * reach + 1)[:, None, None] - place[None]
            found.append(Kernel(first, distance, self._fwhm[axis] * c.ratio * wider, reach))
        return found[0], found[1]

    def _weights(self, kernel: Kernel) -> np.ndarray:
        if self._psf == "block-mean":
            return block_weights(kernel.distance, self._crossings.ratio)
        return gaussian_weights(kernel.distance, kernel.fwhm[None], kernel.reach)


class DisplacedUpsampling:
    """U_d on a window: cubic interpolation of the HSI's pixels at the places of the MSI's on the HSI's own grid."""

    def __init__(self, crossings: Crossings) -> None:
        self._crossings = crossings

    def __call__(self, y: Any) -> Any:
        """(..., h, w) -> (..., H, W)."""
        rows, cols = self._passes
        return cols(rows(y))

    def adjoint(self, x: Any) -> Any:
        """The exact transpose."""
        rows, cols = self._passes
        return rows.adjoint(cols.adjoint(x))

    @cached_property
    def _passes(self) -> tuple[Taps, Taps]:
        c = self._crossings
        first, weights = cubic_weights(c.on_column_lines())
        rows = taps_along(0, first, weights, c.coarse[0], len(c.coarse[1]))
        first, weights = cubic_weights(c.columns())
        return rows, taps_along(1, first, weights, c.coarse[1], len(c.fine[0]))
