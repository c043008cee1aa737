"""The scores of several separate blocks of a scene, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics import radiometric
from .hypercomplex import q2n
from .spectral import sam
from .structural import ssim_bands


@dataclass(frozen=True)
class PooledScores:
    """As the numbers of `Scores`, over all blocks; PSNR is the global one, NRMSE is in units of the bands' spread,
    rmse_bands (L,) in native units, pixels: those compared.

    SSIM and Q2N, which look at windows, are means over the blocks, weighted by their pixels; NaN where every block is
    smaller than a window.
    """

    PSNR: float
    RMSE: float
    NRMSE: float
    SAM: float
    ERGAS: float
    SSIM: float
    Q2N: float
    CC: float
    rmse_bands: np.ndarray
    pixels: int


@dataclass(frozen=True)
class Compared:
    """One block: truth and fused (L, H, W) in the same units, mask bool (H, W): what is compared."""

    truth: np.ndarray
    fused: np.ndarray
    mask: np.ndarray


def pooled_scores(blocks: Sequence[Compared], ratio: float, peak: float) -> PooledScores:
    """Scores over all compared pixels of all blocks; ratio: HSI pixel / MSI pixel, peak: that of PSNR and SSIM, in
    native units.
    """
    truth, fused = (
        np.concatenate([cube[:, block.mask] for block, cube in pairs], axis=1)[:, None]
        for pairs in ([(b, b.truth) for b in blocks], [(b, b.fused) for b in blocks])
    )
    everything = np.ones(truth.shape[1:], bool)
    statistics = radiometric.band_statistics(truth, fused, everything)
    weights = [int(block.mask.sum()) for block in blocks]
    structure = [radiometric.mean_defined(ssim_bands(b.truth, b.fused, peak, b.mask)) for b in blocks]
    return PooledScores(
        PSNR=radiometric.psnr(statistics, peak),
        RMSE=radiometric.rmse(statistics),
        NRMSE=radiometric.nrmse(statistics.mse, truth.std(axis=(1, 2), dtype=np.float64)),
        SAM=sam(truth, fused, everything).mean,
        ERGAS=radiometric.ergas(statistics, ratio),
        SSIM=_weighted(structure, weights),
        Q2N=_weighted([q2n(block.truth, block.fused, block.mask) for block in blocks], weights),
        CC=radiometric.cc(statistics),
        rmse_bands=np.sqrt(statistics.mse),
        pixels=sum(weights),
    )


def _weighted(values: Sequence[float], weights: Sequence[int]) -> float:
    """Mean of the values that are not NaN; NaN when there is none."""
    defined = [(value, weight) for value, weight in zip(values, weights) if not np.isnan(value)]
    return float(np.average([v for v, _ in defined], weights=[w for _, w in defined])) if defined else float("nan")
