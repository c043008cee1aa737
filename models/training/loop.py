"""The training loop of the subspace model: Huber regression of the residual at every noise level, most of it at the highest."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..diffusion.schedules import zero_terminal_cosine
from ..errors import HSFusionError
from ..networks.unfolded import build_network
from .config import TrainingConfig
from .physics import consistent, stacked
from .pool import PatchPool
from .simulation import Patch

log = logging.getLogger(__name__)
FIRST_SHARE, RAW_SHARE = (
    0.25,
    0.1,
)  # of the loss: the first network's estimate, and the second's before data consistency
LEAST_WEIGHT = 0.15  # of a component, however little it weighs in the raster's units: spectra keep their shape


@dataclass
class Progress:
    """What a training run reports after a step."""

    step: int
    steps: int
    loss: float
    samples_per_second: float


class Trainer:
    """Network, optimiser, moving average and the pool; `run` trains to the end, checkpointing on the way."""

    def __init__(self, config: TrainingConfig, scenes: list[np.ndarray], workers: int = 1, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.step = config, torch.device(device), 0
        settings = {"components": config.components, "width": config.width, "depth": config.depth}
        self.network = build_network(settings).to(self.device, memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
        )
        self.signals = zero_terminal_cosine(config.diffusion_steps).to(self.device)
        self.pool = PatchPool(scenes, config, workers)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 2 %."""
        if step < self.config.warmup:
            return self.config.learning_rate * (step + 1) / self.config.warmup
        share = (step - self.config.warmup) / max(1, self.config.steps - self.config.warmup)
        return self.config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))

    def loss(self, patches: list[Patch], generator: torch.Generator) -> Tensor:
        """Weighted Huber loss of x0 at random levels after data consistency, and the Laplace likelihood of the error head at the highest one."""
        config = self.config
        given, target, numbers, weight = (
            torch.from_numpy(np.stack(arrays)).to(self.device).float() for arrays in _columns(patches)
        )
        given = given.to(torch.bfloat16 if config.bf16 else torch.float32, memory_format=torch.channels_last)
        physics = stacked([p.physics for p in patches], self.device)
        count = len(patches)
        level = torch.randint(1, config.diffusion_steps, (count,), generator=generator)
        level[torch.rand(count, generator=generator) < config.terminal_share] = config.diffusion_steps
        signal = self.signals[level.to(self.device)].float()
        noise = torch.randn(target.shape, generator=generator).to(self.device)
        a, s = signal[:, None, None, None], (1 - signal**2).clamp_min(0).sqrt()[:, None, None, None]
        noisy = (a * target + s * noise).to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bf16):
            raw = self.network.mean(given, numbers)
        first = consistent(raw, physics)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bf16):
            estimate = self.network(noisy, signal, given, numbers, raw, first)
        mean = consistent(estimate.mean, physics)

        def huber(x: Tensor) -> Tensor:
            return F.huber_loss(x, target, reduction="none", delta=config.huber)

        importance = (LEAST_WEIGHT + (1 - LEAST_WEIGHT) * weight**2)[:, :, None, None]
        error = huber(mean) + FIRST_SHARE * huber(first) + RAW_SHARE * huber(estimate.mean)
        terminal = (signal == 0).float()[:, None, None, None]
        log_error = estimate.log_error.clamp(-8, 8)
        likelihood = (mean - target).detach().abs() * (-log_error).exp() + log_error
        return (importance * error).mean() + config.error_head_weight * (terminal * likelihood).mean()

    def train_step(self) -> float:
        """One step of optimiser and average; raises HSFusionError when the loss is no number."""
        config = self.config
        self.pool.advance(self.step)
        patches = self.pool.sample(np.random.default_rng([config.seed, 1, self.step]), config.batch)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(patches, generator)
        loss.backward()
        value, slope = (
            float(loss.detach()),
            float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)),
        )
        if not (math.isfinite(value) and math.isfinite(slope)):
            raise HSFusionError(
                f"The loss or its gradient is no longer a number at step {self.step}: the last good checkpoint is kept; "
                "lower learning_rate and resume."
            )
        self.optimizer.step()
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        for name, parameter in self.network.state_dict().items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        self.step += 1
        return value

    def run(
        self,
        checkpoint: Path,
        report: Callable[[Progress], None],
        validate: Callable[[int], None],
        minutes_between: float = 3.0,
    ) -> None:
        """Train to the last step; a checkpoint every few minutes, `validate` at every tenth of the run and at its end."""
        saved, mean_loss, started, first = time.monotonic(), 0.0, time.monotonic(), self.step
        while self.step < self.config.steps:
            value = self.train_step()
            mean_loss = value if self.step == first + 1 else 0.99 * mean_loss + 0.01 * value
            rate = (self.step - first) * self.config.batch / (time.monotonic() - started)
            report(Progress(self.step, self.config.steps, mean_loss, rate))
            if time.monotonic() - saved > 60 * minutes_between or self.step == self.config.steps:
                self.save(checkpoint)
                saved = time.monotonic()
            if self.step % max(1, self.config.steps // 10) == 0 or self.step == self.config.steps:
                validate(self.step)

    def save(self, path: Path) -> None:
        """Network, average, optimiser and step in one safetensors file, written beside and renamed."""
        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors.update({f"average.{k}": v.contiguous() for k, v in self.average.items()})
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{number}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()})
        metadata = {"step": str(self.step), "config": json.dumps(self.config.to_dict(), sort_keys=True)}
        partial = path.with_suffix(".partial")
        save_file(tensors, str(partial), metadata)
        os.replace(partial, path)

    def resume(self, path: Path) -> None:
        """Continue exactly where `save` left off; a checkpoint of another configuration is refused."""
        with safe_open(str(path), "pt") as stream:
            metadata = stream.metadata()
        if json.loads(metadata["config"]) != json.loads(json.dumps(self.config.to_dict())):
            raise HSFusionError(
                f"The checkpoint {path} belongs to another configuration: start without --resume or restore the configuration."
            )
        tensors = load_file(str(path))
        self.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
        self.average = {k[8:]: v.to(self.device) for k, v in tensors.items() if k.startswith("average.")}
        state = self.optimizer.state_dict()
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                state["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(state)
        self.step = int(metadata["step"])
        log.info("resumed at step %d", self.step)


def _columns(patches: list[Patch]) -> list[list[np.ndarray]]:
    return [[getattr(p, name) for p in patches] for name in ("conditions", "target", "scalars", "weight")]
