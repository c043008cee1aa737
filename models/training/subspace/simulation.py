"""One training example: a random sensor pair over a real scene, all closed forms of it, and what they leave."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ...errors import HSFusionError
from ...networks.inputs import TARGET_LIMIT, conditions, pad_components, scalars
from ...observation import Degradation, Sampling, coarse_shape, noise_std
from ...scene.block import whole_block
from ...scene.methods.subspace import ClosedForms, denoised
from ...scene.model import fit_scene
from .config import Sensors, TrainingConfig
from .mismatch import mismatched
from .physics import Physics, ScenePhysics
from .synthetic import synthetic_scene

LEAST_VIEW, LARGEST_VIEW = 96, 120  # fine pixels
MOST_ATTEMPTS = 20  # drawings for each one that is used
GAIN_KNOTS, GAIN_STD = 6, 0.4  # of the logarithm of random gains along the spectrum
LEAST_PIXELS = 100  # coarse pixels below which no scene model is fitted


@dataclass(frozen=True)
class Patch:
    """conditions (C, p, p) and target (K, p, p) in float16; scalars (S,) and the components' `error_share` (K,) in
    float32; its data consistency.
    """

    conditions: np.ndarray
    target: np.ndarray
    scalars: np.ndarray
    error_share: np.ndarray
    physics: Physics


@dataclass(frozen=True)
class Observed:
    """A simulated pair with its truth (L, H, W) and the sampling that a method is told, right or a little wrong."""

    truth: np.ndarray
    hsi: np.ndarray
    msi: np.ndarray
    assumed: Sampling


def random_response(rng: np.random.Generator, bands: int, msi_bands: int, visible_only: bool) -> np.ndarray:
    """R (l, L) of a random sensor: smooth bands at random places, or in the first third of the range as a camera sees
    400-2500 nm.
    """
    stop = bands * (rng.uniform(0.2, 0.5) if visible_only else 1.0)
    if msi_bands == 1:
        centres, widths = np.array([rng.uniform(0.3, 0.7) * stop]), np.array([rng.uniform(0.25, 0.6) * stop])
    else:
        centres = np.sort(rng.uniform(0.02, 0.98, msi_bands)) * stop
        widths = np.exp(rng.uniform(np.log(0.02), np.log(0.2), msi_bands)) * stop
    distance = np.abs(np.arange(bands)[None, :] - centres[:, None]) / np.maximum(widths, 1.0)[:, None]
    sharpness = rng.choice([2.0, 6.0])  # a Gaussian, or nearly a box
    response = np.exp(-np.log(2.0) * (2.0 * distance) ** sharpness)
    response[np.arange(msi_bands), np.clip(np.round(centres).astype(int), 0, bands - 1)] += 1e-3
    return response / response.sum(axis=1, keepdims=True)


def random_view(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """The scene with some of its bands, cut to at most LARGEST_VIEW pixels or continued by its mirror image towards
    LEAST_VIEW, flipped and turned.
    """
    top, left = (int(rng.integers(0, max(n - LARGEST_VIEW, 0) + 1)) for n in scene.shape[1:])
    scene = scene[:, top : top + LARGEST_VIEW, left : left + LARGEST_VIEW]
    missing = ((0, min(max(LEAST_VIEW - n, 0), n)) for n in scene.shape[1:])
    scene = np.pad(scene, ((0, 0), *missing), mode="symmetric")
    bands = scene.shape[0]
    start = rng.integers(0, max(1, bands // 3)) if rng.random() < 0.3 else 0
    view = scene[start :: rng.integers(1, 4)] if bands > 60 else scene
    if rng.random() < 0.5:
        view = view[:, ::-1]
    if rng.random() < 0.5:
        view = view[:, :, ::-1]
    return view.transpose(0, 2, 1) if rng.random() < 0.5 else view


def observe(rng: np.random.Generator, scene: np.ndarray, sensors: Sensors) -> Observed | None:
    """Simulate a random pair; None where the drawn ratio leaves too few coarse pixels of this scene."""
    ratio = float(rng.choice(sensors.ratios))
    height, width = scene.shape[1:]
    if (height // ratio) * (width // ratio) < LEAST_PIXELS:
        return None
    h, w = int(height // ratio), int(width // ratio)
    fine = int(round(h * ratio)), int(round(w * ratio))
    if coarse_shape(fine, ratio) != (h, w):
        return None
    truth = scene[:, : fine[0], : fine[1]]
    if rng.random() < sensors.noisy_reference_share:
        truth = _noisy(rng, truth, rng.uniform(*sensors.reference_snr_db))
    fwhm = float(np.exp(rng.uniform(np.log(sensors.fwhm[0]), np.log(sensors.fwhm[1]))))
    sampling = Sampling(ratio, fwhm, fwhm)
    hsi = Degradation.whole(sampling, fine)(truth)

    panchromatic = rng.random() < sensors.panchromatic_share
    count = 1 if panchromatic else int(rng.integers(max(2, sensors.msi_bands[0]), sensors.msi_bands[1] + 1))
    count = min(count, truth.shape[0] - 1)
    response = random_response(rng, truth.shape[0], count, rng.random() < sensors.visible_only_share)
    msi = np.tensordot(response.astype(np.float32), truth, axes=1)
    if rng.random() < sensors.mismatch_share:
        msi = mismatched(rng, msi)
    if rng.random() >= sensors.clean_share:
        hsi = _noisy(rng, hsi, rng.uniform(*sensors.snr_db))
        msi = _noisy(rng, msi, rng.uniform(*sensors.snr_db))
    error = sensors.fwhm_error[1] if rng.random() < sensors.fwhm_error_share else sensors.fwhm_error[0]
    believed = float(np.clip(fwhm * np.exp(error * rng.standard_normal()), 0.5, 2.6))
    return Observed(truth, hsi, msi, replace(sampling, fwhm_y=believed, fwhm_x=believed))


def _noisy(rng: np.random.Generator, image: np.ndarray, snr_db: float) -> np.ndarray:
    std = noise_std((image.astype(np.float64) ** 2).mean(axis=(1, 2)), snr_db)
    return image + std[:, None, None].astype(np.float32) * rng.standard_normal(image.shape, dtype=np.float32)


@dataclass(frozen=True)
class Example:
    """A whole simulated scene as the network sees it: conditions (C, H, W), target (K, H, W) = (truth - base) /
    expected spread, scalars (S,), error_share (K,) and what makes an estimate consistent with both images.
    """

    conditions: torch.Tensor
    target: torch.Tensor
    scalars: np.ndarray
    error_share: np.ndarray
    physics: ScenePhysics

    def patch(self, top: int, left: int, size: int) -> Patch:
        """The patch of `size` fine pixels whose first one is (top, left)."""
        cut = (slice(None), slice(top, top + size), slice(left, left + size))
        return Patch(
            self.conditions[cut].half().numpy(),
            self.target[cut].half().numpy(),
            self.scalars,
            self.error_share,
            self.physics.cut(top, left, size),
        )


def example(observed: Observed, components: int) -> Example:
    """The scene model, the closed forms and what they leave of the truth."""
    block = whole_block(observed.hsi, observed.msi)
    scene = fit_scene([block], observed.assumed, components)
    y = scene.subspace.project(observed.hsi).astype(np.float32)
    truth = scene.subspace.project(observed.truth).astype(np.float32)
    place = block.place
    z, quiet = denoised(scene.standardise(observed.msi), block.z_mask, scene.coefficients, place)
    model = pad_components(quiet, components)
    y, truth = (np.concatenate([a, np.zeros((components - len(a), *a.shape[1:]), np.float32)]) for a in (y, truth))
    low, high, *masks = (torch.from_numpy(a.astype(np.float32)) for a in (y, z, block.y_mask, block.z_mask))
    forms = ClosedForms(low, high, *masks, model, place)
    scale = torch.from_numpy(model.target_std.astype(np.float32))[:, None, None]
    target = ((torch.from_numpy(truth) - forms.average) / scale).clamp(-TARGET_LIMIT, TARGET_LIMIT)
    return Example(
        conditions(forms, model),
        target,
        scalars(model),
        model.error_share().astype(np.float32),
        ScenePhysics.of(model, forms, low, high, target, place.operators(model)[0]),
    )


def random_gains(rng: np.random.Generator, bands: int) -> np.ndarray:
    """(L, 1, 1) float32: a smooth gain of every band, as another sun, atmosphere or calibration would give it; it turns
    the scene's subspace.
    """
    knots = GAIN_STD * rng.standard_normal(GAIN_KNOTS)
    log_gain = np.interp(np.linspace(0, GAIN_KNOTS - 1, bands), np.arange(GAIN_KNOTS), knots)
    return np.exp(log_gain).astype(np.float32)[:, None, None]


def draw_view(
    rng: np.random.Generator, scenes: list[np.ndarray], shares: np.ndarray, config: TrainingConfig
) -> np.ndarray:
    """A view of a scene, or of a synthetic one made of two, some with other gains of their bands."""
    view = random_view(rng, scenes[rng.choice(len(scenes), p=shares)])
    if rng.random() < config.synthetic_share:
        spectra = scenes[rng.choice(len(scenes), p=shares)]
        view = synthetic_scene(rng, spectra[:: rng.integers(1, 4)] if len(spectra) > 60 else spectra, view)
    if rng.random() < config.gains_share:
        view = view * random_gains(rng, len(view))
    return np.ascontiguousarray(view)


def draw_chunk(scenes: list[np.ndarray], config: TrainingConfig, chunk: int) -> list[Patch]:
    """The patches of chunk number `chunk`: a pure function of the scenes, the configuration and the number."""
    rng = np.random.default_rng([config.seed, chunk])
    sizes = np.array([min(np.sqrt(s.shape[1] * s.shape[2]), 2.0 * LARGEST_VIEW) for s in scenes])
    patches: list[Patch] = []
    attempts = 0
    while len(patches) < config.draws_per_chunk * config.patches_per_draw:
        attempts += 1
        if attempts > MOST_ATTEMPTS * config.draws_per_chunk:
            raise HSFusionError(
                f"Hardly a patch of {config.patch} pixels can be drawn: the scenes are too small for the patch or the "
                "ratios."
            )
        observed = observe(rng, draw_view(rng, scenes, sizes / sizes.sum(), config), config.sensors)
        if observed is None:
            continue
        try:
            drawn = example(observed, config.components)
        except HSFusionError:  # a view without contrast: there is nothing to fuse in it, and nothing to learn
            continue
        height, width = drawn.target.shape[1:]
        finite = torch.isfinite(drawn.conditions).all() and torch.isfinite(drawn.target).all()
        if min(height, width) < config.patch or not finite:
            continue
        for _ in range(config.patches_per_draw):
            top, left = (int(rng.integers(0, n - config.patch + 1)) for n in (height, width))
            patches.append(drawn.patch(top, left, config.patch))
    return patches
