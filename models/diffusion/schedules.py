"""Schedules: each returns the levels (signal amplitudes, float64) of t = 0..T, shaped (T + 1,), starting at
exactly 1.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import torch
from torch import Tensor

from ..errors import HSFusionError

LEAST_BETA = 1e-6  # where a paper's beta_1 is 0: its posterior would be 0/0


def sigma(level: Tensor) -> Tensor:
    """Noise amplitude s = sqrt(1 - a^2) of signal amplitudes, without cancellation: same shape."""
    return ((1 - level) * (1 + level)).clamp_min(0).sqrt()


def levels_of_betas(betas: Tensor) -> Tensor:
    """Betas (T,) -> levels (T + 1,): abar_t is the product of 1 - beta (Ho et al. 2020, before eq. 4)."""
    return torch.cat([betas.new_ones(1, dtype=torch.float64), torch.cumprod(1 - betas.double(), 0).sqrt()])


def linear(steps: int = 2000, first: float = 0.0, last: float = 0.01) -> Tensor:
    """Betas linear from `first` to `last` (DDPM-Fus: 0 to 0.01 over 2000; Ho et al. 2020: 1e-4 to 0.02 over 1000)."""
    return levels_of_betas(torch.linspace(first, last, steps, dtype=torch.float64).clamp_min(LEAST_BETA))


def cosine(steps: int = 1000, offset: float = 0.008, greatest_beta: float = 0.999) -> Tensor:
    """abar_t = f(t) / f(0), f = cos^2 of (t/T + offset) / (1 + offset) quarter turns, betas clipped (Nichol & Dhariwal
    2021, eq. 17).
    """
    turn = (torch.arange(steps + 1, dtype=torch.float64) / steps + offset) / (1 + offset)
    f = torch.cos(turn * (math.pi / 2)) ** 2
    return levels_of_betas((1 - f[1:] / f[:-1]).clamp(LEAST_BETA, greatest_beta))


def zero_terminal(levels: Tensor) -> Tensor:
    """Shift and stretch the amplitudes so that the last is exactly 0 and a_1 stays (Lin et al. 2024, algorithm 1)."""
    first, last = levels[1], levels[-1]
    rescaled = (levels - last) * first / (first - last)
    return torch.cat([levels[:1], rescaled[1:-1], levels.new_zeros(1)])


def zero_terminal_cosine(steps: int = 1000) -> Tensor:
    """a_t = cos(t/T quarter turns): the cosine schedule without offset, whose last level is exactly 0; s_t is
    the sine.
    """
    levels = torch.cos(torch.arange(steps + 1, dtype=torch.float64) * (math.pi / 2 / steps))
    return torch.cat([levels[:-1], levels.new_zeros(1)])


def continuous(levels: Tensor, t: Tensor, uniform: Tensor) -> Tensor:
    """abar ~ U(abar_{t-1}, abar_t) (HSR-Diff; WaveGrad, Chen et al. 2021, algorithm 1, draws the root): t (B,) in 1..T,
    uniform (B,) -> (B,).
    """
    abar = levels**2
    return torch.lerp(abar[t - 1], abar[t], uniform.double().to(abar.device)).sqrt()


def subsequence(steps: int, count: int) -> Tensor:
    """`count` + 1 evenly spaced t from T = `steps` down to 0, both always in it: long (count + 1,).

    The common `range(0, T, T // count)` holds only t = 0 where count is 1, and never T.
    """
    if not 1 <= count <= steps:
        raise HSFusionError(f"The number of sampling steps must be between 1 and {steps}, but it is {count}.")
    return torch.linspace(steps, 0, count + 1, dtype=torch.float64).round().long()


def quadratic_subsequence(steps: int, count: int) -> Tensor:
    """As `subsequence`, denser near t = 0: T (i / count)^2 (Song et al. 2021, appendix D.2)."""
    evenly = subsequence(steps, count).double()
    picked = (evenly**2 / steps).round().long()
    least = torch.arange(count, -1, -1)  # rounding may repeat small t: push them apart
    return torch.maximum(picked, least)


def draw_timesteps(
    steps: int, count: int, terminal_share: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """t uniform in 1..T, and T itself with probability `terminal_share` (one step from there is the mean estimate):
    long (count,).
    """
    t = torch.randint(1, steps + 1, (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < terminal_share, torch.full_like(t, steps), t)


SCHEDULES: dict[str, Callable[..., Tensor]] = {
    "linear": linear,
    "cosine": cosine,
    "zero-terminal-cosine": zero_terminal_cosine,
}


def from_card(schedule: dict[str, Any]) -> Tensor:
    """Levels of a card's `schedule`: kind, its own keys (steps, first, last, ...), zero_terminal (bool); HSFusionError
    names what is wrong.
    """
    settings = dict(schedule)
    kind, rescale = settings.pop("kind", None), settings.pop("zero_terminal", False)
    if kind not in SCHEDULES:
        raise HSFusionError(f"The schedule's kind must be one of {', '.join(SCHEDULES)}, but it is {kind}.")
    try:
        levels = SCHEDULES[kind](**settings)
    except TypeError as error:
        raise HSFusionError(f"The schedule {kind} does not take these settings: {error}.") from error
    return zero_terminal(levels) if rescale else levels
