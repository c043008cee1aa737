"""Closed-form fusion in subspace coefficients: GLP-HS, LOC and MAP.  Numpy or torch, one tile or a batch of tiles.

Shapes: y (..., K, h, w) coefficients of the HSI, z (..., l, H, W) standardised MSI, x (..., K, H, W) the fused
coefficients.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...observation import Degradation, Sampling, Upsampling
from ...observation.axis import like, separable
from ...observation.degradation import free_degradation

LOC_WINDOW = 1.5  # std of LOC's Gaussian window in coarse pixels
LOC_REACH = 6  # ... which is cut at this many coarse pixels
CHEBYSHEV_STEPS = 12


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


def loc(
    base: Any,
    y: Any,
    low: Any,
    mask: Any,
    detail: Any,
    regression: np.ndarray,
    intercept: np.ndarray,
    ridge: float,
    up: Upsampling,
) -> Any:
    """`base` plus a locally windowed ridge regression of what the global one leaves at the coarse scale.

    base (..., K, H, W) is `glp`, perhaps with more detail, of which y is then without its share; low (..., l, h, w) is
    D z; mask (h, w) is 1 where both y and low are known; regression (K, l), intercept (K,) the global fit. ridge: in
    variance of the standardised MSI. The local slopes are interpolated and multiply the detail.
    """
    rest = y - mix(regression, low) - column(intercept, y)
    slopes, _, _ = _local_fit(rest, low, mask, ridge, centre=1.0)
    correction: Any = 0.0
    for band in range(low.shape[-3]):  # one at a time, in place: the slopes of all bands would be l times the tile
        added = up(_bands_first(slopes[..., band, :]))
        added *= detail[..., band, None, :, :]
        added += correction
        correction = added
    return base + correction


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


def maximum_a_posteriori(
    prior: Any,
    y: Any,
    z: Any,
    y_mask: Any,
    z_mask: Any,
    down: Degradation,
    response: np.ndarray,
    offset: np.ndarray,
    y_std: np.ndarray,
    z_std: np.ndarray,
    prior_std: np.ndarray,
) -> Any:
    """The maximum a posteriori estimate around `prior` x0 (..., K, H, W), noise-weighted:

        min |y - D x|^2 / y_std^2 + |z - A x - o|^2 / z_std^2 + |x - x0|^2 / prior_std^2

    A = `response` (l, K), o = `offset` (l,); y_std, prior_std (K,), z_std (l,) include model error. The MSI's part is
    solved per pixel; the HSI's part in its dual, on the coarse grid, by a fixed number of Chebyshev steps, so the
    result is a function of a neighbourhood, whatever the tile. Masked coarse pixels carry no evidence (their dual is
    held at zero); a masked MSI pixel neither, though the HSI's part moves it no further than if it were known.
    """
    weights, covariance = given_msi(response, z_std, prior_std)
    by_msi = prior + mix(covariance @ weights, (z - mix(response, prior) - column(offset, z)) * z_mask)
    return given_hsi(by_msi, y, y_mask, down, covariance, y_std)


def given_hsi(x: Any, y: Any, y_mask: Any, down: Degradation, covariance: np.ndarray, y_std: np.ndarray) -> Any:
    """The HSI's part of the MAP estimate: x (..., K, H, W), whose pixels have the `covariance` (K, K), moved towards D
    x = y within y_std.
    """
    # Covariance of D delta, relative to the noise of y, rotated to independent components: (I + mu_k D D^T) u =
    # residual.
    relative = covariance / np.outer(y_std, y_std)
    mu, axes = np.linalg.eigh(relative)
    y_mask = down.within(y_mask)
    residual = (y - down(x)) * y_mask
    rotated = mix(axes.T / y_std, residual)
    dual = chebyshev(rotated, column(np.maximum(mu, 0.0), rotated), y_mask, *grams(down, rotated))
    return x + mix(covariance @ (axes / y_std[:, None]), down.adjoint(dual))


def given_msi(response: np.ndarray, z_std: np.ndarray, prior_std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A' / z_std^2 (K, l) and the covariance (K, K) of a pixel of x given its MSI pixel."""
    weights = response.T / z_std**2
    precision = weights @ response + np.diag(prior_std**-2.0)
    return weights, np.linalg.inv(precision)


