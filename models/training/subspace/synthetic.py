"""Synthetic scenes: spectra of one real scene spread over the textures of another, so that no pair of material and
place repeats.
"""

from __future__ import annotations

import numpy as np

ENDMEMBERS = (4, 9)
SHADING = 0.15  # std of the brightness that the texture adds
PROJECTIONS = 40


def endmembers(rng: np.random.Generator, scene: np.ndarray, count: int) -> np.ndarray:
    """(count, L): pixels that are extreme along random directions, as the pixel purity index (Boardman 1995) finds
    them.
    """
    pixels = scene.reshape(len(scene), -1)
    pixels = pixels[:, rng.choice(pixels.shape[1], min(4000, pixels.shape[1]), replace=False)]
    along = rng.standard_normal((PROJECTIONS, len(pixels))).astype(np.float32) @ (
        pixels - pixels.mean(axis=1, keepdims=True)
    )
    extreme = np.unique(np.concatenate([along.argmax(axis=1), along.argmin(axis=1)]))
    picked = rng.choice(extreme, min(count, len(extreme)), replace=False)
    return pixels[:, picked].T


def textures(rng: np.random.Generator, scene: np.ndarray, count: int) -> np.ndarray:
    """(count, H, W), mean 0 and std 1: random mixtures of a scene's bands."""
    bands = scene[rng.choice(len(scene), min(8, len(scene)), replace=False)]
    bands = bands - bands.mean(axis=(1, 2), keepdims=True)
    bands = bands / np.maximum(bands.std(axis=(1, 2), keepdims=True), 1e-12)
    mixed = np.tensordot(rng.standard_normal((count, len(bands))).astype(np.float32), bands, axes=1)
    return mixed / np.maximum(mixed.std(axis=(1, 2), keepdims=True), 1e-12)


def synthetic_scene(rng: np.random.Generator, spectra: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """(L, H, W): linear mixtures of endmembers of `spectra` (L, ., .) with abundances and shading drawn from `texture`
    (., H, W).
    """
    materials = endmembers(rng, spectra, int(rng.integers(*ENDMEMBERS)))
    maps = textures(rng, texture, len(materials) + 1)
    share = rng.uniform(1.0, 3.0) * maps[:-1]
    share = np.exp(share - share.max(axis=0))
    share /= share.sum(axis=0)
    shading = np.clip(1.0 + SHADING * maps[-1], 0.3, 2.0)
    return (np.tensordot(materials.T, share, axes=1) * shading).astype(np.float32)
