"""Similarity of local structure in single bands: SSIM and the universal image quality index UIQI."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..listener import SILENT, Listener
from .valid import pixel_mask

GAUSSIAN_11 = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
GAUSSIAN_11 /= GAUSSIAN_11.sum()
UNIFORM_8 = np.full(8, 1 / 8)
TILE = 64  # windows in each direction that are worked on at a time: what fits into the processor's cache


class LocalMoments(NamedTuple):
    """Weighted means, sum of both variances and covariance (divided by the sum of weights) in every whole window
    (H - n + 1, W - n + 1).
    """

    x: np.ndarray
    y: np.ndarray
    spread: np.ndarray  # variance of x and of y together: no index needs them apart
    xy: np.ndarray
    counted: np.ndarray  # bool: windows that take part


class WindowSums(NamedTuple):
    """Sums of an index over windows, band by band (L,), and how many windows took part in each."""

    total: np.ndarray
    count: int

    @property
    def means(self) -> np.ndarray:
        """(L,); NaN without a window."""
        return self.total / self.count if self.count else np.full(self.total.shape, np.nan)

    def and_of(self, other: WindowSums) -> WindowSums:
        """The sums over these and other windows."""
        return WindowSums(self.total + other.total, self.count + other.count)


def windows(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Separable weighted sum (..., H, W) -> (..., H - n + 1, W - n + 1): whole windows only, so no border rule
    enters.
    """
    size = len(kernel)
    if size & (size - 1) == 0 and np.ptp(kernel) == 0:
        return _doubled(_doubled(image, size, -1), size, -2) * kernel[0] ** 2
    return _sliding(image.shape[-2], kernel) @ (image @ _sliding(image.shape[-1], kernel).T)


