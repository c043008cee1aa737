"""CNMF: coupled nonnegative matrix factorisation.

Yokoya, Yairi and Iwasaki, Coupled nonnegative matrix factorization unmixing for hyperspectral and multispectral data
fusion, IEEE TGRS 50(2), 2012.  Both images are unmixed in turn: the HSI gives the endmembers W (L, p), the MSI the
abundances H (p, N) on the fine grid, and each starts from the other through the sensors' models, W_m = R W and H_h = H
D.  The fused image is W H.
"""

from __future__ import annotations

import numpy as np

from ...errors import HSFusionError
from ...listener import SILENT, Listener
from ...observation import Sampling
from ..block import Block, valid_pixels
from ..laws.vca import vertex_pixels
from .low_rank import LowRank

ENDMEMBERS = 30
OUTER, INNER = 3, 100
TOLERANCE = 1e-4  # relative fall of the cost in CHECK iterations at which an unmixing has converged
CHECK = 10
SUM_TO_ONE = 0.3  # weight of the abundances' sum to one, against spectra whose root mean square is one
CHUNK = 8192  # fine pixels at once: the working set stays in the processor's cache
TINY = 1e-9
SMALLEST = 1e-20  # an abundance: zeros stay zero under multiplication, and numbers too small for the processor are slow


def solve(
    block: Block,
    sampling: Sampling,
    response: np.ndarray,
    offset: np.ndarray,
    endmembers: int = ENDMEMBERS,
    listener: Listener = SILENT,
) -> LowRank:
    """Fuse a whole scene; response (l, L) and offset (l,) map the HSI's units to the MSI's, Z = R X + o.

    Masked pixels take no part; abundances at masked MSI pixels are interpolated from the HSI's.  Raises HSFusionError
    where the HSI is not nonnegative.
    """
    seen, coupled = block.y_mask > 0, valid_pixels(block, sampling)
    known = block.z_mask > 0
    spectra = block.y[:, seen].astype(np.float64)
    check_nonnegative(spectra)
    size = np.sqrt((spectra**2).mean())
    y = np.maximum(spectra / size, 0.0)
    z_size = np.sqrt(((response @ spectra) ** 2).mean(axis=1))[:, None]
    z = np.maximum((block.z[:, known] - offset[:, None]) / z_size, 0.0).astype(np.float32)
    r = response * size / z_size

    endmembers = max(1, min(endmembers, len(y), y.shape[1] // 4))
    w = np.maximum(y[:, vertex_pixels(y.T, endmembers)], TINY)
    first = listener.part(0.0, 0.0)
    h_low = abundances(y, w, np.full((endmembers, y.shape[1]), 1.0 / endmembers), first)
    w, h_low = unmix(y, w, h_low, first)
    maps = np.zeros((endmembers, *block.y_mask.shape), np.float32)
    maps[:, seen] = h_low
    up, down = block.upsampling(sampling), block.degradation(sampling)
    maps = np.maximum(up.masked(maps, block.y_mask)[0], np.float32(TINY))
    y = np.maximum(block.y[:, coupled].astype(np.float64) / size, 0.0)
    for outer in range(OUTER):
        part = listener.part(outer / OUTER, (outer + 1) / OUTER)
        w_m = np.maximum(r @ w, TINY)
        maps[:, known] = _in_chunks(z, w_m, maps[:, known], part.part(0.0, 0.8))
        h_low = np.maximum(down.masked(maps, block.z_mask)[0][:, coupled].astype(np.float64), TINY)
        w = spectra_of(y, w, h_low)
        w, _ = unmix(y, w, h_low, part.part(0.8, 1.0))
    return LowRank(w * size, maps, OUTER)


def check_nonnegative(spectra: np.ndarray, method: str = "cnmf") -> None:
    """A factorisation into nonnegative parts needs radiance or reflectance; a few values below zero are noise."""
    share = float((spectra < -1e-3 * np.abs(spectra).max()).mean())
    if share > 0.05:
        raise HSFusionError(
            f"METHOD {method} needs radiance or reflectance, and {100 * share:.0f} % of the HSI's values are below "
            "zero: choose another method."
        )


def unmix(v: np.ndarray, w: np.ndarray, h: np.ndarray, listener: Listener = SILENT) -> tuple[np.ndarray, np.ndarray]:
    """W and H in turn (paper, equations 10 and 11) until the cost falls no more: v (L, N), w (L, p), h (p, N)."""
    cost = np.inf
    for i in range(INNER):
        w = w * (v @ h.T) / np.maximum(w @ (h @ h.T), TINY)
        h = _Abundances(v, w)(h)
        listener.advance((i + 1) / INNER)
        if (i + 1) % CHECK == 0:
            before, cost = cost, float(((v - w @ h) ** 2).sum())
            if before - cost <= TOLERANCE * before:
                break
    return w, h


def spectra_of(v: np.ndarray, w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The endmembers for given abundances (equation 10 alone)."""
    cross, gram = v @ h.T, h @ h.T
    for _ in range(INNER):
        w = w * cross / np.maximum(w @ gram, TINY)
    return w


def abundances(v: np.ndarray, w: np.ndarray, h: np.ndarray, listener: Listener = SILENT) -> np.ndarray:
    """The abundances for given endmembers (equation 11 alone)."""
    update = _Abundances(v, w)
    for i in range(INNER):
        h = update(h)
        listener.advance((i + 1) / INNER)
    return h


class _Abundances:
    """H <- H (W^T V) / (W^T W H), with a row of ones below W and V that draws the abundances' sum to one."""

    def __init__(self, v: np.ndarray, w: np.ndarray) -> None:
        weight = w.dtype.type(SUM_TO_ONE)
        self._w = np.vstack([w, np.full((1, w.shape[1]), weight)])
        self._above = w.T @ v + weight**2
        self._gram = self._w.T @ self._w if 2 * len(self._w) > w.shape[1] else None

    def __call__(self, h: np.ndarray) -> np.ndarray:
        ratio = self._w.T @ (self._w @ h) if self._gram is None else self._gram @ h
        np.maximum(ratio, TINY, out=ratio)
        np.divide(self._above, ratio, out=ratio)
        np.multiply(ratio, h, out=ratio)
        return np.maximum(ratio, SMALLEST, out=ratio)


def _in_chunks(z: np.ndarray, w: np.ndarray, h: np.ndarray, listener: Listener) -> np.ndarray:
    """`abundances` of the fine pixels, which do not depend on one another."""
    w = w.astype(z.dtype)
    for start in range(0, z.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        h[:, part] = abundances(z[:, part], w, h[:, part])
        listener.advance(min(1.0, (start + CHUNK) / z.shape[1]))
    return h


def memory(fine_pixels: int, coarse_pixels: int) -> int:
    """About how many bytes `solve` holds at its peak beside the images."""
    return 4 * ENDMEMBERS * (4 * fine_pixels + 6 * coarse_pixels)
