"""Closed-form fusion in subspace coefficients: GLP-HS and LOC. Numpy or torch, one tile or a batch of tiles.

Shapes: y (..., K, h, w) coefficients of the HSI, z (..., l, H, W) standardised MSI, x (..., K, H, W) the fused
coefficients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...observation import Degradation, Upsampling
from ...observation.axis import like, separable

LOC_WINDOW = 1.5  # std of LOC's Gaussian window in coarse pixels
LOC_REACH = 6  # ... which is cut at this many coarse pixels


def mix(matrix: np.ndarray, x: Any) -> Any:
    """matrix (m, n) applied along the band axis of x (..., n, H, W)."""
    height, width = x.shape[-2:]
    flat = like(matrix, x) @ x.reshape(*x.shape[:-2], height * width)
    return flat.reshape(*flat.shape[:-1], height, width)


def column(vector: np.ndarray, x: Any) -> Any:
    """A vector per band, shaped to broadcast over x (..., n, H, W)."""
    return like(np.asarray(vector), x)[:, None, None]


def detail_image(z: Any, mask: Any, down: Degradation, up: Upsampling) -> tuple[Any, Any, Any]:
    """D z, its support (h, w) and z - up(D z): the MSI as the HSI would see it, and the detail that the HSI misses.

    Masked pixels have no detail.
    """
    low, support = down.masked(z, mask)
    low_up, _ = up.masked(low, support * 0.0 + (support > down.least_support))
    return low, support, (z - low_up) * mask


def glp(y_up: Any, detail: Any, regression: np.ndarray) -> Any:
    """GLP-HS hypersharpening (Selva et al. 2015): up(y) + C (z - up(D z)), C (K, l) fitted at the coarse scale."""
    return y_up + mix(regression, detail)


def loc(rest: Any, low: Any, mask: Any, detail: Any, ridge: float, up: Upsampling) -> Any:
    """LOC: the detail (..., K, H, W) that a locally windowed ridge regression adds to that of the global one.

    rest (..., K, h, w) is what the global regression leaves at the coarse scale; low (..., l, h, w) is D z; mask (h, w)
    is 1 where both are known; detail (..., l, H, W) that of the MSI. ridge: in variance of the standardised MSI. The
    local slopes are interpolated and multiply the detail.
    """
    slopes, _, _ = _local_fit(rest, low, mask, ridge, centre=1.0)
    correction: Any = 0.0
    for band in range(low.shape[-3]):  # one at a time, in place: the slopes of all bands would be l times the tile
        added = up(_bands_first(slopes[..., band, :]))
        added *= detail[..., band, None, :, :]
        added += correction
        correction = added
    return correction


def loc_gain(rest: np.ndarray, low: np.ndarray, y_mask: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """LOC's score at the coarse scale, each pixel predicted by a fit that leaves it out: sums of squares (K,) without
    and with local slopes.

    rest (K, h, w) is what the global regression leaves, low (l, h, w) is D z.
    """
    slopes, rest_mean, low_mean = _local_fit(rest, low, y_mask, ridge, centre=0.0)
    without = rest - rest_mean
    predicted = np.einsum("hwlk,lhw->khw", slopes, low - low_mean)
    return (y_mask * without**2).sum(axis=(1, 2)), (y_mask * (without - predicted) ** 2).sum(axis=(1, 2))


def _local_fit(rest: Any, low: Any, y_mask: Any, ridge: float, centre: float) -> tuple[Any, Any, Any]:
    """Slopes (..., h, w, l, K) of rest on low in a Gaussian window around each coarse pixel, and both local means.

    `centre` weighs the pixel itself: 1, or 0 to leave it out.
    """
    rows, cols = _window_matrix(y_mask.shape[-2]), _window_matrix(y_mask.shape[-1])
    weight = separable(rows, cols, y_mask) - (1.0 - centre) * y_mask + 1e-6

    def local_mean(v: Any) -> Any:
        return (separable(rows, cols, v * y_mask) - (1.0 - centre) * v * y_mask) / weight

    low_mean, rest_mean = local_mean(low), local_mean(rest)
    gram = local_mean(low[..., :, None, :, :] * low[..., None, :, :, :])
    gram = gram - low_mean[..., :, None, :, :] * low_mean[..., None, :, :, :]
    cross = local_mean(rest[..., :, None, :, :] * low[..., None, :, :, :])
    cross = cross - rest_mean[..., :, None, :, :] * low_mean[..., None, :, :, :]
    gram = _pixels_first(gram) + like(ridge * np.eye(low.shape[-3]), low)
    return _solve(gram, _transposed(_pixels_first(cross))), rest_mean, low_mean


def _window_matrix(size: int) -> np.ndarray:
    distance = np.arange(size)[:, None] - np.arange(size)[None, :]
    return np.exp(-0.5 * (distance / LOC_WINDOW) ** 2) * (np.abs(distance) <= LOC_REACH)


def _pixels_first(x: Any) -> Any:
    """(..., a, b, h, w) -> (..., h, w, a, b)."""
    if isinstance(x, np.ndarray):
        return np.moveaxis(x, (-4, -3), (-2, -1))
    return x.movedim((-4, -3), (-2, -1))


def _bands_first(x: Any) -> Any:
    """(..., h, w, K) -> (..., K, h, w)."""
    return np.moveaxis(x, -1, -3) if isinstance(x, np.ndarray) else x.movedim(-1, -3)


def _transposed(x: Any) -> Any:
    return np.swapaxes(x, -1, -2) if isinstance(x, np.ndarray) else x.transpose(-1, -2)


def _solve(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b) if isinstance(a, np.ndarray) else a.inverse() @ b
