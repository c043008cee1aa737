"""Scenes that are exact linear mixtures of a few spectra, seen by both sensors without noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.model import SceneModel, fit_scene

SAMPLING = Sampling(4.0)
SHAPE = 96, 80
BANDS = 24


@dataclass(frozen=True)
class Mixture:
    """truth (L, H, W), the pair that sees it, the exact response (l, L) and offset (l,)."""

    truth: np.ndarray
    block: Block
    response: np.ndarray
    offset: np.ndarray

    @property
    def scene(self) -> SceneModel:
        return fit_scene([self.block], SAMPLING)

    def interpolated(self) -> np.ndarray:
        return Upsampling.whole(SAMPLING, SHAPE)(self.block.y)

    def psnr(self, found: np.ndarray) -> float:
        return float(10 * np.log10(self.truth.max() ** 2 / np.mean((found - self.truth) ** 2)))


def mixture(materials: int = 4, msi_bands: int = 4, gain: float = 1.0, offset: float = 0.0, seed: int = 0) -> Mixture:
    """`materials` smooth spectra in patches with soft edges; MSI bands are means of neighbouring bands, times gain plus
    offset.
    """
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None]) + 0.02
    textures = np.fft.irfft2(np.fft.rfft2(random.normal(size=(materials, *SHAPE))) / frequency**1.5, SHAPE)
    shares = np.exp(2.0 * textures / textures.std(axis=(1, 2), keepdims=True))
    shares /= shares.sum(axis=0)
    x = np.linspace(-1, 1, BANDS)
    spectra = 2000 + 1500 * np.stack([np.cos((k + 1) * x + random.uniform(0, 6)) for k in range(materials)], axis=1)
    truth = np.tensordot(spectra, shares, axes=1).astype(np.float32)
    response = np.kron(np.eye(msi_bands), np.full(BANDS // msi_bands, msi_bands / BANDS))
    response = gain * np.pad(response, ((0, 0), (0, BANDS - response.shape[1])))
    z = (np.tensordot(response, truth, axes=1) + offset).astype(np.float32)
    block = whole_block(Degradation.whole(SAMPLING, SHAPE)(truth), z)
    return Mixture(truth, block, response, np.full(msi_bands, offset))


def with_holes(block: Block, fill: float) -> Block:
    """A cloud of 12 x 16 MSI pixels and 3 masked HSI pixels, with `fill` where they are masked."""
    z, z_mask, y, y_mask = block.z.copy(), block.z_mask.copy(), block.y.copy(), block.y_mask.copy()
    z[:, 40:52, 30:46], z_mask[40:52, 30:46] = fill, 0
    y[:, 3, 5:8], y_mask[3, 5:8] = fill, 0
    return replace(block, z=z, z_mask=z_mask, y=y, y_mask=y_mask)
