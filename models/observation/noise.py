"""Noise as a function of position: the same pixel gets the same noise in any tile, in any run, on any machine."""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection on 64-bit words that scatters every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def gaussian_field(seed: int, rows: range, cols: range, components: int, stream: int = 0) -> np.ndarray:
    """Standard normal noise, float32 (components, len(rows), len(cols)), a function of (seed, stream, component, row,
    column).

    Row and column are absolute pixel numbers. Two 32-bit halves of a hashed counter feed the Box-Muller transform.
    """
    with np.errstate(over="ignore"):
        key = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) + _GOLDEN)
        key = _mix(key + np.uint64(stream + 1) * _GOLDEN)
        key = _mix(key + np.arange(1, components + 1, dtype=np.uint64)[:, None, None] * _GOLDEN)
        key = _mix(key + np.arange(rows.start, rows.stop).astype(np.uint64)[None, :, None] * _GOLDEN)
        key = _mix(key + np.arange(cols.start, cols.stop).astype(np.uint64)[None, None, :] * _GOLDEN)
    radius = (key >> np.uint64(32)).astype(np.float64)
    angle = (key & np.uint64(0xFFFFFFFF)).astype(np.float64)
    scale = 2.0**-32
    return (np.sqrt(-2.0 * np.log((radius + 0.5) * scale)) * np.cos(2.0 * np.pi * scale * angle)).astype(np.float32)


def noise_std(mean_square: np.ndarray, snr_db: float) -> np.ndarray:
    """Standard deviation per band for an SNR of mean square over noise variance, in dB; `mean_square` is per band, in
    units squared.
    """
    return np.sqrt(np.asarray(mean_square) * 10.0 ** (-snr_db / 10.0))
