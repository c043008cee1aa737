"""How good a fused image is where nobody knows the truth: its consistency with both inputs, and the distortions of QNR.

D_LAMBDA and D_S are 0 for a perfect image and HQNR is 1, but an interpolated image also scores well on D_LAMBDA:
consistency is the number to trust, and none of them sees an error that both inputs allow.
"""

from __future__ import annotations

import numpy as np

from ..errors import HSFusionError
from .hypercomplex import q2n
from .radiometric import band_statistics, psnr

WINDOW = (
    8  # HSI pixels: side of the sliding window of D_S on the coarse grid; on the fine grid it covers the same ground
)


def consistency_db(predicted: np.ndarray, observed: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Global PSNR in dB of an image predicted from the fused one against the observed one, both (L, H, W); peak = the
    observed maximum.

    For the HSI the prediction is D X, for the MSI g R X + o, with the operators and the border rule of the observation
    model.
    """
    statistics = band_statistics(observed, predicted, mask)
    return psnr(statistics, float(statistics.maximum.max()))


def d_lambda(low: np.ndarray, hsi: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Khan's spectral distortion: 1 - Q2n of the degraded fused image D X against the HSI, both (L, h, w).

    Khan, Alparone and Chanussot, IEEE TGRS 2009. D is the estimated PSF with decimation, so the comparison is on the
    HSI's own grid, where the authors' toolbox compares on the fine grid with an interpolated image.
    """
    return 1.0 - q2n(hsi, low, mask)


def d_s(quality_fine: np.ndarray, quality_coarse: np.ndarray) -> float:
    """Spatial distortion: the mean over bands (L,) of |Q(X_i, P_i) - Q(Y_i, D P_i)|, exponent 1; bands without a Q are
    left out.

    Alparone et al., PE&RS 2008, where P is the panchromatic image. With several MSI bands P_i is the combination that
    explains HSI band i best (`detail_weights`). Q is UIQI (`box_quality`) in windows that cover the same ground on both
    grids (`window_size`).
    """
    difference = np.abs(np.asarray(quality_fine) - np.asarray(quality_coarse))
    difference = difference[np.isfinite(difference)]
    return float(difference.mean()) if difference.size else float("nan")


def hqnr(spectral: float, spatial: float) -> float:
    """(1 - D_LAMBDA)(1 - D_S), the hybrid QNR of Aiazzi et al. (2014), exponents 1."""
    return (1.0 - spectral) * (1.0 - spatial)


def box_quality(x: np.ndarray, y: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """UIQI of each band (L,) of x and y (L, H, W) in sliding size x size windows, as `structural.uiqi_bands` with a
    uniform kernel.

    Sums over windows come from cumulative ones, so the time does not grow with the window. NaN where the image is
    smaller than that.
    """
    rows, cols = mask.shape
    if min(rows, cols) < size or not mask.any():
        return np.full(len(x), np.nan)
    middle = mask[size // 2 : size // 2 + rows - size + 1, size // 2 : size // 2 + cols - size + 1]
    support = np.where(middle, _windows(mask.astype(np.float64), size), 1.0)
    values = np.full(len(x), np.nan)
    for band in range(len(x) if middle.any() else 0):
        a, b = (np.where(mask, image[band], 0.0).astype(np.float64) for image in (x, y))
        offset = a[mask].mean(), b[mask].mean()
        a, b = np.where(mask, a - offset[0], 0.0), np.where(mask, b - offset[1], 0.0)
        ma, mb, aa, bb, ab = (_windows(product, size) / support for product in (a, b, a * a, b * b, a * b))
        spread, covariance = aa - ma**2 + bb - mb**2, ab - ma * mb
        ma, mb = ma + offset[0], mb + offset[1]
        level = ma**2 + mb**2
        flat = spread <= 1e-9 * (a[mask].var() + b[mask].var()) + 1e-300
        quality = np.where(flat, 1.0, 2 * covariance / np.where(flat, 1.0, spread))
        quality *= np.where(level == 0, 1.0, 2 * ma * mb / np.where(level == 0, 1.0, level))
        values[band] = quality[middle].mean()
    return values


def _windows(image: np.ndarray, size: int) -> np.ndarray:
    """Means over all whole windows (H - size + 1, W - size + 1)."""
    total = np.pad(image, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return (total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]) / size**2


def detail_weights(hsi: np.ndarray, low: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(L, l + 1): weights and intercept with which the MSI at the coarse scale, low (l, h, w), explains each HSI band,
    hsi (L, h, w).

    Ordinary least squares over mask (h, w). Raises HSFusionError where fewer pixels are valid than there are unknowns.
    """
    if mask.sum() <= len(low) + 1:
        raise HSFusionError(
            "Too few HSI pixels are valid in both rasters to compare them: check nodata values and the overlap."
        )
    regressors = np.column_stack([low[:, mask].T.astype(np.float64), np.ones(int(mask.sum()))])
    size = np.maximum(np.abs(regressors).max(axis=0), 1e-30)
    solution, *_ = np.linalg.lstsq(regressors / size, hsi[:, mask].T.astype(np.float64), rcond=None)
    return (solution / size[:, None]).T


def combined(weights: np.ndarray, msi: np.ndarray) -> np.ndarray:
    """P (L, H, W): MSI bands (l, H, W) combined with `detail_weights` (L, l + 1)."""
    return np.tensordot(weights[:, :-1], msi, axes=1) + weights[:, -1][:, None, None]


def window_size(ratio: float = 1.0) -> int:
    """Side of D_S's window in pixels of a grid that is `ratio` times finer than the HSI's."""
    return max(2, round(WINDOW * ratio))
