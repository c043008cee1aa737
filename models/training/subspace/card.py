"""The model card that a training run writes into its weights."""

from __future__ import annotations

from typing import Any

from ...cards import OBJECTIVE
from ...networks.subspace_unet import MULTIPLE
from ...version import VERSION
from ..fields import plain
from .config import TrainingConfig

HALO = 40  # fine pixels around the core per block of depth
# At depth 1 the first network can see 28 pixels to each side and the second 52, with data consistency between them,
# but what lies beyond 40 of them moves no pixel of the core by more than 1e-5 of the data range (5e-5 with random
# weights), whatever PSF, ratio and noise.


def make_card(config: TrainingConfig, steps: int, minutes: float, history: list[dict[str, Any]]) -> dict[str, Any]:
    """What a user and the backend need to know of these weights."""
    sensors = config.sensors
    return {
        "name": config.name,
        "architecture": "unfolded-subspace-unet",
        "settings": {"components": config.components, "width": config.width, "depth": config.depth},
        "spectral_mode": "subspace",
        "components": config.components,
        "ratios": [float(min(sensors.ratios)), float(max(sensors.ratios))],
        "fwhm": list(map(float, sensors.fwhm)),
        "snr_db": list(map(float, sensors.snr_db)),
        "msi_bands": [int(sensors.msi_bands[0]), int(sensors.msi_bands[1])],
        "objective": OBJECTIVE,
        "schedule": {"kind": "zero-terminal-cosine", "steps": config.diffusion_steps},
        "default_steps": config.default_steps,
        "normalisation": "unit variance per noise-whitened component over the scene",
        "tile_invariant": True,
        "tile_multiple": MULTIPLE,
        "halo": HALO * config.depth,
        "training": {
            "scenes": list(config.scenes),
            "held_out": list(config.held_out),
            "steps": steps,
            "batch": config.batch,
            "patch": config.patch,
            "minutes": round(minutes, 1),
            "configuration": plain(config.to_dict()),
        },
        "scores": plain(history[-1]["scores"]) if history else {},
        "licence": config.licence,
        "code_version": VERSION,
    }
