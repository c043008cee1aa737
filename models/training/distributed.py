"""Several processes that train one network: each takes its share of every batch, and all take the same step."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import HSFusionError

PATIENCE = timedelta(hours=2)  # the others wait while the first process validates


@dataclass(frozen=True)
class World:
    """This process's number and how many there are."""

    rank: int = 0
    size: int = 1

    def share(self, batch: int) -> int:
        """Items of a batch that this process takes; HSFusionError where it cannot be divided evenly."""
        if batch % self.size:
            raise HSFusionError(
                f"A batch of {batch} cannot be divided among {self.size} processes: choose another number of processes "
                "or another batch."
            )
        return batch // self.size


def join_world(device: str) -> World:
    """The processes that torchrun started (gloo on CPUs, nccl on GPUs), or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    return World(dist.get_rank(), dist.get_world_size())


def leave_world(world: World) -> None:
    """Ends what `join_world` began."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor], loss: Tensor, world: World) -> Tensor:
    """Gradients become their mean over all processes, in one exchange; returns the mean of the losses."""
    if world.size == 1:
        return loss
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([*(g.reshape(-1) for g in gradients), loss.detach().reshape(1).to(gradients[0])])
    dist.all_reduce(flat)
    flat /= world.size
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()
    return flat[-1]


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all bits."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def check_equal(tensors: Mapping[str, Tensor], world: World) -> None:
    """HSFusionError unless all processes hold the same bits."""
    if world.size == 1:
        return
    digests: list[str] = [""] * world.size
    dist.all_gather_object(digests, digest(tensors))
    if len(set(digests)) > 1:
        raise HSFusionError(
            "The processes' networks have drifted apart: the run cannot be trusted; use the same hardware for all of "
            "them."
        )
