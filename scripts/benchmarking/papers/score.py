"""The papers' numbers of one fused image, in their conventions."""

from __future__ import annotations

import numpy as np

from hsfusion.models.metrics.hypercomplex import q2n
from hsfusion.models.metrics.radiometric import band_statistics, ergas, mean_defined, psnr_bands
from hsfusion.models.metrics.spectral import sam
from hsfusion.models.metrics.structural import ssim_bands
from hsfusion.models.metrics.without_reference import (
    box_quality,
    combined,
    d_lambda,
    d_s,
    detail_weights,
    hqnr,
    window_size,
)
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.training.full_band.data import Observed

WHITE = 255.0  # PSNR and SSIM are of 8-bit images: PSNR is the mean over bands with the peak 255


def with_truth(truth: np.ndarray, fused: np.ndarray, ratio: float, peak: float) -> dict[str, float]:
    """PSNR (dB), SAM (degrees), ERGAS, SSIM, Q2N of cubes (L, H, W); `peak` becomes 255, 0: the brightest value of
    the truth."""
    scale = WHITE / (peak or float(truth.max()))
    reference, image = truth * scale, np.clip(fused * scale, 0.0, WHITE)
    statistics = band_statistics(reference, image)
    return {
        "PSNR": mean_defined(psnr_bands(statistics, WHITE)),
        "SAM": sam(reference, image).mean,
        "ERGAS": ergas(statistics, ratio),
        "SSIM": mean_defined(ssim_bands(reference, image, WHITE)),
        "Q2N": q2n(reference, image),
    }


def without_truth(pair: Observed, fused: np.ndarray, sampling: Sampling) -> dict[str, float]:
    """D_LAMBDA (Khan), D_S and HQNR of a pair's fused image (L, H, W), with the observation model's own D."""
    blur = Degradation.whole(sampling, fused.shape[1:])
    low, coarse = blur(fused), blur(pair.msi)
    known = np.ones(pair.hsi.shape[1:], bool)
    weights = detail_weights(pair.hsi, coarse, known)
    fine = box_quality(fused, combined(weights, pair.msi), np.ones(fused.shape[1:], bool), window_size(sampling.ratio))
    below = box_quality(pair.hsi, combined(weights, coarse), known, window_size())
    spectral, spatial = d_lambda(low, pair.hsi), d_s(fine, below)
    return {"D_LAMBDA": spectral, "D_S": spatial, "HQNR": hqnr(spectral, spatial)}
