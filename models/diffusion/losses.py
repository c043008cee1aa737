"""Losses: plain ones on a prediction and its target, HSR-Diff's three terms on x0, and one training step's loss."""

from __future__ import annotations

from typing import Any, Callable

import torch.nn.functional as F
from torch import Tensor

from .objectives import Denoiser, noised

Loss = Callable[[Tensor, Tensor], Tensor]
Operator = Callable[[Tensor], Tensor]


def weighted(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of errors, or the weighted mean where `weight` broadcasts against them; a weight of zero masks nodata."""
    if weight is None:
        return error.mean()
    weight = weight.expand_as(error)
    return (weight * error).sum() / weight.sum().clamp_min(1e-12)


def l1(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error (DDPM-Fus: 6 dB better than l2 there)."""
    return weighted((prediction - target).abs(), weight)


def l2(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean square error (Ho et al. 2020, eq. 14)."""
    return weighted((prediction - target) ** 2, weight)


def huber(prediction: Tensor, target: Tensor, weight: Tensor | None = None, delta: float = 1.0) -> Tensor:
    """Quadratic up to `delta`, linear beyond (Huber 1964)."""
    return weighted(F.huber_loss(prediction, target, reduction="none", delta=delta), weight)


LOSSES: dict[str, Loss] = {"l1": l1, "l2": l2, "huber": huber}


def three_terms(x0: Tensor, target: Tensor, hsi: Tensor, msi: Tensor, spatial: Operator, spectral: Operator) -> Tensor:
    """||X - R Z0|| + ||Y - Z0 D|| + ||Z - Z0||, all l1 norms with equal weights (HSR-Diff, eq. 8), per value of the target.

    x0, target Z (B, L, H, W); hsi Y (B, L, h, w) and msi X (B, l, H, W) as observed; spatial: x0 -> hsi, spectral: x0
    -> msi. Norms are sums, not means: the MSI's l bands weigh l / L of the target's L, the HSI's coarse pixels 1 /
    ratio^2 of its fine ones.
    """  # noqa: E501
    norms = ((spectral(x0) - msi).abs().sum(), (spatial(x0) - hsi).abs().sum(), (x0 - target).abs().sum())
    return sum(norms[1:], norms[0]) / target.numel()


def denoising_loss(
    denoiser: Denoiser, x0: Tensor, eps: Tensor, level: Tensor, loss: Loss = l1, **conditions: Any
) -> Tensor:
    """Noise x0 to `level` (B,), predict, compare with the objective's target (Ho et al. 2020, algorithm 1)."""
    prediction = denoiser.predict(noised(x0, eps, level), level, **conditions)
    return loss(prediction, denoiser.target(x0, eps, level))
