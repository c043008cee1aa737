"""How a full-band model draws its image: the levels it walks down, the sampler, what keeps an estimate in range; all
from its card."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable

import torch
from torch import Tensor

from ..diffusion.objectives import Residual
from ..diffusion.samplers import ancestral, ddim, dpm_solver_2m
from ..diffusion.schedules import from_card, subsequence
from ..errors import HSFusionError
from ..wire.full_band import ANCESTRAL, AUTO, DDIM, DPM_SOLVER, SAMPLERS

Denoise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SamplingPlan:
    """levels (T + 1,): signal amplitudes from clean to noise, of which a run walks a sub-sequence of `default_steps`
    or as many as are asked for.

    sampler: one of SAMPLERS. upper_variance: fresh noise of variance beta_t in `ancestral` (HSR-Diff, eq. 6), not the
    posterior's. clamp: (least, most) of the normalised image that every estimate is cut to (public code of SR3 and
    DDRF), or None.
    """

    levels: Tensor
    default_steps: int
    sampler: str = DDIM
    upper_variance: bool = False
    clamp: tuple[float, float] | None = None

    @classmethod
    def of_card(cls, card: dict[str, Any]) -> SamplingPlan:
        """What a card says; its `inference_schedule`, where there is one, in the place of the training's."""
        plan = cls(
            from_card(card.get("inference_schedule") or card["schedule"]),
            int(card["default_steps"]),
            str(card.get("sampler", DDIM)),
            bool(card.get("upper_variance", False)),
            tuple(map(float, card["clamp"])) if card.get("clamp") else None,  # type: ignore[arg-type]
        )
        check_sampler(plan.sampler)
        return plan

    def walk(self, steps: int) -> Tensor:
        """Levels (S + 1,) from the noisiest to clean, for `steps` steps (0: the default), or as many as there are."""
        most = len(self.levels) - 1
        return self.levels[subsequence(most, min(steps or self.default_steps, most))]

    def draw(
        self, denoise: Denoise, x: Tensor, base: Residual, noise: Callable[[int], Tensor], sampler: str, steps: int
    ) -> Tensor:
        """The image that noise x (B, L, H, W) becomes; `noise(step)` is like x and is asked for by `ancestral`
        alone."""
        levels, correct = self.walk(steps), self._clamped(base)
        name = self.sampler if sampler == AUTO else sampler
        if name == ANCESTRAL:
            found = ancestral(denoise, x, levels, correct=correct, noise=noise, upper=self.upper_variance)
        else:
            found = {DDIM: ddim, DPM_SOLVER: dpm_solver_2m}[name](denoise, x, levels, correct=correct)
        return base.decode(found)

    def _clamped(self, base: Residual) -> Callable[[Tensor, Tensor], Tensor] | None:
        return None if self.clamp is None else base.hook(partial(_cut, self.clamp))


def check_sampler(name: str) -> None:
    """HSFusionError where there is no such sampler."""
    if name not in SAMPLERS:
        raise HSFusionError(f"The sampler must be one of {', '.join(SAMPLERS)}, but it is {name}.")


def _cut(limits: tuple[float, float], image: Tensor, level: Tensor) -> Tensor:
    return torch.clamp(image, *limits)
