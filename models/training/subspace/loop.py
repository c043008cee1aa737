"""The training loop of the subspace model: Huber regression of the residual at every noise level, most of it at the
highest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.schedules import zero_terminal_cosine
from ...networks.grown import grown
from ...networks.unfolded import build_network
from ..distributed import World
from ..trainer import Progress, TrainerBase
from .config import TrainingConfig
from .physics import consistent, stacked
from .pool import PatchPool
from .simulation import Patch
from .symmetries import another

__all__ = ["Progress", "Trainer"]
FIRST_SHARE, RAW_SHARE = (
    0.25,
    0.1,
)  # of the loss: the first network's estimate, and the second's before data consistency
LEAST_WEIGHT = (
    0.2  # of a component, however little it adds to the error in the raster's units: spectra keep their shape
)


class Trainer(TrainerBase):
    """The subspace network and its pool of patches."""

    config: TrainingConfig

    def __init__(
        self,
        config: TrainingConfig,
        scenes: list[np.ndarray],
        workers: int = 1,
        device: str = "cpu",
        world: World | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        settings = {"components": config.components, "width": config.width, "depth": config.depth}
        network = build_network(settings).to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
        )
        super().__init__(config, network, optimizer, device, world or World())
        self.signals = zero_terminal_cosine(config.diffusion_steps).to(self.device)
        self.pool = PatchPool(scenes, config, workers)

    def suited(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also the weights of a network that knew fewer closed forms."""
        return super().suited(grown(state, self.network))

    def forget(self) -> None:
        """Residuals of other closed forms are not these: begin at these forms themselves."""
        for part in (self.network.first, self.network.second):
            part.forget()
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def close(self) -> None:
        """End the drawing of patches."""
        self.pool.close()

    def batch_size(self) -> int:
        """The same at every step."""
        return self.config.batch

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 2 %."""
        if step < self.config.warmup:
            return self.config.learning_rate * (step + 1) / self.config.warmup
        share = (step - self.config.warmup) / max(1, self.config.steps - self.config.warmup)
        return self.config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))

    def loss(self, patches: list[Patch], generator: torch.Generator) -> Tensor:
        """Weighted Huber loss of x0 at random levels after data consistency, and the Laplace likelihood of the error
        head at the highest one.
        """
        config = self.config
        given, target, numbers, share = (
            torch.from_numpy(np.stack(arrays)).to(self.device).float() for arrays in _columns(patches)
        )
        given = given.to(torch.bfloat16 if self.bf16 else torch.float32, memory_format=torch.channels_last)
        physics = stacked([p.physics for p in patches], self.device)
        count = len(patches)
        level = torch.randint(1, config.diffusion_steps, (count,), generator=generator)
        level[torch.rand(count, generator=generator) < config.terminal_share] = config.diffusion_steps
        signal = self.signals[level.to(self.device)].float()
        noise = torch.randn(target.shape, generator=generator).to(self.device)
        a, s = signal[:, None, None, None], (1 - signal**2).clamp_min(0).sqrt()[:, None, None, None]
        noisy = (a * target + s * noise).to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            raw = self.network.mean(given, numbers)
        first = consistent(raw, physics)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            estimate = self.network(noisy, signal, given, numbers, raw, first)
        mean = consistent(estimate.mean, physics)

        def huber(x: Tensor) -> Tensor:
            return F.huber_loss(x, target, reduction="none", delta=config.huber)

        importance = (LEAST_WEIGHT + (1 - LEAST_WEIGHT) * share)[:, :, None, None]
        error = huber(mean) + FIRST_SHARE * huber(first) + RAW_SHARE * huber(estimate.mean)
        terminal = (signal == 0).float()[:, None, None, None]
        log_error = estimate.log_error.clamp(-8, 8)
        likelihood = (mean - target).detach().abs() * (-log_error).exp() + log_error
        return (importance * error).mean() + config.error_head_weight * (terminal * likelihood).mean()

    def step_loss(self, generator: torch.Generator) -> Tensor:
        """The loss of patches from the pool, each time seen from another side."""
        config, rank = self.config, self.world.rank
        self.pool.advance(self.step)
        key = [config.seed, 1, self.step, rank] if rank else [config.seed, 1, self.step]
        rng = np.random.default_rng(key)
        patches = [another(rng, patch) for patch in self.pool.sample(rng, self.world.share(config.batch))]
        return self.loss(patches, generator)


def _columns(patches: list[Patch]) -> list[list[np.ndarray]]:
    return [[getattr(p, name) for p in patches] for name in ("conditions", "target", "scalars", "error_share")]
