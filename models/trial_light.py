"""MSI under a light that varies over the scene, for trials: haze, a mosaic of two takes, a cloud with its shadow."""

from __future__ import annotations

import numpy as np

LIGHTS = ("haze", "seam", "cloud")
CLEAR = 0.6  # share of the rows, from the scene's top, from which a cloud and its shadow are far


def lit(msi: np.ndarray, light: str, seed: int = 0) -> np.ndarray:
    """msi (l, H, W) with smooth gain of +-15 % and haze per band, with another take beyond a slanted seam (gains up to
    +-25 %, offsets), or with a cloud and its shadow in the upper part.
    """
    rng = np.random.default_rng([seed, LIGHTS.index(light)])
    return {"haze": _hazy, "seam": _mosaic, "cloud": _cloudy}[light](msi, rng).astype(np.float32)


def _hazy(msi: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bands = []
    for band in msi:
        gain = 1.0 + 0.15 * _waves(rng, band.shape)
        bands.append(gain * band + 0.12 * band.mean() * (1.0 + _waves(rng, band.shape)))
    return np.stack(bands)


def _mosaic(msi: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, cols = _axes(msi.shape[1:])
    angle = rng.uniform(0.0, np.pi)
    far = np.cos(angle) * (rows - 0.5) + np.sin(angle) * (cols - 0.5) > rng.uniform(-0.15, 0.15)
    gain = rng.uniform(0.75, 1.25, (len(msi), 1, 1))
    offset = rng.uniform(-0.08, 0.08, (len(msi), 1, 1)) * msi.mean(axis=(1, 2), keepdims=True)
    return np.where(far, gain * msi + offset, msi)


def _cloudy(msi: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, cols = _axes(msi.shape[1:])
    cloud, shadow = (
        np.clip((0.19 - np.hypot(rows - 0.24, cols - centre)) / 0.05, 0.0, 1.0)
        for centre in (rng.uniform(0.2, 0.3), rng.uniform(0.7, 0.8))
    )
    white = 1.3 * np.quantile(msi, 0.98, axis=(1, 2))[:, None, None]
    dark = msi * (1.0 - 0.55 * shadow)
    return dark + 0.9 * cloud * (white - dark)


def _waves(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Two slow waves (H, W), at most 1."""
    rows, cols = _axes(shape)
    turns, starts = rng.uniform(-1.2, 1.2, (2, 2)), rng.uniform(0.0, 2 * np.pi, 2)
    field = sum(np.sin(2 * np.pi * (a * rows + b * cols) + start) for (a, b), start in zip(turns, starts))
    return field / np.abs(field).max()


def _axes(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (H, 1) and columns (1, W) from 0 to 1."""
    return np.linspace(0, 1, shape[0])[:, None], np.linspace(0, 1, shape[1])[None, :]
