"""What every training run shares: a step, a moving average, checkpoints that a resumed run continues from to
the bit.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import HSFusionError
from ..runners.precision import has_bfloat16
from ..runners.weights import load_state
from .distributed import World, average_gradients, check_equal

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """What a training run reports after a step."""

    step: int
    steps: int
    loss: float
    samples_per_second: float


def is_checkpoint(path: Path) -> bool:
    """Whether a safetensors file is a checkpoint of a run, and not a model."""
    with safe_open(str(path), "pt") as stream:
        return "step" in (stream.metadata() or {})


class TrainerBase(ABC):
    """Network, optimiser and moving average; `run` trains to the end, checkpointing on the way. Subclasses say what a
    step learns from.

    config has name, seed, steps, gradient_clip, ema and bf16, and `to_dict()`; bf16 counts only where the device
    multiplies in it.
    """

    config: Any
    validations = 10

    def __init__(
        self, config: Any, network: nn.Module, optimizer: torch.optim.Optimizer, device: str, world: World
    ) -> None:
        self.config, self.device, self.world = config, torch.device(device), world
        self.network, self.optimizer = network, optimizer
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.step, self.seconds, self.cpu_seconds = 0, 0.0, 0.0
        on_gpu = self.device.type == "cuda"
        self.bf16 = bool(config.bf16 and (torch.cuda.is_bf16_supported() if on_gpu else has_bfloat16()))

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Of step number `step`."""

    @abstractmethod
    def step_loss(self, generator: torch.Generator) -> Tensor:
        """The loss of the present step's batch, this process's share of it; a function of the seed, the step and the
        process alone.
        """

    @abstractmethod
    def batch_size(self) -> int:
        """Of the present step, over all processes."""

    def close(self) -> None:  # noqa: B027
        """End what runs beside the training."""

    def phases(self) -> Iterator[tuple[int, int]]:
        """(first step, number of steps) of the parts of a run whose steps take different times."""
        yield 0, self.config.steps

    def train_step(self) -> float:
        """One step of optimiser and average; raises HSFusionError when the loss is no number."""
        config = self.config
        began, cpu = time.monotonic(), time.process_time()
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step + 7_919_000_003 * self.world.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.step_loss(generator)
        loss.backward()
        value = float(average_gradients(self.network.parameters(), loss.detach(), self.world))
        limit = config.gradient_clip or math.inf
        slope = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit))
        if not (math.isfinite(value) and math.isfinite(slope)):
            raise HSFusionError(
                f"The loss or its gradient is no longer a number at step {self.step}: the last good checkpoint is "
                "kept; "
                "lower learning_rate and resume."
            )
        self.optimizer.step()
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        learned = self.network.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [learned[name].detach() for name in self.average], 1 - decay)
        self.step += 1
        self.seconds += time.monotonic() - began
        self.cpu_seconds += time.process_time() - cpu
        return value

    def run(
        self,
        checkpoint: Path,
        report: Callable[[Progress], None],
        validate: Callable[[int], None],
        minutes_between: float = 3.0,
    ) -> None:
        """Train to the last step; a checkpoint every few minutes, `validate` every so often and at the end, both by the
        first process only.
        """
        saved, mean_loss, started, first, seen = time.monotonic(), 0.0, time.monotonic(), self.step, 0
        first_process, every = self.world.rank == 0, max(1, self.config.steps // self.validations)
        while self.step < self.config.steps:
            seen += self.batch_size()
            value = self.train_step()
            mean_loss = value if self.step == first + 1 else 0.99 * mean_loss + 0.01 * value
            if not first_process:
                continue
            report(Progress(self.step, self.config.steps, mean_loss, seen / (time.monotonic() - started)))
            if time.monotonic() - saved > 60 * minutes_between or self.step == self.config.steps:
                self.save(checkpoint)
                saved = time.monotonic()
            if self.step % every == 0 or self.step == self.config.steps:
                validate(self.step)
        check_equal(self.average, self.world)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Begin with these weights instead of random ones; HSFusionError where they are those of another network."""
        self.network.load_state_dict(self.suited(state))
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def suited(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a model as those of this network, float32; HSFusionError where they are another's."""
        wanted = self.network.state_dict()
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in wanted.items()}:
            raise HSFusionError(
                "The weights to start from belong to another network: their configuration must be the same."
            )
        return {k: v.float().to(self.device) for k, v in state.items()}

    def average_with(self, files: Sequence[Path]) -> list[int]:
        """The moving average becomes the mean of itself and those of earlier checkpoints of this run, or of the model
        that it started from; their steps, 0 for the latter.

        Weights that were found one after the other on one path err unlike each other (Izmailov et al. 2018; Wortsman et
        al. 2022 for the first and the last). HSFusionError where one is of another configuration.
        """
        steps, states = [], [self.average]
        for path in files:
            step, state = self._weights(path)
            steps.append(step)
            states.append(state)
        self.average = {name: sum(state[name] for state in states) / len(states) for name in self.average}
        return steps

    def _weights(self, path: Path) -> tuple[int, dict[str, Tensor]]:
        """Step and moving average of a checkpoint, or 0 and the weights of a model file."""
        if not is_checkpoint(path):
            return 0, self.suited(load_state(path))
        metadata, tensors = self._checkpoint(path)
        return int(metadata["step"]), {k[8:]: v.to(self.device) for k, v in tensors.items() if k.startswith("average.")}

    def save(self, path: Path) -> None:
        """Network, average, optimiser and step in one safetensors file, written beside and renamed."""
        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors.update({f"average.{k}": v.contiguous() for k, v in self.average.items()})
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{number}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()})
        metadata = {
            "step": str(self.step),
            "config": json.dumps(self.config.to_dict(), sort_keys=True),
            "seconds": str(self.seconds),
            "cpu_seconds": str(self.cpu_seconds),
        }
        partial = path.with_suffix(".partial")
        save_file(tensors, str(partial), metadata)
        os.replace(partial, path)

    def resume(self, path: Path) -> None:
        """Continue exactly where `save` left off; a checkpoint of another configuration is refused, unless it differs
        in the steps alone.
        """
        metadata, tensors = self._checkpoint(path)
        self.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
        self.average = {k[8:]: v.to(self.device) for k, v in tensors.items() if k.startswith("average.")}
        state, parameters = self.optimizer.state_dict(), list(self.network.parameters())
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                like = parameters[int(number)]
                if (
                    value.shape == like.shape
                ):  # in the parameter's memory layout, which fused optimisers take for granted
                    value = torch.empty_like(like).copy_(value)
                state["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(state)
        self.step = int(metadata["step"])
        self.seconds, self.cpu_seconds = (float(metadata.get(k, 0.0)) for k in ("seconds", "cpu_seconds"))
        log.info("resumed at step %d", self.step)

    def _checkpoint(self, path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
        """Metadata and tensors of a checkpoint of this configuration."""
        with safe_open(str(path), "pt") as stream:
            metadata = stream.metadata()
        then, now = json.loads(metadata["config"]), json.loads(json.dumps(self.config.to_dict()))
        if _without_length(then) != _without_length(now):
            raise HSFusionError(
                f"The checkpoint {path} belongs to another configuration: start without --resume or restore the "
                "configuration."
            )
        tensors = load_file(str(path))
        return metadata, tensors


def _without_length(plain: dict[str, Any]) -> dict[str, Any]:
    """A configuration but for its number of steps: a run may be made longer or shorter while it lasts."""
    stages = [{k: v for k, v in stage.items() if k != "steps"} for stage in plain.get("stages", [])]
    return {**{k: v for k, v in plain.items() if k != "steps"}, "stages": stages}
