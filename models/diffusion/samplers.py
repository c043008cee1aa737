"""Samplers: functions `(denoiser, x, levels, ...) -> x0`, any of them with any denoiser.

denoiser(x (B, C, H, W), level ()) -> x0; levels (S + 1,) are signal amplitudes rising from that of x to 1 (clean);
`callback(step, x0)` after each of the S estimates may raise to stop; `correct(x0, level) -> x0` (data consistency)
comes before the estimate is used, so that the noise direction follows from the corrected one; `noise(step) -> like x`
gives the fresh noise of a step, so that it can depend on absolute position alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log, sqrt
from typing import Callable, Optional

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
Callback = Optional[Callable[[int, Tensor], None]]
Correct = Optional[Callable[[Tensor, Tensor], Tensor]]
Noise = Callable[[int], Tensor]


def ddim(
    denoiser: Denoise,
    x: Tensor,
    levels: Tensor,
    callback: Callback = None,
    correct: Correct = None,
    noise: Noise | None = None,
    eta: float = 0.0,
) -> Tensor:
    """DDIM (Song et al. 2021, eqs. 12 and 16); eta 0 is deterministic and needs no noise, eta 1 equals `ancestral`."""
    for i, (a, s), (a_next, s_next) in _steps(levels):
        x0 = _estimate(denoiser, x, levels, i, callback, correct)
        eps = (x - a * x0) / s
        fresh = eta * s_next / s * sqrt(max(1 - (a / a_next) ** 2, 0.0))
        x = a_next * x0 + sqrt(max(s_next**2 - fresh**2, 0.0)) * eps
        if fresh > 0:
            x = x + fresh * _noise(noise, i, x)
    return x


def ancestral(
    denoiser: Denoise,
    x: Tensor,
    levels: Tensor,
    callback: Callback = None,
    correct: Correct = None,
    noise: Noise | None = None,
    upper: bool = False,
) -> Tensor:
    """DDPM's ancestral sampling (Ho et al. 2020, eqs. 6-7); `upper`: variance beta_t as in HSR-Diff, not the
    posterior's. No noise at the end.
    """
    for i, (a, s), (a_next, s_next) in _steps(levels):
        x0 = _estimate(denoiser, x, levels, i, callback, correct)
        alpha = a / a_next
        beta = 1 - alpha**2
        x = (a_next * beta * x0 + alpha * s_next**2 * x) / s**2
        if s_next > 0:
            x = x + sqrt(beta if upper else beta * (s_next / s) ** 2) * _noise(noise, i, x)
    return x


def dpm_solver_2m(
    denoiser: Denoise, x: Tensor, levels: Tensor, callback: Callback = None, correct: Correct = None
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): a second-order ODE solver with one evaluation per step;
    deterministic.
    """
    before, width_before = None, 0.0
    for i, (a, s), (a_next, s_next) in _steps(levels):
        x0 = _estimate(denoiser, x, levels, i, callback, correct)
        finite = a > 0 and s_next > 0  # half the log-SNR is infinite at both ends: those steps are of first order
        width = log(a_next * s / (s_next * a)) if finite else 0.0
        ahead = (
            x0 if before is None or not finite or width_before == 0 else x0 + width / (2 * width_before) * (x0 - before)
        )
        x = s_next / s * x + (a_next - a * s_next / s) * ahead
        before, width_before = x0, width
    return x


SAMPLERS = {"ddim": ddim, "ancestral": ancestral, "dpm-solver-2m": dpm_solver_2m}


def _steps(levels: Tensor) -> Iterator[tuple[int, tuple[float, float], tuple[float, float]]]:
    """(step, (a, s), (a', s')) as Python floats: exact on every device."""
    values = [(a, sqrt(max((1 - a) * (1 + a), 0.0))) for a in levels.double().tolist()]
    if len(values) < 2 or any(b[0] <= a[0] for a, b in zip(values, values[1:])):
        raise ValueError("levels must be at least two signal amplitudes, strictly rising from noise towards 1")
    for i, (now, following) in enumerate(zip(values, values[1:])):
        yield i, now, following


def _estimate(denoiser: Denoise, x: Tensor, levels: Tensor, step: int, callback: Callback, correct: Correct) -> Tensor:
    x0 = denoiser(x, levels[step])
    if correct is not None:
        x0 = correct(x0, levels[step])
    if callback is not None:
        callback(step, x0)
    return x0


def _noise(noise: Noise | None, step: int, like: Tensor) -> Tensor:
    return torch.randn_like(like) if noise is None else noise(step)