def _doubled(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Sums of `size` neighbours along an axis, a power of two: each step adds two windows of half the size."""
    along = np.moveaxis(image, axis, -1)
    reach = 1
    while reach < size:
        along = along[..., :-reach] + along[..., reach:]
        reach *= 2
    return np.moveaxis(along, -1, axis)


@lru_cache(maxsize=16)
def _matrix(length: int, kernel: tuple[float, ...]) -> np.ndarray:
    size = len(kernel)
    matrix = np.zeros((length - size + 1, length))
    for place in range(length - size + 1):
        matrix[place, place : place + size] = kernel
    return matrix


def _sliding(length: int, kernel: np.ndarray) -> np.ndarray:
    """(length - n + 1, length) matrix whose row i is the kernel at place i; for tiles, quicker than n shifted sums."""
    return _matrix(length, tuple(kernel.tolist()))


def local_moments(x: np.ndarray, y: np.ndarray, mask: np.ndarray, kernel: np.ndarray) -> LocalMoments:
    """Moments of two bands (H, W), float64, under a separable window.

    Masked pixels are left out by normalised convolution, sum(w m x) / sum(w m); a window takes part when its centre
    pixel (for an even window the one right and below of its centre) is valid.
    """
    size, whole = len(kernel), bool(mask.all())
    # Moments about the mean: the difference of large numbers would cost digits in bright, flat bands.
    x_offset, y_offset = (x.mean(), y.mean()) if whole else (x[mask].mean(), y[mask].mean())
    x, y = x - x_offset, y - y_offset
    if not whole:
        x, y = np.where(mask, x, 0.0), np.where(mask, y, 0.0)
    mean = windows(np.stack([x, y, x * x + y * y, x * y]), kernel)
    centre = mask[size // 2 : size // 2 + mean.shape[1], size // 2 : size // 2 + mean.shape[2]]
    if not whole:
        support = windows(mask.astype(np.float64), kernel)
        mean = np.where(centre, mean, 0) / np.where(centre, support, 1)
    mx, my = mean[0], mean[1]
    return LocalMoments(
        mx + x_offset, my + y_offset, mean[2] - mx * mx - my * my, mean[3] - mx * my, np.asarray(centre)
    )


def ssim_bands(
    reference: np.ndarray, fused: np.ndarray, data_range: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """SSIM of each band (L,): Wang et al. 2004, 11 x 11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, float64.

    data_range is explicit (evaluate() gives the peak). Means are taken over windows that lie wholly inside the image,
    so no border rule enters; scikit-image crops the same five pixels. NaN when the image is smaller than 11 x 11.
    """
    return ssim_sums(reference, fused, data_range, pixel_mask(reference, fused, mask)).means


def ssim_sums(
    reference: np.ndarray,
    fused: np.ndarray,
    data_range: float,
    mask: np.ndarray,
    listener: Listener = SILENT,
) -> WindowSums:
    """SSIM summed over the windows inside cubes (L, H, W): blocks that overlap by ten pixels add up to the whole."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def similarity(m: LocalMoments) -> np.ndarray:
        product = m.x * m.y
        return ((2 * product + c1) * (2 * m.xy + c2)) / ((m.x * m.x + m.y * m.y + c1) * (m.spread + c2))

    return _band_sums(reference, fused, mask, GAUSSIAN_11, similarity, listener)


def uiqi_bands(
    reference: np.ndarray, fused: np.ndarray, mask: np.ndarray | None = None, kernel: np.ndarray = UNIFORM_8
) -> np.ndarray:
    """UIQI of each band (L,): Wang and Bovik 2002, sliding 8 x 8 uniform window unless another kernel is given.

    Where both windows are constant the index is 2 mx my / (mx^2 + my^2), and 1 where both are zero. (torchmetrics uses
    the Gaussian window of SSIM; sewar 0.4 takes window means where the formula has sums, and disagrees with the paper.)
    """
    return uiqi_sums(reference, fused, pixel_mask(reference, fused, mask), kernel).means


def uiqi_sums(
    reference: np.ndarray,
    fused: np.ndarray,
    mask: np.ndarray,
    kernel: np.ndarray = UNIFORM_8,
    listener: Listener = SILENT,
) -> WindowSums:
    """UIQI summed over the windows inside cubes (L, H, W), as `ssim_sums`."""

    def quality(m: LocalMoments) -> np.ndarray:
        level = m.x * m.x + m.y * m.y
        flat, dark = m.spread <= 1e-14 * (level + 1e-300), level == 0
        if not (flat.any() or dark.any()):
            return 4 * m.xy * m.x * m.y / (m.spread * level)
        structure = np.where(flat, 1.0, 2 * m.xy / np.where(flat, 1.0, m.spread))
        return structure * np.where(dark, 1.0, 2 * m.x * m.y / np.where(dark, 1.0, level))

    return _band_sums(reference, fused, mask, kernel, quality, listener)


def _band_sums(
    reference: np.ndarray,
    fused: np.ndarray,
    mask: np.ndarray,
    kernel: np.ndarray,
    similarity: Callable[[LocalMoments], np.ndarray],
    listener: Listener,
) -> WindowSums:
    totals, count = np.zeros(len(reference)), 0
    if min(mask.shape) < len(kernel):
        return WindowSums(totals, count)
    tiles = [tile for tile in _tiles(mask.shape, len(kernel)) if mask[tile].any()]
    for band in range(len(reference)):
        listener.check()
        count = 0
        for tile in tiles:
            x = np.asarray(reference[band][tile], dtype=np.float64)
            y = np.asarray(fused[band][tile], dtype=np.float64)
            moments = local_moments(x, y, mask[tile], kernel)
            totals[band] += similarity(moments)[moments.counted].sum()
            count += int(moments.counted.sum())
    return WindowSums(totals, count)


def _tiles(shape: tuple[int, int], size: int) -> list[tuple[slice, slice]]:
    """Tiles that overlap by one pixel less than the window, so that each whole window lies in exactly one of them."""
    starts = [range(0, length - size + 1, TILE) for length in shape]
    return [
        (slice(row, min(row + TILE + size - 1, shape[0])), slice(col, min(col + TILE + size - 1, shape[1])))
        for row in starts[0]
        for col in starts[1]
    ]
