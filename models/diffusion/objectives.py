"""What a network may predict (eps, x0, v), and the wrappers that make each the same denoiser `(x, level) -> x0`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Callable

import torch
from torch import Tensor, nn

from ..errors import HSFusionError
from .schedules import sigma

Hook = Callable[[Tensor, Tensor], Tensor]


def amplitudes(level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """(a, s) of levels () or (B,), in `like`'s type and shaped to multiply a batch (B, ...); rounded only after the
    root.
    """
    shape = (-1,) + (1,) * (like.ndim - 1)
    exact = level.double().reshape(shape)
    return exact.to(like), sigma(exact).to(like)


def noised(x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
    """x_t = a x0 + s eps (Ho et al. 2020, eq. 4)."""
    a, s = amplitudes(level, x0)
    return a * x0 + s * eps


def velocity(x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
    """v = a eps - s x0 (Salimans & Ho 2022, section 4)."""
    a, s = amplitudes(level, x0)
    return a * eps - s * x0


def x0_from_eps(x: Tensor, eps: Tensor, level: Tensor) -> Tensor:
    """x0 = (x_t - s eps) / a: multiplies an error in eps by s / a, which is 151 at DDPM-Fus's t = T; no value where a =
    0.
    """
    a, s = amplitudes(level, x)
    return (x - s * eps) / a


def eps_from_x0(x: Tensor, x0: Tensor, level: Tensor) -> Tensor:
    """eps = (x_t - a x0) / s; no value at the clean level."""
    a, s = amplitudes(level, x)
    return (x - a * x0) / s


def x0_from_v(x: Tensor, v: Tensor, level: Tensor) -> Tensor:
    """x0 = a x_t - s v."""
    a, s = amplitudes(level, x)
    return a * x - s * v


def eps_from_v(x: Tensor, v: Tensor, level: Tensor) -> Tensor:
    """eps = s x_t + a v."""
    a, s = amplitudes(level, x)
    return s * x + a * v


class Denoiser(nn.Module, ABC):
    """A network `(x, level (B,), **conditions) -> prediction` (all (B, C, H, W)) seen as `(x, level, **conditions) ->
    x0`.

    `scale_input`: the noisy input enters as a x_t, so that a network sees exactly zero at a level without signal and
    cannot mistake noise for data there. Conditions belong to the network: bind them with functools.partial before
    sampling.
    """

    def __init__(self, network: nn.Module, scale_input: bool = False) -> None:
        super().__init__()
        self.network, self.scale_input = network, scale_input

    def predict(self, x: Tensor, level: Tensor, **conditions: Any) -> Tensor:
        """What the network says of x_t, in its own objective; `level` () or (B,)."""
        seen = amplitudes(level, x)[0] * x if self.scale_input else x
        exact = level.to(x.device, torch.promote_types(x.dtype, torch.float32))
        return self.network(seen, exact.expand(x.shape[0]), **conditions)

    @abstractmethod
    def target(self, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """What the network should have said."""

    @abstractmethod
    def to_x0(self, x: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """The prediction as an estimate of x0."""

    def forward(self, x: Tensor, level: Tensor, **conditions: Any) -> Tensor:
        """(B, C, H, W), level () or (B,) -> x0 (B, C, H, W)."""
        return self.to_x0(x, self.predict(x, level, **conditions), level)


class X0Denoiser(Denoiser):
    """The network says x0 (HSR-Diff, DDRF)."""

    def target(self, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """x0."""
        return x0

    def to_x0(self, x: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """As it is."""
        return prediction


class EpsDenoiser(Denoiser):
    """The network says eps (DDPM-Fus); useless from levels with little signal, see `x0_from_eps`."""

    def target(self, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """eps."""
        return eps

    def to_x0(self, x: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """`x0_from_eps`."""
        return x0_from_eps(x, prediction, level)


class VDenoiser(Denoiser):
    """The network says v: well-conditioned at every level."""

    def target(self, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """`velocity`."""
        return velocity(x0, eps, level)

    def to_x0(self, x: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """`x0_from_v`."""
        return x0_from_v(x, prediction, level)


DENOISERS: dict[str, type[Denoiser]] = {"eps": EpsDenoiser, "x0": X0Denoiser, "v": VDenoiser}


def make_denoiser(objective: str, network: nn.Module, levels: Tensor, scale_input: bool = False) -> Denoiser:
    """The wrapper for a card's `objective`; HSFusionError where it is unknown or cannot work with these levels."""
    if objective not in DENOISERS:
        raise HSFusionError(f"The objective must be one of {', '.join(DENOISERS)}, but it is {objective}.")
    if objective == "eps" and float(levels.min()) == 0:
        raise HSFusionError(
            "The objective eps needs a schedule that keeps some signal: use x0 or v with a zero-terminal one."
        )
    return DENOISERS[objective](network, scale_input)


@dataclass(frozen=True)
class Residual:
    """Residual learning: diffusion runs on (x0 - base) / scale. base (B, C, H, W) or None (off), scale broadcasts
    against it.
    """

    base: Tensor | None = None
    scale: Tensor | float = 1.0

    def encode(self, x0: Tensor) -> Tensor:
        """Image -> what is diffused."""
        return (x0 if self.base is None else x0 - self.base) / self.scale

    def decode(self, residual: Tensor) -> Tensor:
        """What is diffused -> image."""
        scaled = residual * self.scale
        return scaled if self.base is None else self.base + scaled

    def hook(self, correct: Hook) -> Hook:
        """A sampler's `correct` that is written for images."""
        return lambda residual, level: self.encode(correct(self.decode(residual), level))
