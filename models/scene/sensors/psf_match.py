"""How well D z matches the HSI, as a smooth function of the PSF's widths and the shift, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Sampling
from ...observation.axis import SIGMA_PER_FWHM, coarse_centres
from ..block import Block

FREE = 4  # theta = (log fwhm_y, log fwhm_x, shift_y, shift_x): FWHM in HSI pixels, shift in MSI pixels
# of a Gaussian's tail: float32 has no normal numbers for what is much less, and works on others a hundred times slower
LEAST_WEIGHT = 1e-20
LEAST_RESIDUAL = 1e-7  # share of variance: what float32 and the cut of the PSF leave of a perfect fit


@dataclass(frozen=True)
class Match:
    """value: sum over bands of log(unexplained share); gradient (4,); hessian (4, 4): Gauss and Newton's; unexplained
    (l,).

    scores (N, 4), curvature (N, 4, 4): what each pixel contributes to gradient and Hessian.
    """

    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    unexplained: np.ndarray
    scores: np.ndarray
    curvature: np.ndarray


class Matching:
    """The criterion of HySure (Simoes et al. 2015, eq. 21) with the response eliminated by least squares, relative to
    the variance of D z.

    The share of D z that no combination of the HSI's bands explains is least where D is the HSI's own: relative to the
    variance of D z, noise of the HSI does not move the minimum. The logarithm weights each band by how well it can be
    explained.
    """

    def __init__(
        self, blocks: list[Block], coefficients: list[np.ndarray], pixels: list[np.ndarray], ratio: float
    ) -> None:
        """coefficients: (K, h, w) of the HSI per block; pixels: bool (h, w), those compared; MSI bands as in the
        blocks.
        """
        self.ratio = ratio
        self._blocks, self._pixels = blocks, pixels
        valid = [block.z[:, block.z_mask > 0] for block in blocks]
        mean = np.mean([v.mean(axis=1) for v in valid], axis=0)
        scale = np.maximum(np.sqrt(np.mean([v.var(axis=1) for v in valid], axis=0)), 1e-12)
        self._z = [
            ((b.z - mean[:, None, None]) / scale[:, None, None] * (b.z_mask > 0)).astype(np.float32) for b in blocks
        ]
        x = np.concatenate([c[:, good].T for c, good in zip(coefficients, pixels)]).astype(np.float64)
        self.count = len(x)
        self.bands = len(blocks[0].z)
        self._basis, _ = np.linalg.qr(np.column_stack([np.ones(len(x)), x]))

    def places(self) -> np.ndarray:
        """(N, 2): block-free row and column of each compared pixel, in HSI pixels of the scene."""
        found = []
        for block, good in zip(self._blocks, self._pixels):
            rows, cols = np.nonzero(good)
            found.append(np.column_stack([rows + block.coarse_rows.start, cols + block.coarse_cols.start]))
        return np.concatenate(found)

    def values(
        self, thetas: Sequence[np.ndarray], bands: slice = slice(None), listener: Listener = SILENT
    ) -> np.ndarray:
        """The criterion alone at several places (n,); the product along rows is shared by those that differ in the
        columns' half only.
        """
        found, groups = np.empty(len(thetas)), {}
        for number, theta in enumerate(thetas):
            groups.setdefault((float(theta[1]), float(theta[3])), []).append(number)
        for (width, shift), numbers in groups.items():
            across = []
            for block, z in zip(self._blocks, self._z):
                x, _, _ = _weights(block.fine_cols, block.coarse_cols, self.ratio, float(np.exp(width)), shift)
                across.append(z[bands] @ x.astype(np.float32).T)
            for number in numbers:
                listener.check()
                low = []
                for block, part, good in zip(self._blocks, across, self._pixels):
                    size, theta = float(np.exp(thetas[number][0])), thetas[number]
                    y, _, _ = _weights(block.fine_rows, block.coarse_rows, self.ratio, size, theta[2])
                    low.append((y.astype(np.float32) @ part)[:, good].T)
                share, _, _ = self._shares(np.concatenate(low).astype(np.float64))
                found[number] = np.log(share).sum()
        return found

    def value(self, theta: np.ndarray, bands: slice = slice(None)) -> float:
        """The criterion alone."""
        return float(self.values([theta], bands)[0])

    def match(self, theta: np.ndarray) -> Match:
        """The criterion with what a search and an interval need."""
        parts = [
            np.stack([image[:, good].T for image in self._images(n, theta)]) for n, good in enumerate(self._pixels)
        ]
        stack = np.concatenate(parts, axis=1).astype(np.float64)  # (1 + 4, N, l)
        low, change = stack[0], stack[1:]
        share, rest, total = self._shares(low)
        residual, centred = self._residual(low), low - low.mean(axis=0)
        floor = share * total  # the residual's sum of squares, never below what rounding leaves
        moved = change - change.mean(axis=1, keepdims=True)
        scores = 2 * ((residual * change - centred * moved * (rest / total)) / floor).sum(axis=2).T
        along = (centred * moved).sum(axis=1) / total  # the part of a change that only scales D z changes nothing
        across = self._residual(moved - along[:, None, :] * centred)
        weighted = across / np.sqrt(floor)
        curvature = 2 * np.einsum("inb,jnb->nij", weighted, weighted)
        return Match(float(np.log(share).sum()), scores.sum(axis=0), curvature.sum(axis=0), share, scores, curvature)

    def _shares(self, low: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rest = (self._residual(low) ** 2).sum(axis=0)
        total = np.maximum(((low - low.mean(axis=0)) ** 2).sum(axis=0), 1e-30)
        return rest / total + LEAST_RESIDUAL, rest, total

    def _residual(self, values: np.ndarray) -> np.ndarray:
        return values - self._basis @ (self._basis.T @ values)

    def _images(self, number: int, theta: np.ndarray) -> list[np.ndarray]:
        """D z of a block (l, h, w), then its derivatives by theta."""
        block, z = self._blocks[number], self._z[number]
        y = gaussian_rows(block.fine_rows, block.coarse_rows, self.ratio, float(np.exp(theta[0])), theta[2])
        x = gaussian_rows(block.fine_cols, block.coarse_cols, self.ratio, float(np.exp(theta[1])), theta[3])
        across = z @ np.concatenate(x).T
        plain, wider, moved = np.split(across, 3, axis=-1)
        return [y[0] @ plain, y[1] @ plain, y[0] @ wider, y[2] @ plain, y[0] @ moved]


def gaussian_rows(fine: range, coarse: range, ratio: float, fwhm: float, shift: float) -> np.ndarray:
    """(3, h, H) float32: one axis of D without a border, and its derivatives by log FWHM and by shift.

    The same Gaussian as `observation.axis.gaussian_axis`, not cut, so that it is smooth in both.
    """
    weights, distance, sigma = _weights(fine, coarse, ratio, fwhm, shift)
    square = (distance / sigma) ** 2
    wider = weights * square
    wider -= weights * wider.sum(axis=1, keepdims=True)
    moved = weights * distance / sigma**2
    moved -= weights * moved.sum(axis=1, keepdims=True)
    return np.stack([weights, wider, moved]).astype(np.float32)


def _weights(
    fine: range, coarse: range, ratio: float, fwhm: float, shift: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """(h, H): the Gaussian's weights, the distances of fine from coarse pixels, and sigma in fine pixels."""
    sigma = max(SIGMA_PER_FWHM * fwhm * ratio, 0.05)
    distance = np.arange(fine.start, fine.stop)[None, :] - coarse_centres(coarse, ratio, shift)[:, None]
    square = (distance / sigma) ** 2
    weights = np.exp(-0.5 * (square - square.min(axis=1, keepdims=True)))
    weights[weights < LEAST_WEIGHT] = 0.0
    return weights / weights.sum(axis=1, keepdims=True), distance, sigma


def theta_of(sampling: Sampling) -> np.ndarray:
    """(log fwhm_y, log fwhm_x, shift_y, shift_x)."""
    return np.array([np.log(sampling.fwhm_y), np.log(sampling.fwhm_x), sampling.shift_y, sampling.shift_x])
