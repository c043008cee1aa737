"""All metrics of one evaluation in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..listener import SILENT, Listener
from ..metrics import radiometric
from .hypercomplex import q2n
from .spectral import sam_map, sam_of_map
from .structural import ssim_bands, uiqi_bands
from .valid import common_ground

# The numbers that hsfusion:evaluate returns, in the order of its outputs.
NUMBERS = ("PSNR", "PSNR_BAND_MEAN", "PSNR_BAND_PEAK", "RMSE", "SAM", "ERGAS", "SSIM", "Q2N", "CC")


@dataclass(frozen=True)
class Scores:
    """Every number of an evaluation; conventions.CONVENTIONS says what each of them means.

    bands: indices of the compared bands (L,); the *_bands arrays (L,) belong to them. SAM in degrees, PSNR in dB, RMSE
    and bias in native units. sam_map (degrees) and error_map (RMSE over bands, native units) are (H, W), NaN where not
    compared.
    """

    PSNR: float
    PSNR_BAND_MEAN: float
    PSNR_BAND_PEAK: float
    RMSE: float
    SAM: float
    ERGAS: float
    SSIM: float
    Q2N: float
    CC: float
    UIQI: float
    SAM_BRIGHT: float
    ratio: float
    peak: float
    bands: np.ndarray
    mean_bands: np.ndarray
    maximum_bands: np.ndarray
    bias_bands: np.ndarray
    rmse_bands: np.ndarray
    psnr_bands: np.ndarray
    psnr_own_peak_bands: np.ndarray
    ssim_bands: np.ndarray
    uiqi_bands: np.ndarray
    cc_bands: np.ndarray
    sam_map: np.ndarray
    error_map: np.ndarray
    bands_total: int
    bands_excluded: int
    bands_without_ergas: int
    pixels_total: int
    pixels_valid: int
    pixels_missing: int
    pixels_zero: int

    def numbers(self) -> dict[str, float]:
        """The numbers that hsfusion:evaluate returns, by name."""
        return {name: getattr(self, name) for name in NUMBERS}

    def counts(self) -> dict[str, int]:
        """What was compared and what was left out."""
        names = ("bands_total", "bands_excluded", "bands_without_ergas")
        names += ("pixels_total", "pixels_valid", "pixels_missing", "pixels_zero")
        return {name: getattr(self, name) for name in names}

    def band_table(self) -> list[dict[str, float]]:
        """One row per compared band; "band" counts from 1 as GDAL and QGIS do."""
        columns = {
            "reference_mean": self.mean_bands,
            "reference_max": self.maximum_bands,
            "bias": self.bias_bands,
            "rmse": self.rmse_bands,
            "psnr": self.psnr_bands,
            "psnr_own_peak": self.psnr_own_peak_bands,
            "ssim": self.ssim_bands,
            "uiqi": self.uiqi_bands,
            "cc": self.cc_bands,
        }
        return [
            {"band": int(band) + 1, **{name: float(values[i]) for name, values in columns.items()}}
            for i, band in enumerate(self.bands)
        ]


def evaluate(
    reference: np.ndarray,
    fused: np.ndarray,
    ratio: float,
    peak: float | None = None,
    bands: Sequence[int] | None = None,
    listener: Listener = SILENT,
) -> Scores:
    """Compare a fused cube with its reference, both (L, H, W) in the same units, NaN = nodata.

    ratio: HSI pixel / MSI pixel, > 1 (ERGAS). peak: for PSNR and SSIM (None or 0 = the reference's maximum over the
    compared bands and pixels). bands: indices to compare (None = all), for instance without the bad ones. listener:
    hears how far the work is, band by band, and may end it. Raises HSFusionError when shapes differ, nothing is
    in common, ratio < 1 or the peak is not positive.
    """
    reference, fused = np.asarray(reference), np.asarray(fused)
    common = common_ground(reference, fused, bands)
    mask = common.mask
    if not np.array_equal(common.bands, np.arange(len(reference))):
        reference, fused = reference[common.bands], fused[common.bands]
    statistics = radiometric.band_statistics(reference, fused, mask, listener)
    ergas = radiometric.ergas(statistics, ratio)
    peak = float(peak) if peak else float(statistics.maximum.max())
    psnr_bands = radiometric.psnr_bands(statistics, peak)
    psnr_own_peak = radiometric.psnr_bands_own_peak(statistics)
    ssim = ssim_bands(reference, fused, peak, mask, listener.part(0.0, 0.5))
    uiqi = uiqi_bands(reference, fused, mask, listener=listener.part(0.5, 0.85))
    angles = sam_map(reference, fused, mask, listener)
    listener.step(0.9)
    angle = sam_of_map(angles, reference, mask)
    return Scores(
        PSNR=radiometric.psnr(statistics, peak),
        PSNR_BAND_MEAN=float(psnr_bands.mean()),
        PSNR_BAND_PEAK=radiometric.mean_defined(psnr_own_peak),
        RMSE=radiometric.rmse(statistics),
        SAM=angle.mean,
        ERGAS=ergas,
        SSIM=radiometric.mean_defined(ssim),
        Q2N=q2n(reference, fused, mask, listener=listener),
        CC=radiometric.cc(statistics),
        UIQI=radiometric.mean_defined(uiqi),
        SAM_BRIGHT=angle.bright,
        ratio=float(ratio),
        peak=peak,
        bands=common.bands,
        mean_bands=statistics.mean,
        maximum_bands=statistics.maximum,
        bias_bands=statistics.bias,
        rmse_bands=np.sqrt(statistics.mse),
        psnr_bands=psnr_bands,
        psnr_own_peak_bands=psnr_own_peak,
        ssim_bands=ssim,
        uiqi_bands=uiqi,
        cc_bands=statistics.cc,
        sam_map=angles,
        error_map=_error_map(reference, fused, mask, listener),
        bands_total=common.bands_total,
        bands_excluded=common.bands_excluded,
        bands_without_ergas=int((~radiometric.ergas_bands(statistics)).sum()),
        pixels_total=common.pixels_total,
        pixels_valid=common.pixels_valid,
        pixels_missing=common.pixels_missing,
        pixels_zero=angle.zero,
    )


def _error_map(reference: np.ndarray, fused: np.ndarray, mask: np.ndarray, listener: Listener) -> np.ndarray:
    total = np.zeros(mask.shape)
    for x, y in zip(reference, fused):
        listener.check()
        total[mask] += np.square(np.subtract(y[mask], x[mask], dtype=np.float64))
    return np.where(mask, np.sqrt(total / len(reference)), np.nan)
