"""Q2n: the universal quality index of a whole spectrum, read as one hypercomplex number per pixel."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..listener import SILENT, Listener
from .valid import pixel_mask

BLOCK = 32  # pixels per side


@lru_cache(maxsize=16)
def sign_table(size: int) -> np.ndarray:
    """(size, size) of +-1 with e_i e_j = sign[i, j] e_(i xor j): the units of the Cayley-Dickson algebra of that size.

    Doubling rule (a, b)(c, d) = (a c - d b*, a* d + c b), b and d entering conjugated, as Garzelli and Nencini (2009).
    """
    if size == 1:
        return np.ones((1, 1))
    half = size // 2
    small = sign_table(half)
    conjugate = -np.ones(half)
    conjugate[0] = 1
    table = np.empty((size, size))
    table[:half, :half] = small
    table[half:, half:] = -small.T * conjugate[None, :]
    table[:half, half:] = small * conjugate[:, None] * conjugate[None, :]
    table[half:, :half] = small.T * conjugate[:, None]
    return table


def q2n(
    reference: np.ndarray,
    fused: np.ndarray,
    mask: np.ndarray | None = None,
    block: int = 32,
    listener: Listener = SILENT,
) -> float:
    """Q2n of cubes (L, H, W): Garzelli and Nencini, IEEE GRSL 2009; mean over disjoint 32 x 32 blocks; 1 is perfect.

    As in the authors' toolbox the right and lower edges are filled by reflection to whole blocks, each band of a block
    is shifted and scaled so that the reference has mean 1 and standard deviation 1, and bands are padded to a power of
    two (the padding becomes a constant 1 and pulls the mean term towards 1). Not as there: no cast to uint16, which
    turns reflectance in [0, 1] into zeros and ones, and a reference band that is constant over a block is shifted but
    not scaled, where the toolbox divides by 2e-16. Masked pixels take no part; blocks with fewer than half of their
    pixels valid are left out, NaN if none is left.
    """
    reference, fused = np.asarray(reference), np.asarray(fused)
    values = block_qualities(reference, fused, pixel_mask(reference, fused, mask), block, listener)
    return float(np.mean(values)) if values else float("nan")


def block_qualities(
    reference: np.ndarray, fused: np.ndarray, mask: np.ndarray, block: int = BLOCK, listener: Listener = SILENT
) -> list[float]:
    """|Q2n| of each block x block pixels of cubes (L, H, W); their mean is `q2n`."""
    rows, cols = mask.shape
    row_index = np.pad(np.arange(rows), (0, -rows % block), mode="symmetric")
    col_index = np.pad(np.arange(cols), (0, -cols % block), mode="symmetric")
    values = []
    for top in range(0, len(row_index), block):
        for left in range(0, len(col_index), block):
            listener.check()
            window = np.ix_(row_index[top : top + block], col_index[left : left + block])
            keep = mask[window]
            if 2 * keep.sum() >= keep.size:
                x, y = (_spectra(cube, top, left, block, window, keep) for cube in (reference, fused))
                values.append(block_quality(x, y))
    return values


def _spectra(
    cube: np.ndarray, top: int, left: int, block: int, window: tuple[np.ndarray, ...], keep: np.ndarray
) -> np.ndarray:
    """(L, N) float64 of the pixels `keep` of a window; a whole block inside the image is read as it lies."""
    if keep.all() and top + block <= cube.shape[1] and left + block <= cube.shape[2]:
        return cube[:, top : top + block, left : left + block].reshape(len(cube), -1).astype(np.float64)
    return np.stack([band[window][keep] for band in cube]).astype(np.float64)


def block_quality(x: np.ndarray, y: np.ndarray) -> float:
    """|Q2n| of one block: spectra x (reference) and y, (L, N) float64.

    The hypercomplex covariance is bilinear, so it is read off the ordinary L x L cross-covariance: component k sums the
    entries (i, i xor k) with their signs. That replaces products of hypercomplex numbers at every pixel.
    """
    bands, count = x.shape
    size = 1 << (bands - 1).bit_length()
    mean, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, ddof=1, keepdims=True)
    spread[np.ptp(x, axis=1) == 0] = 1
    x, y = (x - mean) / spread, (y - mean) / spread
    x_mean, y_mean = x.mean(axis=1), y.mean(axis=1)
    x, y = x - x_mean[:, None], y - y_mean[:, None]
    x_mean, y_mean = x_mean + 1, y_mean + 1
    variance = (np.square(x).sum() + np.square(y).sum()) / (count - 1)
    padding = size - bands
    x_square, y_square = np.square(x_mean).sum() + padding, np.square(y_mean).sum() + padding
    level = 2 * np.sqrt(x_square * y_square) / (x_square + y_square)
    if variance == 0:
        return float(level)
    index = np.arange(bands)
    conjugate = np.where(index == 0, 1.0, -1.0)
    signed = x @ y.T / (count - 1) * sign_table(size)[:bands, :bands] * conjugate[None, :]
    component = np.bincount((index[:, None] ^ index[None, :]).ravel(), weights=signed.ravel(), minlength=size)
    return float(np.linalg.norm(component) * 2 / variance * level)
