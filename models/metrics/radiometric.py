"""Errors of radiometry, band by band and over the cube: RMSE, the three PSNR definitions, ERGAS, CC, bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import HSFusionError
from ..listener import SILENT, Listener
from .valid import pixel_mask


@dataclass(frozen=True)
class BandStatistics:
    """First and second moments per band (arrays of length L, float64) from which every radiometric metric follows."""

    mean: np.ndarray  # of the reference
    maximum: np.ndarray  # of the reference
    bias: np.ndarray  # mean of fused - reference
    mse: np.ndarray
    cc: np.ndarray  # Pearson correlation; NaN where either band is constant


class BandMoments:
    """Sums over any number of blocks from which `BandStatistics` follow.

    Second moments are taken about each block's own mean and joined exactly (Chan, Golub and LeVeque 1983), so that
    no digits are lost in bright bands.
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self._mean = np.zeros((2, bands))  # of reference and fused
        self._square = np.zeros((3, bands))  # sums of dx^2, dy^2, dx dy
        self._error = np.zeros((2, bands))  # sums of fused - reference and of its square
        self._low, self._high = np.full((2, bands), np.inf), np.full((2, bands), -np.inf)

    def add(self, reference: np.ndarray, fused: np.ndarray, mask: np.ndarray, listener: Listener = SILENT) -> None:
        """Take in a block of cubes (L, H, W) over the pixels of mask (H, W); one band at a time in float64."""
        count = int(mask.sum())
        if not count:
            return
        share, whole = count / (self.count + count), count == mask.size
        for band in range(len(reference)):
            listener.check()
            x, y = (np.asarray(c[band]).ravel() if whole else np.asarray(c[band])[mask] for c in (reference, fused))
            x, y = x.astype(np.float64), y.astype(np.float64)
            error, mean = y - x, np.array([x.mean(), y.mean()])
            dx, dy = x - mean[0], y - mean[1]
            step = mean - self._mean[:, band]
            apart = np.array([step[0] ** 2, step[1] ** 2, step[0] * step[1]]) * self.count * share
            self._square[:, band] += np.array([dx @ dx, dy @ dy, dx @ dy]) + apart
            self._mean[:, band] += step * share
            self._error[:, band] += error.sum(), error @ error
            self._low[:, band] = np.minimum(self._low[:, band], (x.min(), y.min()))
            self._high[:, band] = np.maximum(self._high[:, band], (x.max(), y.max()))
        self.count += count

    def statistics(self) -> BandStatistics:
        """Of everything that was taken in."""
        constant = (self._low == self._high).any(axis=0)
        scale = np.sqrt(self._square[0] * self._square[1])
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.where(constant, np.nan, self._square[2] / scale)
        return BandStatistics(self._mean[0], self._high[0], *(self._error / self.count), correlation)


def band_statistics(
    reference: np.ndarray, fused: np.ndarray, mask: np.ndarray | None = None, listener: Listener = SILENT
) -> BandStatistics:
    """Statistics of cubes (L, H, W) over the pixels of mask (H, W)."""
    moments = BandMoments(len(reference))
    moments.add(reference, fused, pixel_mask(reference, fused, mask), listener)
    return moments.statistics()


def rmse(statistics: BandStatistics) -> float:
    """Root of the mean squared error over all bands and pixels, in the raster's own units."""
    return float(np.sqrt(statistics.mse.mean()))


def decibel(peak: np.ndarray, mse: np.ndarray) -> np.ndarray:
    """10 log10(peak^2 / mse); infinite where the error is zero."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.square(peak, dtype=np.float64) / mse)


def psnr(statistics: BandStatistics, peak: float) -> float:
    """Global PSNR in dB: 10 log10(peak^2 / MSE over all bands)."""
    return float(decibel(_positive(peak), statistics.mse.mean()))


def psnr_bands(statistics: BandStatistics, peak: float) -> np.ndarray:
    """PSNR of each band (L,) in dB with one common peak; its mean is PSNR_BAND_MEAN."""
    return decibel(_positive(peak), statistics.mse)


def psnr_bands_own_peak(statistics: BandStatistics) -> np.ndarray:
    """PSNR of each band (L,) in dB with the band's own reference maximum as peak; NaN where that is not positive."""
    own = np.where(statistics.maximum > 0, statistics.maximum, np.nan)
    return decibel(own, statistics.mse)


def ergas(statistics: BandStatistics, ratio: float) -> float:
    """ERGAS = 100 / ratio sqrt(mean_k MSE_k / mean_k^2), ratio = HSI pixel / MSI pixel > 1 (Wald 2000).

    Bands whose reference mean is zero to rounding have no relative error and are left out (see ergas_bands). Libraries
    disagree on the ratio: sewar multiplies by r = 1/ratio, torchmetrics divides by ratio whatever its docstring says.
    """
    check_ratio(ratio)
    keep = ergas_bands(statistics)
    if not keep.any():
        return float("nan")
    return float(100.0 / ratio * np.sqrt(np.mean(statistics.mse[keep] / statistics.mean[keep] ** 2)))


def check_ratio(ratio: float) -> None:
    """HSFusionError where a ratio is below 1."""
    if not ratio >= 1:
        raise HSFusionError(
            f"RATIO is {ratio:g}; it is the HSI pixel size divided by the MSI pixel size, so at least 1 (4, not 0.25)."
        )


def ergas_bands(statistics: BandStatistics) -> np.ndarray:
    """(L,) bool: the bands that take part in ERGAS, those whose mean exceeds 1e-9 of the largest band mean."""
    size = np.abs(statistics.mean)
    return size > 1e-9 * size.max()


def cc(statistics: BandStatistics) -> float:
    """Mean over bands of the Pearson correlation; constant bands are left out, NaN if all are."""
    return mean_defined(statistics.cc)


def mean_defined(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN when there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _positive(peak: float) -> float:
    if not (peak > 0 and np.isfinite(peak)):
        raise HSFusionError(f"The peak for PSNR is {peak:g}; it must be positive: give PEAK in the raster's own units.")
    return float(peak)


def nrmse(mse: np.ndarray, std: np.ndarray) -> float:
    """RMSE over bands in units of each band's standard deviation in the reference, from mean squares (L,) and std (L,);
    constant bands are left out, NaN if all are.
    """
    varied = std > 0
    return float(np.sqrt(np.mean(mse[varied] / std[varied] ** 2))) if varied.any() else float("nan")
