"""The spectral angle between reference and fused spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..listener import SILENT, Listener
from .valid import pixel_mask

_BLOCK_VALUES = 8_000_000  # float64 values of one cube held at a time


@dataclass(frozen=True)
class SpectralAngle:
    """mean: degrees over the pixels with an angle; bright: the same over the 90 % of them with the largest reference
    norm (dark water and shadow can make a third of the plain mean); zero: pixels left out because a spectrum is
    zero.
    """

    mean: float
    bright: float
    zero: int


def sam_map(
    reference: np.ndarray, fused: np.ndarray, mask: np.ndarray | None = None, listener: Listener = SILENT
) -> np.ndarray:
    """Spectral angle in degrees (H, W) of cubes (L, H, W); NaN outside mask and where either spectrum is zero.

    The angle is arccos(x.y / |x||y|), evaluated as 2 arctan2(|u - v|, |u + v|) with unit vectors u and v (Kahan), which
    stays exact where arccos loses half of its digits: near zero.
    """
    mask = pixel_mask(reference, fused, mask)
    bands, rows, cols = np.shape(reference)
    angle = np.full((rows, cols), np.nan)
    step = max(1, _BLOCK_VALUES // max(1, bands * cols))
    for start in range(0, rows, step):
        listener.check()
        part = slice(start, start + step)
        keep = mask[part]
        x = np.asarray(reference)[:, part][:, keep].astype(np.float64)
        y = np.asarray(fused)[:, part][:, keep].astype(np.float64)
        x_norm, y_norm = np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            x /= x_norm
            y /= y_norm
            value = 2 * np.arctan2(np.linalg.norm(x - y, axis=0), np.linalg.norm(x + y, axis=0))
        value[(x_norm == 0) | (y_norm == 0)] = np.nan
        angle[part][keep] = np.degrees(value)
    return angle


def sam(reference: np.ndarray, fused: np.ndarray, mask: np.ndarray | None = None) -> SpectralAngle:
    """Mean spectral angle in degrees over the pixels of mask; zero spectra are excluded and counted."""
    mask = pixel_mask(reference, fused, mask)
    return sam_of_map(sam_map(reference, fused, mask), norm_map(np.asarray(reference), mask), mask)


def norm_map(reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Norm of the reference's spectra (H, W) of a cube (L, H, W); NaN outside mask."""
    energy = np.zeros(mask.shape)
    for band in reference:
        energy += np.square(np.where(mask, band, 0), dtype=np.float64)
    return np.where(mask, np.sqrt(energy), np.nan)


def sam_of_map(angle: np.ndarray, norm: np.ndarray, mask: np.ndarray) -> SpectralAngle:
    """The same from maps (H, W): degrees as sam_map makes them, and the reference's norm_map."""
    defined = mask & ~np.isnan(angle)
    zero = int(mask.sum() - defined.sum())
    if not defined.any():
        return SpectralAngle(float("nan"), float("nan"), zero)
    bright = np.zeros_like(defined)
    np.greater_equal(norm, np.quantile(norm[defined], 0.1), out=bright, where=defined)
    return SpectralAngle(float(angle[defined].mean()), float(angle[bright].mean()), zero)
