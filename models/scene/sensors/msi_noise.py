"""Noise of the MSI where texture is as fine as its pixels: what one band shows and no combination of the others does,
nor the HSI.
"""

from __future__ import annotations

import numpy as np

from ..block import Block
from .response import msi_noise, quiet_power

PATCH = 8  # fine pixels
LEAST_PATCHES, MOST_PATCHES = 20, 4000  # of all blocks together; more than that only cost time
LEAST_SHARE = 0.25  # of what keeps the images apart, which the HSI's noise, an upper estimate itself, does not explain


def noise_without_texture(blocks: list[Block]) -> np.ndarray:
    """Noise std (l,) in the MSI's units, never above `msi_noise`.

    Texture that the bands share is regressed away between their Laplacians before the quietest patches are looked for
    (the idea of Roger and Arnold 1996, across bands, on Immerkaer's mask of 1996). It is still an upper estimate:
    texture of one band alone counts as noise.
    """
    plain = msi_noise(blocks)
    most = max(1, MOST_PATCHES // len(blocks))
    patches = np.concatenate([whole_patches(block.z, block.z_mask, most) for block in blocks], axis=1)
    if patches.shape[1] < LEAST_PATCHES or len(patches) < 2:
        return plain
    noise = np.empty(len(patches))
    for band, image in enumerate(patches):
        others = np.delete(patches, band, axis=0)
        quiet = np.argsort((image**2).mean(axis=1))[: max(LEAST_PATCHES, len(image) // 2)]
        weights, *_ = np.linalg.lstsq(others[:, quiet].reshape(len(others), -1).T, image[quiet].ravel(), rcond=None)
        alone = image - np.tensordot(weights, others, axes=1)
        noise[band] = quiet_power((alone**2).mean(axis=1)) ** 0.5
    return np.minimum(plain, noise)


def noise_unlike_hsi(low: np.ndarray, x: np.ndarray, x_noise: np.ndarray, noise_gain: float) -> np.ndarray:
    """Noise std (l,) in the MSI's units that would explain how far the MSI is from the HSI at the coarse scale; any
    texture both images show.

    low (N, l): D z; x (N, K): the HSI's coefficients there, x_noise (K,) their noise, which is taken off, up to three
    quarters of the variance; noise_gain: of D. An upper estimate: whatever else keeps the images apart counts as noise
    of the MSI.
    """
    regressors = np.column_stack([x, np.ones(len(x))])
    solution, *_ = np.linalg.lstsq(regressors, low, rcond=None)
    apart = ((low - regressors @ solution) ** 2).sum(axis=0) / max(len(x) - regressors.shape[1], 1)
    of_hsi = x_noise**2 @ solution[:-1] ** 2
    return np.sqrt(np.maximum(apart - of_hsi, LEAST_SHARE * apart)) / noise_gain


def whole_patches(z: np.ndarray, mask: np.ndarray, most: int) -> np.ndarray:
    """(l, patches, 64) float64: Immerkaer's mask on z (l, H, W), in up to `most` patches of 8 x 8, spread evenly, whose
    pixels are all valid.
    """
    bad = mask <= 0
    rows = bad[:-2] | bad[1:-1] | bad[2:]
    bad = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    whole = np.flatnonzero(~_in_patches(bad).any(axis=1))
    if len(whole) > most:
        whole = whole[np.linspace(0, len(whole) - 1, most).astype(int)]
    return np.stack([_in_patches(_laplacian(band))[whole] for band in z]).astype(np.float64)


def _laplacian(image: np.ndarray) -> np.ndarray:
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    return rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]


def _in_patches(image: np.ndarray) -> np.ndarray:
    """(patches, 64) of an image (H, W), what does not fill a patch left out."""
    height, width = (n // PATCH for n in image.shape)
    parts = image[: height * PATCH, : width * PATCH].reshape(height, PATCH, width, PATCH)
    return parts.transpose(0, 2, 1, 3).reshape(height * width, PATCH**2)
