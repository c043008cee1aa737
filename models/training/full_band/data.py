"""Training examples of full-band models: a reference observed once by D, patches of it cut on the fly, both images
normalised as in a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import HSFusionError
from ...observation import Degradation, Sampling, Upsampling, coarse_shape, noise_std
from ...observation.response import gaussian_response
from ...scene.block import whole_block
from ...scene.model import fit_scene
from ...scene.pixels.scaling import JOINT, Scaling, scene_scaling
from .config import FullBandConfig

NOISE_SEED = 35  # of a test pair's noise


@dataclass(frozen=True)
class Reference:
    """An image as it was read: cube (L, H, W) on the model's bands, and a real msi (l, H', W') of the same place, or
    None.

    The msi lies on the cube's grid (H' = H), or on a grid that is finer by the ratio. full_resolution: the cube is
    the HSI of a pair whose fused image nobody knows.
    """

    name: str
    cube: np.ndarray
    msi: np.ndarray | None = None
    full_resolution: bool = False


@dataclass(frozen=True)
class Observed:
    """A pair with its truth, in the raster's units: truth (L, H, W) or None, hsi (L, h, w), msi (l, H, W)."""

    name: str
    truth: np.ndarray | None
    hsi: np.ndarray
    msi: np.ndarray
    scaling: Scaling
    real_msi: bool
    wavelengths: np.ndarray  # (L,) nm


def response_of(config: FullBandConfig) -> np.ndarray:
    """R (l, L) of the configuration's MSI on the configuration's bands."""
    centres, _ = config.bands.nanometres("bands")
    return gaussian_response(*config.msi.nanometres("msi"), centres).astype(np.float32)


def observe(reference: Reference, config: FullBandConfig, response: np.ndarray | None, snr_db: float = 0.0) -> Observed:
    """The pair of a reference, cut to whole coarse pixels; by Wald's protocol where its MSI is real and finer.

    snr_db: of the noise that both images get, the same at every call; 0: none. A pair of full resolution stays as it
    is.
    """
    sampling, ratio = config.observation.sampling(), config.observation.ratio
    if reference.full_resolution:
        return _as_it_is(reference, config)
    height, width = (int(n / ratio) for n in reference.cube.shape[1:])
    shape = round(height * ratio), round(width * ratio)
    truth = np.ascontiguousarray(reference.cube[:, : shape[0], : shape[1]], np.float32)
    hsi = Degradation.whole(sampling, shape)(truth)
    if reference.msi is not None:
        msi = _on_grid_of(reference, sampling)[:, : shape[0], : shape[1]]
    elif response is not None:
        msi = np.tensordot(response, truth, axes=1)
    else:
        raise HSFusionError(
            f"The scene {reference.name} has no MSI: give its key msi, or a sensor that the HSI's bands cover."
        )
    rng = np.random.default_rng(NOISE_SEED)
    hsi, msi = (_noisy(rng, image, _power(image), snr_db) for image in (hsi, np.ascontiguousarray(msi, np.float32)))
    real = reference.msi is not None
    return Observed(reference.name, truth, hsi, msi, _scaling(hsi, msi, config, real), real, _centres(config))


def _centres(config: FullBandConfig) -> np.ndarray:
    return config.bands.nanometres("bands")[0]


def _scaling(hsi: np.ndarray, msi: np.ndarray, config: FullBandConfig, real: bool) -> Scaling:
    """What the images are divided by; a simulated MSI is R X with rows of R that sum to 1, a real one's gain and
    offset are estimated."""
    block = whole_block(hsi, msi)
    scaling = scene_scaling([block], config.quantile)
    if config.normalisation != JOINT:
        return scaling
    if not real:
        return Scaling(scaling.hsi, np.full(len(msi), scaling.hsi), np.zeros(len(msi)))
    scene = fit_scene([block], config.observation.sampling())
    return scaling.joint(scene.spectral_response, scene.spectral_offset, scene.unexplained)


def _as_it_is(reference: Reference, config: FullBandConfig) -> Observed:
    if reference.msi is None:
        raise HSFusionError(f"The scene {reference.name} is for full resolution: give its finer image as the key msi.")
    hsi, ratio = reference.cube, config.observation.ratio
    rows, cols = (round(n * ratio) for n in hsi.shape[1:])
    if reference.msi.shape[1] < rows or reference.msi.shape[2] < cols:
        raise _wrong_grid(reference, (rows, cols))
    msi = np.ascontiguousarray(reference.msi[:, :rows, :cols], np.float32)
    return Observed(reference.name, None, hsi, msi, _scaling(hsi, msi, config, True), True, _centres(config))


def _on_grid_of(reference: Reference, sampling: Sampling) -> np.ndarray:
    """The real MSI on the reference's grid, degraded by the same D where it is finer."""
    msi, shape = reference.msi, reference.cube.shape[1:]
    if msi.shape[1:] == shape:
        return msi
    if coarse_shape(msi.shape[1:], sampling.ratio) != shape:
        raise _wrong_grid(reference, tuple(round(n * sampling.ratio) for n in shape))
    return Degradation.whole(sampling, msi.shape[1:])(np.ascontiguousarray(msi, np.float32))


