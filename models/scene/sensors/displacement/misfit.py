"""How well D z of a displaced HSI matches the HSI, over the HSI pixels that are compared, with what a descent and an
interval need.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....observation import Degradation, Displacement, Sampling
from ...block import Block
from ...subspace.subspace import fit_subspace
from .images import Patches
from .parameters import Free

COMPONENTS = 10
PIXELS_PER_COMPONENT = 30
MOST_BANDS = 8
LEAST_SHARE = 1e-7  # of variance: what float32 and the cut of the PSF leave of a perfect fit
WHOLE = 0.995  # share of a PSF on valid MSI pixels
HUBER = 2.0  # robust deviations of a pixel's residual beyond which it counts less


@dataclass(frozen=True)
class Images:
    """At one sampling: low (N, l) is D z, change (4, N, l) its derivatives by widths and shift."""

    sampling: Sampling
    low: np.ndarray
    change: np.ndarray


@dataclass(frozen=True)
class Slope:
    """value of the criterion, gradient (P,), hessian (P, P), scores (N, P): each pixel's part of the gradient."""

    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    scores: np.ndarray


class Misfit:
    """Sum over bands of the log of the share of D z that no combination of the HSI's components explains, the HSI
    pixels weighted.

    The criterion of `sensors.psf_match` with weights; the regression is projected out of residual and Jacobian
    (variable projection).
    """

    def __init__(self, blocks: list[Block], sampling: Sampling, slack: float) -> None:
        """Compared are the HSI pixels that stay comparable while they move by `slack` MSI pixels from where `sampling`
        has them.
        """
        self.blocks = blocks
        self._pixels = [_compared(block, sampling, slack) for block in blocks]
        self.count = sum(int(good.sum()) for good in self._pixels)
        spectra = np.concatenate([block.y[:, block.y_mask > 0].T for block in blocks])
        components = max(2, min(COMPONENTS, self.count // PIXELS_PER_COMPONENT))
        subspace = fit_subspace(spectra, components)
        x = np.concatenate([subspace.project(b.y)[:, good].T for b, good in zip(blocks, self._pixels)])
        self.regressors = np.column_stack([np.ones(self.count), x.astype(np.float64)])
        self.numbers = np.concatenate([_numbers(block, good) for block, good in zip(blocks, self._pixels)])
        self.places = (self.numbers + 0.5) * sampling.ratio - 0.5
        self.scene_shape = blocks[0].scene_shape
        counts = [int(good.sum()) for good in self._pixels]
        self._patches = Patches.of(blocks, _standardised(blocks), counts, self.places)

    @property
    def pixels(self) -> list[np.ndarray]:
        """bool (h, w) per block: which are compared."""
        return self._pixels

    def images(self, sampling: Sampling) -> Images:
        """D z of the compared pixels at a sampling."""
        stack = self._patches(sampling)
        return Images(sampling, stack[0], stack[1:])

    def residual(self, low: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """(N, l): what the regression on the weighted pixels leaves at every pixel, in units of the weighted std of D
        z.
        """
        root = np.sqrt(weight)[:, None]
        solution, *_ = np.linalg.lstsq(root * self.regressors, root * low, rcond=None)
        mean = (weight[:, None] * low).sum(axis=0) / weight.sum()
        spread = np.sqrt((weight[:, None] * (low - mean) ** 2).sum(axis=0) / weight.sum())
        return (low - self.regressors @ solution) / np.maximum(spread, 1e-12)

    def value(self, low: np.ndarray, weight: np.ndarray) -> float:
        """The criterion alone."""
        left = self.residual(low, weight)
        return float(np.log((weight[:, None] * left**2).sum(axis=0) / weight.sum() + LEAST_SHARE).sum())

    def slope(self, images: Images, weight: np.ndarray, free: Free, basis: np.ndarray) -> Slope:
        """The criterion with its derivatives by the free parameters."""
        root = np.sqrt(weight)[:, None]
        q, _ = np.linalg.qr(root * self.regressors)
        value, gradient, hessian = 0.0, np.zeros(free.count), np.zeros((free.count, free.count))
        scores = np.zeros((self.count, free.count))
        for band in range(images.low.shape[1]):
            low = root[:, 0] * images.low[:, band]
            centred = low - root[:, 0] * ((root[:, 0] * low).sum() / weight.sum())
            left = low - q @ (q.T @ low)
            rest, total = float(left @ left), max(float(centred @ centred), 1e-30)
            share = rest / total + LEAST_SHARE
            moved = root * free.jacobian(images.change[:, :, band], self.places, images.sampling, basis)
            moved = moved - root * ((root * moved).sum(axis=0) / weight.sum())
            part = 2 * (left[:, None] * moved - centred[:, None] * moved * (rest / total)) / (share * total)
            along = centred @ moved / total  # the part of a change that only scales D z changes nothing
            across = moved - np.outer(centred, along)
            across = (across - q @ (q.T @ across)) / np.sqrt(share * total)
            value += float(np.log(share))
            scores += part
            gradient += part.sum(axis=0)
            hessian += 2 * across.T @ across
        return Slope(value, gradient, hessian, scores)

    def robust(self, low: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Huber's weights (N,) from the size of each pixel's residual over bands."""
        left = self.residual(low, weight)
        used = weight > 0
        spread = 1.4826 * np.median(np.abs(left[used]), axis=0) + 1e-9
        size = np.sqrt(((left / spread) ** 2).mean(axis=1))
        return np.minimum(1.0, HUBER / np.maximum(size, 1e-9))


def _standardised(blocks: list[Block]) -> list[np.ndarray]:
    bands = len(blocks[0].z)
    chosen = sorted({int(n) for n in np.linspace(0, bands - 1, min(bands, MOST_BANDS)).round()})
    pixels = np.concatenate([block.z[chosen][:, block.z_mask > 0] for block in blocks], axis=1).astype(np.float64)
    mean, scale = pixels.mean(axis=1)[:, None, None], np.maximum(pixels.std(axis=1), 1e-12)[:, None, None]
    return [((block.z[chosen] - mean) / scale * (block.z_mask > 0)).astype(np.float32) for block in blocks]


def _compared(block: Block, sampling: Sampling, slack: float) -> np.ndarray:
    """bool (h, w): HSI pixels whose PSF stays in the block and in the scene, on valid MSI pixels, if they move by
    `slack` MSI pixels.
    """
    where = (block.fine_rows, block.fine_cols, block.coarse_rows, block.coarse_cols)
    wide = replace(
        sampling,
        fwhm_y=sampling.fwhm_y * (1.0 + 2.0 * slack / sampling.ratio),
        fwhm_x=sampling.fwhm_x * (1.0 + 2.0 * slack / sampling.ratio),
        displacement=sampling.displacement or Displacement(block.scene_shape),
    )
    down = Degradation(wide, block.scene_shape, *where)
    good = (block.y_mask > 0) & down.whole_psf
    edge = sampling.ratio - 0.5 + slack
    for place, size in zip(down.centres, block.scene_shape):
        good &= (place >= edge) & (place <= size - 1 - edge)
    if not block.z_mask.all():
        good &= down(block.z_mask.astype(np.float32)) > WHOLE
    return good


def _numbers(block: Block, good: np.ndarray) -> np.ndarray:
    """(N, 2): row and column of the compared pixels on the scene's coarse grid."""
    rows, cols = np.nonzero(good)
    return np.column_stack([rows + block.coarse_rows.start, cols + block.coarse_cols.start]).astype(float)
