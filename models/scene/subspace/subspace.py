"""The spectral subspace: K coefficients of a noise-whitened SVD stand for L bands, so one network serves every
sensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import HSFusionError
from ...listener import SILENT, Listener
from ...observation.axis import like
from ..pixels.moments import covariance

NEIGHBOURS = 12  # bands that predict each band when its noise is estimated


@dataclass(frozen=True)
class Subspace:
    """X = mean + basis x + what lies outside; x has unit variance over the HSI.

    mean (L,), basis (L, K), analysis (K, L): x = analysis (X - mean); band_noise (L,): std in the raster's units;
    coefficient_noise (K,): std of the HSI's noise in x.
    """

    mean: np.ndarray
    basis: np.ndarray
    analysis: np.ndarray
    band_noise: np.ndarray
    coefficient_noise: np.ndarray

    @property
    def components(self) -> int:
        """K."""
        return self.basis.shape[1]

    def project(self, cube: Any) -> Any:
        """Coefficients (K, ...) of spectra (L, ...)."""
        return _apply(self.analysis, cube - _column(self.mean, cube))

    def expand(self, x: Any) -> Any:
        """Spectra (L, ...) of coefficients (K, ...)."""
        return _apply(self.basis, x) + _column(self.mean, x)


def _apply(matrix: np.ndarray, x: Any) -> Any:
    flat = like(matrix, x) @ x.reshape(x.shape[0], -1)
    return flat.reshape(matrix.shape[0], *x.shape[1:])


def _column(vector: np.ndarray, x: Any) -> Any:
    return like(vector, x).reshape(-1, *([1] * (x.ndim - 1)))


def band_noise(pixels: np.ndarray) -> np.ndarray:
    """Noise std per band of spectra (N, L): what the best-correlated other bands cannot explain by linear regression.

    The idea of Roger and Arnold (1996), which HySime also uses; signal that one band alone carries counts as noise.
    """
    count, bands = pixels.shape
    together = covariance(pixels) * count / max(count - 1, 1)
    scale = np.sqrt(np.maximum(np.diag(together), 1e-30))
    correlation = together / np.outer(scale, scale)
    used = max(1, min(NEIGHBOURS, bands - 1, count // 4))
    noise = np.empty(bands)
    for b in range(bands):
        strength = np.abs(correlation[b])
        strength[b] = -1.0
        others = np.argpartition(-strength, used - 1)[:used]
        gram = correlation[np.ix_(others, others)] + 1e-6 * np.eye(used)
        explained = correlation[b, others] @ np.linalg.solve(gram, correlation[others, b])
        noise[b] = scale[b] * np.sqrt(max(1.0 - explained, 1e-10) * count / max(count - used - 1, 1))
    return noise


def fit_subspace(
    pixels: np.ndarray, components: int, noise: np.ndarray | None = None, listener: Listener = SILENT
) -> Subspace:
    """The K-dimensional noise-whitened principal subspace of spectra (N, L), all finite; K is cut to what L and N
    allow.

    noise: std per band where known; else `band_noise` estimates it. Signs are fixed so that the mean loading is
    positive. Raises HSFusionError where the spectra are all alike. The listener may end the work between the steps.
    """
    listener.check()
    pixels = np.asarray(pixels, np.float64)
    count, bands = pixels.shape
    components = min(components, bands, count - 1)
    mean = pixels.mean(axis=0)
    spread = pixels.std(axis=0)
    if components < 1 or not np.any(spread > 0):
        raise HSFusionError(
            "The hyperspectral raster is constant where the two rasters overlap: there is nothing to fuse."
        )
    listener.check()
    noise = band_noise(pixels) if noise is None else np.asarray(noise, np.float64)
    listener.check()
    floor = np.maximum(
        1e-3 * np.median(spread[spread > 0]), 1e-3 * spread
    )  # a band without noise must not rule the subspace
    weight = np.maximum(noise, floor)
    whitened = covariance(pixels) / np.outer(weight, weight)
    listener.check()
    _, vectors = np.linalg.eigh(whitened)
    listener.check()
    axes = vectors[:, ::-1][:, :components]
    axes = axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0)
    scale = np.maximum(np.sqrt(np.maximum(((whitened @ axes) * axes).sum(axis=0), 0.0)), 1e-12)
    return Subspace(
        mean=mean,
        basis=weight[:, None] * axes * scale,
        analysis=(axes / scale).T / weight,
        band_noise=noise,
        coefficient_noise=np.sqrt(((axes / scale) ** 2 * (noise / weight)[:, None] ** 2).sum(axis=0)),
    )
