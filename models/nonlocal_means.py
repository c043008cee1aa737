"""Non-local means on fused coefficients: what noise of the MSI is left in an estimate, averaged away among pixels that look alike.

Buades, Coll and Morel (2005), with one weight for all components: two pixels are alike where the spectra around them differ by no more than the
MSI's noise explains.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .scene.model import CoefficientModel

STRENGTH = 0.4  # in units of the noise that GLP-HS lets through, of which an estimate holds less; of 0.3 to 0.9 the best on training scenes
REACH, PATCH = 4, 1  # fine pixels to each side: where alike pixels are looked for, and what is compared of them
LEAST_POWER = 0.01  # of the largest component's expected error: what a component must add to it to be compared
MARGIN = REACH + PATCH  # that a pixel depends on
LEAST_SHARE = 0.05  # of the expected squared error that is the MSI's noise, below which nothing is gained
ROWS = 64  # that are worked on at a time, so that they stay in the processor's cache


def worth_it(model: CoefficientModel) -> bool:
    """Whether so much noise is expected that averaging is worth its time."""
    share = model.error_share() * (model.passed_std / model.target_std) ** 2
    return bool(share.mean() > LEAST_SHARE)


def nonlocal_means(x: Tensor, model: CoefficientModel, alike: Tensor | None = None) -> Tensor:
    """x (K, H, W) with its noise averaged; K are the model's components. The border reflects.

    alike (K, H, W): the estimate that says which pixels are alike; x itself where none is given.
    """
    power = (model.weight * model.target_std) ** 2
    leading = power >= LEAST_POWER * power.max()  # the others tell no two pixels apart that these do not
    noise = ((model.weight * model.passed_std) ** 2).sum() ** 0.5
    scale = x.new_tensor(model.weight[leading] / (STRENGTH * noise * (2 * PATCH + 1)))
    kept = (x if alike is None else alike)[torch.from_numpy(leading).to(x.device)] * scale[:, None, None]
    compared = F.pad(kept[None], (MARGIN,) * 4, mode="reflect")[0]
    averaged = F.pad(x[None], (REACH,) * 4, mode="reflect")[0]
    height, width = x.shape[1:]
    found = torch.empty_like(x)
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        here = compared[:, top + REACH : top + REACH + rows + 2 * PATCH, REACH : REACH + width + 2 * PATCH]
        total, weights = x.new_zeros(len(x), rows, width), x.new_zeros(rows, width)
        for south in range(2 * REACH + 1):
            for east in range(2 * REACH + 1):
                there = compared[:, top + south : top + south + rows + 2 * PATCH, east : east + width + 2 * PATCH]
                weight = _neighbourhoods((here - there).square_().sum(dim=0)).neg_().exp_()
                total.addcmul_(weight, averaged[:, top + south : top + south + rows, east : east + width])
                weights += weight
        found[:, top : top + rows] = total / weights
    return found


def _neighbourhoods(x: Tensor) -> Tensor:
    """Sums over squares of 2 PATCH + 1 pixels, (H + 2 PATCH, W + 2 PATCH) -> (H, W)."""
    rows = sum(x[shift : len(x) - 2 * PATCH + shift] for shift in range(2 * PATCH + 1))
    return sum(rows[:, shift : rows.shape[1] - 2 * PATCH + shift] for shift in range(2 * PATCH + 1))
