"""A network of one sensor on a pair of another: bands and ratio interpolated, as HSR-Diff runs its Pavia network on
HypSen (section 4.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hsfusion.models.observation import Sampling, Upsampling
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.scene.pixels.scaling import Scaling
from hsfusion.models.scene.sensors.spectral_grid import interpolation
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.data import Observed
from hsfusion.models.training.full_band.validation import Trial


def fuse_interpolated(
    pair: Observed, config: FullBandConfig, card: dict[str, Any], runner: FullBandRunner, steps: int
) -> np.ndarray:
    """(L, H, W) on the pair's bands: the network sees both images on its own, and what it adds to the interpolated
    HSI is carried back."""
    sampling = config.observation.sampling()
    here, msi_here = config.bands.nanometres("bands")[0], config.msi.nanometres("msi")[0]
    trained, msi_trained = (np.asarray(card[key], float) for key in ("wavelengths", "msi_centres"))
    into, back = interpolation(here, trained), interpolation(trained, here)
    offset, scale = (v[:, None, None] for v in (pair.scaling.offset, pair.scaling.msi))
    msi = np.tensordot(interpolation(msi_here, msi_trained), (pair.msi - offset) / scale, axes=1).astype(np.float32)
    seen = replace(
        pair,
        hsi=np.tensordot(into, pair.hsi, axes=1).astype(np.float32),
        msi=msi,
        scaling=Scaling(pair.scaling.hsi, np.ones(len(msi)), np.zeros(len(msi))),
    )
    base = Upsampling.whole(sampling, pair.msi.shape[1:])
    found = Trial(seen, sampling, {}).fuse(runner, steps=steps)
    return base(pair.hsi) + np.tensordot(back, found - base(seen.hsi), axes=1).astype(np.float32)


def same_bands(config: FullBandConfig, card: dict[str, Any], sampling: Sampling) -> bool:
    """Whether a pair of the configuration is what the card's network was trained on."""
    counts = len(config.bands.nanometres("bands")[0]), len(config.msi.nanometres("msi")[0])
    return counts == (int(card["bands"]), int(card["msi_bands"])) and sampling.ratio == card["ratios"][0]