def map_kernel(
    sampling: Sampling, response: np.ndarray, y_std: np.ndarray, z_std: np.ndarray, prior_std: np.ndarray, reach: int
) -> np.ndarray:
    """How one residual of the HSI enters the dual of MAP around it, for the component that reaches farthest.

    Absolute values (2 reach + 1, 2 reach + 1) on the coarse grid, the largest one 1. It is long where a wide PSF is
    inverted with little noise.
    """
    _, covariance = given_msi(response, z_std, prior_std)
    mu = np.linalg.eigvalsh(covariance / np.outer(y_std, y_std))[-1:]
    count = 2 * reach + 1
    size = int(np.ceil(count * sampling.ratio))
    centred = replace(sampling, shift_y=0.0, shift_x=0.0, displacement=None)
    down = Degradation(centred, (size, size), range(size), range(size), range(count), range(count))
    impulse = np.zeros((1, count, count))
    impulse[0, reach, reach] = 1.0
    kernel = np.abs(chebyshev(impulse, column(mu, impulse), np.ones((count, count)), *grams(down, impulse))[0])
    return kernel / kernel.max()


def chebyshev(rhs: Any, mu: Any, mask: Any, gram_rows: Any, gram_cols: Any, bounds: tuple[Any, Any]) -> Any:
    """Solve (I + mu_k D D^T) u = rhs by Chebyshev iteration (Saad 2003, algorithm 12.1) with bounds that depend on the
    PSF and the ratio alone.

    rhs (..., K, h, w); mu and both bounds broadcast over it; D D^T is `gram_rows` (..., h, h) along the rows,
    `gram_cols` along the columns.
    """
    low, high = bounds
    center, radius = 1.0 + mu * (high + low) / 2, mu * (high - low) / 2 + 1e-6
    sigma = center / radius
    rho = 1.0 / sigma
    residual = rhs * mask
    step = residual / center
    u = step
    for _ in range(CHEBYSHEV_STEPS - 1):
        residual = residual - (step + mu * (gram_rows @ step @ gram_cols)) * mask
        rho_next = 1.0 / (2.0 * sigma - rho)
        step = rho_next * rho * step + 2.0 * rho_next / radius * residual
        rho = rho_next
        u = u + step
    return u


def grams(down: Degradation, like_this: Any) -> tuple[Any, Any, tuple[float, float]]:
    """D D^T along rows and columns in the kind of array that `like_this` is, and bounds on its eigenvalues.

    A displaced D D^T is no product of two matrices; that of pixels at even distances stands for it, from which a field
    differs by its slope.
    """
    matrices = (down.rows, down.cols)
    if down.sampling.displacement is not None:
        matrices = [
            free_degradation(down.sampling, len(c))[n] for n, c in enumerate((down.coarse_rows, down.coarse_cols))
        ]
    rows, cols = (like(m @ m.T, like_this) for m in matrices)
    return rows, cols, gram_bounds(down.sampling.undisplaced)


def gram_bounds(sampling: Sampling) -> tuple[float, float]:
    """Bounds on the eigenvalues of D D^T, from those of a probe of 24 x 24 coarse pixels; the same for every tile of a
    scene.
    """
    count = 24
    size = int(np.ceil(count * sampling.ratio))
    probe = Degradation(sampling, (size, size), range(size), range(size), range(count), range(count))
    rows, cols = (np.linalg.eigvalsh(m @ m.T) for m in (probe.rows, probe.cols))
    return 0.95 * max(float(rows[0] * cols[0]), 0.0), 1.05 * float(rows[-1] * cols[-1])


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
