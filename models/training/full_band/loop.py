"""The training loop of the full-band models: DDPM-Fus, HSR-Diff and DDRF, each with its paper's objective, loss and
schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...diffusion.losses import LOSSES, three_terms
from ...diffusion.objectives import Residual, make_denoiser, noised
from ...diffusion.schedules import continuous, draw_timesteps, from_card
from ...errors import HSFusionError
from ...networks.ddrf import DDRF, training_self_condition
from ...runners.full_band import NETWORKS
from ..distributed import World
from ..fields import require
from ..trainer import TrainerBase
from .config import THREE_TERMS, FullBandConfig
from .data import Batch, Observed, PatchSource
from .patch_observation import PatchObservation


def build_full_band(config: FullBandConfig) -> nn.Module:
    """The network of a configuration; HSFusionError where its settings or sizes do not suit it."""
    centres, _ = config.bands.nanometres("bands")
    msi_centres, _ = config.msi.nanometres("msi")
    bands = {"hsi_bands": len(centres), "msi_bands": len(msi_centres)}
    try:
        network = NETWORKS[config.architecture](**bands, **config.settings)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise HSFusionError(
            f"The configuration's key settings does not suit {config.architecture}: {error}."
        ) from error
    for number, stage in enumerate(config.stages):
        require(
            stage.size % network.multiple == 0,
            f"stages[{number}].size",
            f"be a multiple of {network.multiple} for this network",
            stage.size,
        )
        require(
            not stage.second_half_only or hasattr(network, "only_second_half"), f"stages[{number}].second_half_only",
            "be left out: only hsr-diff has two halves", True,
        )  # fmt: skip
    return network


class FullBandTrainer(TrainerBase):
    """A full-band network and the scenes it learns from; response: R (l, L) of a simulated MSI."""

    config: FullBandConfig

    def __init__(
        self,
        config: FullBandConfig,
        scenes: list[Observed],
        response: np.ndarray | None,
        device: str = "cpu",
        world: World | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        network = build_full_band(config).to(device, memory_format=torch.channels_last)
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        super().__init__(config, network, optimizer, device, world or World())
        self.validations = config.validations
        self.levels = from_card(config.level_schedule).to(self.device)
        self.denoiser = make_denoiser(config.objective, network, self.levels, scale_input=config.sees_scaled_input)
        self.source = PatchSource(scenes, config, response)
        self.response = None if response is None else torch.from_numpy(response).to(self.device)

    def phases(self) -> Iterator[tuple[int, int]]:
        """The stages."""
        first = 0
        for stage in self.config.stages:
            yield first, stage.steps
            first += stage.steps

    def batch_size(self) -> int:
        """Of the present stage."""
        return self.config.stage(self.step).batch

    def learning_rate(self, step: int) -> float:
        """Warm-up, then falls at `milestones`, or a straight line down at the end (`cooldown`), or cosine cycles with
        warm restarts (one over the whole run where `cycle` is 0)."""
        config = self.config
        if step < config.warmup:
            return config.learning_rate * (step + 1) / config.warmup
        if config.milestones:
            return config.learning_rate * config.decay ** sum(step >= m for m in config.milestones)
        if config.cooldown:
            left = (config.steps - step) / (config.cooldown * config.steps)
            return config.learning_rate * max(config.least_rate, min(1.0, left))
        length = config.cycle or max(1, config.steps - config.warmup)
        share = (step - config.warmup) % length / length
        floor = config.least_rate
        return config.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))

    def step_loss(self, generator: torch.Generator) -> Tensor:
        """The loss of fresh patches of the present stage's size."""
        config, stage = self.config, self.config.stage(self.step)
        if stage.second_half_only or hasattr(self.network, "only_second_half"):
            self.network.only_second_half = stage.second_half_only
        torch.manual_seed(generator.initial_seed())  # dropout too is a function of the step
        rng = np.random.default_rng([config.seed, 2, self.step, self.world.rank])
        return self.loss(self.source.draw(rng, self.world.share(stage.batch), stage.size), generator)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Noise to random levels, predict, compare: plain losses in the objective's own terms, three-term ones on the
        image."""
        config, count = self.config, len(batch.truth)
        truth, hsi_up, msi = (
            t.to(self.device, memory_format=torch.channels_last) for t in (batch.truth, batch.hsi_up, batch.msi)
        )
        base = Residual(hsi_up if config.residual else None, config.residual_scale)
        x0 = base.encode(truth)
        level = self._levels(count, generator)
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        x = noised(x0, eps, level)
        given: dict[str, Any] = {"msi": msi, "hsi_up": hsi_up}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            if isinstance(self.network, DDRF):
                given["self_condition"] = training_self_condition(
                    partial(self.denoiser, **given), x, level, config.self_condition
                )
            prediction = self.denoiser.predict(x, level, **given).float()
        if config.loss != THREE_TERMS:
            return LOSSES[config.loss](prediction, self.denoiser.target(x0, eps, level))
        image = base.decode(self.denoiser.to_x0(x, prediction, level))
        if self.response is None:
            raise HSFusionError(
                "The configuration's key loss must be another one where the MSI is real, but it is three-term."
            )
        observed = PatchObservation(config.observation.sampling(), self.response, batch.gain.to(truth))
        hsi = observed.inner(batch.hsi.to(truth))
        return three_terms(image, truth, hsi, msi, observed.spatial, observed.spectral)

    def _levels(self, count: int, generator: torch.Generator) -> Tensor:
        """(B,) signal amplitudes: of the integer t, or between two of them (HSR-Diff); the last one alone for a
        regression."""
        steps = len(self.levels) - 1
        t = draw_timesteps(steps, count, 1.0 if self.config.regression else self.config.terminal_share, generator)
        if self.config.continuous_levels and not self.config.regression:
            return continuous(self.levels, t.to(self.device), torch.rand(count, generator=generator))
        return self.levels[t.to(self.device)]
