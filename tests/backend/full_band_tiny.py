"""Configurations of full-band models that train for a blink, and a scene for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hsfusion.models.training.full_band.config import (
    Bands,
    FullBandConfig,
    Observation,
    Source,
    Stage,
    check_full_band,
)
from hsfusion.models.training.full_band.data import Reference, observe, response_of
from hsfusion.models.training.full_band.loop import FullBandTrainer

SETTINGS = {
    "ddpm-fus": {"width": 8, "levels": 2},
    "hsr-diff": {"width": 8, "layers": 2, "heads": 2, "window": 4},
    "ddrf": {"width": 8, "multipliers": [1, 2], "blocks": 1},
}
BANDS, MSI = Bands(count=6, first=450, last=850), Bands(centres=(500.0, 700.0), widths=(100.0, 100.0))


def tiny(architecture: str = "ddpm-fus", **changes) -> FullBandConfig:
    """Six steps of a few kilobytes of network."""
    config = FullBandConfig(
        "tiny", architecture, (Source("one"),), BANDS, MSI, (Stage(16, 2, 6),), settings=SETTINGS[architecture],
        observation=Observation(ratio=4), schedule={"kind": "cosine", "steps": 50}, default_steps=2, bf16=False,
        learning_rate=2e-3, residual=architecture == "ddrf", validations=1,
    )  # fmt: skip
    return check_full_band(replace(config, **changes))


def make_trainer(make_scene, config: FullBandConfig, world=None) -> FullBandTrainer:
    """A trainer on one synthetic scene."""
    response = response_of(config)
    scene = observe(Reference("one", make_scene(6, 40, 48, seed=2)), config, response)
    return FullBandTrainer(config, [scene], response, world=world)


def same(a: dict, b: dict) -> bool:
    """Whether two state dictionaries hold the same bits."""
    return set(a) == set(b) and all(np.array_equal(a[k].numpy(), b[k].numpy()) for k in a)
