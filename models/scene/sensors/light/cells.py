"""Both images at the resolution of the HSI or coarser, as the estimates of light see them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....observation import Sampling
from ...block import Block, valid_pixels

COMPONENTS = 8  # principal components of the HSI that the MSI is regressed on
LEAST_CELLS = 100  # below which nothing is estimated
LEAST_VARIANCE = 1e-7  # share of the first component's variance below which a component tells nothing


@dataclass(frozen=True)
class Cells:
    """Square cells of whole HSI pixels in which both images are known.

    predictors (N, K + 1): one and the HSI's principal components, unit variance; low (N, l): D z; index (N, 2): row and
    column of each cell in the grid of `shape` (h, w); place (N, 2): its centre in MSI pixels, from the scene's first
    corner; size: HSI pixels along a cell's side; scene_shape: MSI pixels of the scene; ratio: MSI pixels per HSI pixel.
    """

    predictors: np.ndarray
    low: np.ndarray
    index: np.ndarray
    place: np.ndarray
    shape: tuple[int, int]
    size: int
    scene_shape: tuple[int, int]
    ratio: float

    @property
    def count(self) -> int:
        """N."""
        return len(self.low)

    def picture(self, values: np.ndarray, empty: float = np.nan) -> np.ndarray:
        """Values (N,) in their places (h, w), `empty` elsewhere."""
        image = np.full(self.shape, empty)
        image[self.index[:, 0], self.index[:, 1]] = values
        return image

    def thinned(self, step: int) -> Cells:
        """Every `step`-th cell."""
        every = slice(None, None, step)
        return replace(
            self,
            predictors=self.predictors[every],
            low=self.low[every],
            index=self.index[every],
            place=self.place[every],
        )


@dataclass(frozen=True)
class Components:
    """Principal components of the HSI's spectra: mean (L,) and directions (K, L), scaled so that every component has
    unit variance.
    """

    mean: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, spectra: np.ndarray, most: int = COMPONENTS) -> Components:
        """Of spectra (N, L)."""
        mean = spectra.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(spectra - mean, rowvar=False))
        values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
        kept = values > LEAST_VARIANCE * max(float(values[0]), 1e-30)
        return cls(mean, (vectors[:, kept] / np.sqrt(values[kept])).T)

    def predictors(self, spectra: np.ndarray) -> np.ndarray:
        """One and the components (N, K + 1) of spectra (N, L)."""
        return np.column_stack([np.ones(len(spectra)), (spectra - self.mean) @ self.directions.T])


def seen_low(block: Block, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """D z (l, h, w) of a block and where both images are known, bool (h, w)."""
    low, _ = block.degradation(sampling).masked(block.z, block.z_mask)
    return low, valid_pixels(block, sampling)


class CellSums:
    """Gathers cells from blocks that together cover the scene; every block starts at a multiple of `size` HSI
    pixels.
    """

    def __init__(
        self, components: Components, coarse_shape: tuple[int, int], size: int, scene_shape: tuple[int, int]
    ) -> None:
        self.components, self.size, self.scene_shape = components, size, scene_shape
        self._whole = coarse_shape
        self.shape = tuple(-(-n // size) for n in coarse_shape)
        self._count = np.zeros(self.shape)
        self._sums: np.ndarray | None = None

    def add(self, block: Block, sampling: Sampling) -> None:
        """Take in a block."""
        low, good = seen_low(block, sampling)
        own = [
            range(max(r.start, 0), min(r.stop, n)) for r, n in zip((block.coarse_rows, block.coarse_cols), self._whole)
        ]
        inner = tuple(
            slice(o.start - r.start, o.stop - r.start) for o, r in zip(own, (block.coarse_rows, block.coarse_cols))
        )  # a block may reach beyond the scene
        y, low, good = block.y[(slice(None), *inner)], low[(slice(None), *inner)], good[inner]
        predictors = self.components.predictors(y.reshape(len(y), -1).T.astype(np.float64)).T
        values = np.concatenate([predictors.reshape(-1, *good.shape), low]) * good
        if self._sums is None:
            self._sums = np.zeros((len(values), *self.shape))
        rows, cols = (np.arange(r.start, r.stop) // self.size for r in own)
        at = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
        edges = [np.flatnonzero(np.diff(n, prepend=-1)) for n in (rows, cols)]
        self._count[at] += _summed(good.astype(np.float64), edges)
        self._sums[(slice(None), *at)] += _summed(values, edges)

    def cells(self, sampling: Sampling) -> Cells:
        """Those of which at least half is known."""
        good = self._count >= 0.5 * self.size**2
        index = np.argwhere(good)
        values = np.zeros((0, 0)) if self._sums is None else (self._sums[:, good] / self._count[good]).T
        split = len(self.components.directions) + 1
        side = self.size * sampling.ratio
        place = (index + 0.5) * side + [sampling.shift_y, sampling.shift_x]
        return Cells(
            values[:, :split],
            values[:, split:],
            index,
            place,
            self.shape,
            self.size,
            self.scene_shape,
            sampling.ratio,
        )


def _summed(values: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    return np.add.reduceat(np.add.reduceat(values, edges[0], axis=-2), edges[1], axis=-1)
