"""Similarity of local structure in single bands: SSIM and the universal image quality index UIQI."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..listener import SILENT, Listener
from .valid import pixel_mask

GAUSSIAN_11 = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
GAUSSIAN_11 /= GAUSSIAN_11.sum()
UNIFORM_8 = np.full(8, 1 / 8)
_TILE = 64  # windows in each direction that are worked on at a time: what fits into the processor's cache


class LocalMoments(NamedTuple):
    """Weighted means, variances (divided by the sum of weights) and covariance in every whole window (H - n + 1, W - n
    + 1).
    """

    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    counted: np.ndarray  # bool: windows that take part


def windows(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Separable weighted sum (..., H, W) -> (..., H - n + 1, W - n + 1): whole windows only, so no border rule
    enters.
    """
    return _sliding(image.shape[-2], kernel) @ (image @ _sliding(image.shape[-1], kernel).T)


def _sliding(length: int, kernel: np.ndarray) -> np.ndarray:
    """(length - n + 1, length) matrix whose row i is the kernel at place i; for tiles, quicker than n shifted sums."""
    size = len(kernel)
    matrix = np.zeros((length - size + 1, length))
    for place in range(length - size + 1):
        matrix[place, place : place + size] = kernel
    return matrix


def local_moments(x: np.ndarray, y: np.ndarray, mask: np.ndarray, kernel: np.ndarray) -> LocalMoments:
    """Moments of two bands (H, W), float64, under a separable window.

    Masked pixels are left out by normalised convolution, sum(w m x) / sum(w m); a window takes part when its centre
    pixel (for an even window the one right and below of its centre) is valid.
    """
    size = len(kernel)
    # Moments about the mean: the difference of large numbers would cost digits in bright, flat bands.
    x_offset, y_offset = x[mask].mean(), y[mask].mean()
    x, y = np.where(mask, x - x_offset, 0.0), np.where(mask, y - y_offset, 0.0)
    mean = windows(np.stack([x, y, x * x, y * y, x * y]), kernel)
    centre = mask[size // 2 : size // 2 + mean.shape[1], size // 2 : size // 2 + mean.shape[2]]
    if not mask.all():
        support = windows(mask.astype(np.float64), kernel)
        mean = np.where(centre, mean, 0) / np.where(centre, support, 1)
    mx, my = mean[0], mean[1]
    return LocalMoments(
        mx + x_offset, my + y_offset, mean[2] - mx * mx, mean[3] - my * my, mean[4] - mx * my, np.asarray(centre)
    )


def ssim_bands(
    reference: np.ndarray,
    fused: np.ndarray,
    data_range: float,
    mask: np.ndarray | None = None,
    listener: Listener = SILENT,
) -> np.ndarray:
    """SSIM of each band (L,): Wang et al. 2004, 11 x 11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, float64.

    data_range is explicit (evaluate() gives the peak). Means are taken over windows that lie wholly inside the image,
    so no border rule enters; scikit-image crops the same five pixels. NaN when the image is smaller than 11 x 11.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def similarity(m: LocalMoments) -> np.ndarray:
        return ((2 * m.x * m.y + c1) * (2 * m.xy + c2)) / ((m.x**2 + m.y**2 + c1) * (m.xx + m.yy + c2))

    return _band_means(reference, fused, mask, GAUSSIAN_11, similarity, listener)


def uiqi_bands(
    reference: np.ndarray,
    fused: np.ndarray,
    mask: np.ndarray | None = None,
    kernel: np.ndarray = UNIFORM_8,
    listener: Listener = SILENT,
) -> np.ndarray:
    """UIQI of each band (L,): Wang and Bovik 2002, sliding 8 x 8 uniform window unless another kernel is given.

    Where both windows are constant the index is 2 mx my / (mx^2 + my^2), and 1 where both are zero. (torchmetrics uses
    the Gaussian window of SSIM; sewar 0.4 takes window means where the formula has sums, and disagrees with the paper.)
    """

    def quality(m: LocalMoments) -> np.ndarray:
        level, spread = m.x**2 + m.y**2, m.xx + m.yy
        rounding = 1e-14 * (level + 1e-300)
        flat, dark = spread <= rounding, level == 0
        structure = np.where(flat, 1.0, 2 * m.xy / np.where(flat, 1.0, spread))
        return structure * np.where(dark, 1.0, 2 * m.x * m.y / np.where(dark, 1.0, level))

    return _band_means(reference, fused, mask, kernel, quality, listener)


def _band_means(
    reference: np.ndarray,
    fused: np.ndarray,
    mask: np.ndarray | None,
    kernel: np.ndarray,
    similarity: Callable[[LocalMoments], np.ndarray],
    listener: Listener,
) -> np.ndarray:
    mask = pixel_mask(reference, fused, mask)
    values = np.full(len(reference), np.nan)
    if min(mask.shape) < len(kernel):
        return values
    for band in range(len(reference)):
        total, count = 0.0, 0
        for tile in _tiles(mask.shape, len(kernel)):
            here = mask[tile]
            if here.any():
                x = np.asarray(reference[band][tile], dtype=np.float64)
                y = np.asarray(fused[band][tile], dtype=np.float64)
                moments = local_moments(x, y, here, kernel)
                total += similarity(moments)[moments.counted].sum()
                count += int(moments.counted.sum())
        if count:
            values[band] = total / count
        listener.advance((band + 1) / len(reference))
    return values


def _tiles(shape: tuple[int, int], size: int) -> list[tuple[slice, slice]]:
    """Tiles that overlap by one pixel less than the window, so that each whole window lies in exactly one of them."""
    starts = [range(0, length - size + 1, _TILE) for length in shape]
    return [
        (slice(row, min(row + _TILE + size - 1, shape[0])), slice(col, min(col + _TILE + size - 1, shape[1])))
        for row in starts[0]
        for col in starts[1]
    ]
