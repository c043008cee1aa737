"""One axis of the separable operators, as a small dense matrix with the border folded in."""

from __future__ import annotations

from typing import Any

import numpy as np

SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
TAILS = 4.0  # a Gaussian is cut at this many sigma


def coarse_centres(coarse: range, ratio: float, shift: float) -> np.ndarray:
    """Positions of coarse pixel centres in fine pixels: (i + 0.5) r - 0.5 + shift."""
    return (np.arange(coarse.start, coarse.stop) + 0.5) * ratio - 0.5 + shift


def gaussian_reach(ratio: float, fwhm: float) -> int:
    """How many fine pixels a Gaussian PSF of `fwhm` coarse pixels reaches to each side."""
    return int(np.ceil(max(1.0, TAILS * SIGMA_PER_FWHM * fwhm * ratio)))


def gaussian_axis(fine: range, coarse: range, size: int, ratio: float, fwhm: float, shift: float) -> np.ndarray:
    """Blur with a Gaussian of `fwhm` coarse pixels and sample at the coarse centres: (len(coarse), len(fine))."""
    centres = coarse_centres(coarse, ratio, shift)
    reach = gaussian_reach(ratio, fwhm)
    taps = np.round(centres)[:, None] + np.arange(-reach, reach + 1)[None, :]
    weights = gaussian_weights((taps - centres[:, None]).T, np.asarray(fwhm * ratio), reach).T
    return _assemble(taps, weights, fine, size)


def gaussian_weights(distance: np.ndarray, fwhm: np.ndarray, reach: int) -> np.ndarray:
    """A Gaussian's weights (T, ...), not normalised, at distances (T, ...) from its centre; FWHM in the same unit."""
    sigma = np.maximum(SIGMA_PER_FWHM * fwhm, 1e-3)
    square = distance**2
    weights = np.exp(-0.5 * (square - square.min(axis=0)) / sigma**2)
    # As many taps to one side as to the other: a half-pixel centre has an even number.
    weights[np.abs(distance) > reach] = 0.0
    return weights


def block_axis(fine: range, coarse: range, size: int, ratio: float, shift: float) -> np.ndarray:
    """Mean over the disjoint blocks of `ratio` fine pixels, the degradation of DDPM-Fus: (len(coarse), len(fine))."""
    centres = coarse_centres(coarse, ratio, shift)
    reach = int(np.ceil(ratio / 2)) + 1
    taps = np.round(centres)[:, None] + np.arange(-reach, reach + 1)[None, :]
    return _assemble(taps, block_weights(taps - centres[:, None], ratio), fine, size)


def block_weights(distance: np.ndarray, ratio: float) -> np.ndarray:
    """The share of each pixel, at a distance from the centre of a block of `ratio` pixels, that lies within
    the block.
    """
    return np.clip(np.minimum(0.5, ratio / 2 - np.abs(distance)) + 0.5, 0.0, 1.0)


def cubic_axis(fine: range, coarse: range, size: int, ratio: float, shift: float) -> np.ndarray:
    """Cubic convolution (Keys 1981, a = -1/2) from coarse centres to fine pixels: (len(fine), len(coarse)); `size` is
    coarse.
    """
    position = (np.arange(fine.start, fine.stop) + 0.5 - shift) / ratio - 0.5
    first, weights = cubic_weights(position)
    taps = first[:, None] + np.arange(4)[None, :]
    return _assemble(taps, weights.T, coarse, size)


def cubic_weights(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of Keys's cubic convolution at a position in pixels: the number of the first of four pixels, and their weights
    (4, ...).
    """
    first = np.floor(position).astype(np.int64) - 1
    t = np.abs(first[None] + np.arange(4).reshape(-1, *(1,) * np.ndim(position)) - position[None])
    near = 1.5 * t**3 - 2.5 * t**2 + 1.0
    far = -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0
    return first, np.where(t <= 1.0, near, np.where(t < 2.0, far, 0.0))


def filter_axis(weights: np.ndarray, step: int, window: range, size: int) -> np.ndarray:
    """A filter of an odd number of taps, `step` pixels apart, on a window of a scene of `size` pixels: (len(window),
    len(window)).
    """
    reach = len(weights) // 2
    taps = np.arange(window.start, window.stop)[:, None] + step * np.arange(-reach, reach + 1)[None, :]
    return _assemble(taps, np.broadcast_to(weights, taps.shape), window, size)


def _assemble(taps: np.ndarray, weights: np.ndarray, window: range, size: int) -> np.ndarray:
    """Rows of weights over `window`; what falls beyond the scene [0, size) is reflected, beyond the window left out,
    rows sum to 1.
    """
    period = 2 * size
    index = np.mod(taps, period).astype(np.int64)
    index = np.where(index >= size, period - 1 - index, index) - window.start
    rows = np.broadcast_to(np.arange(len(taps))[:, None], index.shape)
    inside = (index >= 0) & (index < len(window))
    matrix = np.zeros((len(taps), len(window)))
    np.add.at(matrix, (rows[inside], index[inside]), weights[inside])
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.zeros_like(matrix), where=np.abs(total) > 1e-6)


def like(matrix: np.ndarray, x: Any) -> Any:
    """`matrix` as the kind of array that x is (numpy or torch, same dtype and device), without importing torch."""
    if isinstance(x, np.ndarray):
        return matrix.astype(x.dtype, copy=False)
    return x.new_tensor(matrix)


def separable(rows: np.ndarray, cols: np.ndarray, x: Any) -> Any:
    """rows @ x @ cols.T for x of shape (..., len rows in, len cols in), the cheaper product first."""
    rows, cols = like(rows, x), like(cols, x)
    if rows.shape[0] * cols.shape[1] <= rows.shape[1] * cols.shape[0]:
        return (rows @ x) @ cols.T
    return rows @ (x @ cols.T)