def _wrong_grid(reference: Reference, wanted: tuple[int, ...]) -> HSFusionError:
    rows, cols = reference.msi.shape[1:]
    return HSFusionError(
        f"The MSI of the scene {reference.name} has {rows} x {cols} pixels; it must have {wanted[0]} x {wanted[1]}, or "
        "as many as the reference."
    )


@dataclass(frozen=True)
class Batch:
    """truth, hsi_up (B, L, P, P), msi (B, l, P, P) and hsi (B, L, p, p), normalised; gain (B, l) turns R truth into
    msi where that is simulated.

    hsi holds the coarse pixels of the patch alone, as they were observed.
    """

    truth: Tensor
    hsi_up: Tensor
    msi: Tensor
    hsi: Tensor
    gain: Tensor


class PatchSource:
    """Random patches of scenes: which ones is a function of the generator alone."""

    def __init__(self, scenes: list[Observed], config: FullBandConfig, response: np.ndarray | None) -> None:
        self.config, self.response = config, response
        self.sampling = config.observation.sampling()
        self.scenes = [s for s in scenes if min(s.msi.shape[1:]) >= max(stage.size for stage in config.stages)]
        if not self.scenes:
            largest = max(min(s.msi.shape[1:]) for s in scenes)
            raise HSFusionError(
                f"No scene is as large as the patches of {max(s.size for s in config.stages)} pixels (the largest has "
                f"{largest}): "
                "make the sizes of the stages smaller."
            )
        areas = np.array([s.msi.shape[1] * s.msi.shape[2] for s in self.scenes], float)
        self.share = areas / areas.sum()

    def draw(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """`count` patches of `size` fine pixels."""
        items = [self._one(rng, self.scenes[rng.choice(len(self.scenes), p=self.share)], size) for _ in range(count)]
        return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*items)))

    def _one(self, rng: np.random.Generator, scene: Observed, size: int) -> tuple[np.ndarray, ...]:
        config, shape, ratio = self.config, scene.msi.shape[1:], self.config.observation.ratio
        step = round(ratio)  # patches begin where coarse pixels do, so that D of a patch has the scene's phase
        top, left = (step * int(rng.integers(0, (n - size) // step + 1)) for n in shape)
        rows, cols = range(top, top + size), range(left, left + size)
        low = [
            range(max(0, int(r.start / ratio) - 2), min(n, int(np.ceil(r.stop / ratio)) + 2))
            for r, n in zip((rows, cols), scene.hsi.shape[1:])
        ]
        gain = np.float32(1 / scene.scaling.hsi) * self._jitter(rng, len(scene.hsi))
        truth = scene.truth[:, top : top + size, left : left + size] * gain
        hsi = scene.hsi[:, low[0].start : low[0].stop, low[1].start : low[1].stop] * gain
        msi_scale = (scene.scaling.hsi / scene.scaling.msi).astype(np.float32)
        if scene.real_msi:
            offset, scale = (v.astype(np.float32)[:, None, None] for v in (scene.scaling.offset, scene.scaling.msi))
            msi = (scene.msi[:, top : top + size, left : left + size] - offset) / scale
        else:
            msi = np.tensordot(self.response, truth, axes=1) * msi_scale[:, None, None]
        snr_hsi, snr_msi = self._snr(rng)
        hsi = _noisy(rng, hsi, _power(scene.hsi) * gain.ravel() ** 2, snr_hsi)
        msi = _noisy(rng, msi, _power(scene.msi) / scene.scaling.msi**2, snr_msi)
        hsi_up = Upsampling(self.sampling, shape, rows, cols, *low)(hsi)
        inside = (
            slice(round(r.start / ratio) - n.start, round(r.stop / ratio) - n.start) for r, n in zip((rows, cols), low)
        )
        images = [truth, hsi_up, msi, hsi[(slice(None), *inside)]]
        if config.flips:
            turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
            images = [np.rot90(i[:, :, ::-1] if mirrored else i, turns, (1, 2)) for i in images]
        return (*(np.ascontiguousarray(i, np.float32) for i in images), msi_scale)

    def _snr(self, rng: np.random.Generator) -> tuple[float, float]:
        """Of a patch's HSI and MSI, dB; 0: no noise."""
        observation = self.config.observation
        if rng.random() < observation.noisy_share:
            snr = float(rng.uniform(*observation.noisy_snr))
            return snr, snr
        return observation.snr_hsi, observation.snr_msi

    def _jitter(self, rng: np.random.Generator, bands: int) -> np.ndarray:
        """Smooth random gains (L, 1, 1) around 1 with a spread of `jitter`: other light, other materials."""
        if not self.config.jitter:
            return np.ones((bands, 1, 1), np.float32)
        knots = 1 + self.config.jitter * rng.standard_normal(5)
        return np.interp(np.linspace(0, 4, bands), np.arange(5), knots).clip(0.2).astype(np.float32)[:, None, None]


def _power(image: np.ndarray) -> np.ndarray:
    """Mean square of each band (C,)."""
    return (image.astype(np.float64) ** 2).mean(axis=(1, 2))


def _noisy(rng: np.random.Generator, image: np.ndarray, power: np.ndarray, snr_db: float) -> np.ndarray:
    if not snr_db:
        return image
    std = noise_std(power, snr_db).astype(np.float32)
    return image + std[:, None, None] * rng.standard_normal(image.shape, dtype=np.float32)
