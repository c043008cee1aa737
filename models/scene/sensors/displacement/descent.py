"""Levenberg's and Marquardt's descent on the misfit, in short steps that are taken back where it rises, the weights
renewed on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....listener import SILENT, Listener
from ....observation import Sampling
from .misfit import Misfit, Slope
from .parameters import Free

STEPS = 30
LONGEST = 1.5  # MSI pixels that a step may move an HSI pixel
LONGEST_WIDTH = 0.3  # ... and change the log of a width
SETTLED = 5e-3  # MSI pixels below which a step is the last
FIELD_PRIOR = 1.0  # std of a cosine's coefficient, in HSI pixels


@dataclass(frozen=True)
class Fit:
    """sampling with the fitted values; weight (N,) of the compared pixels; slope there, and the basis (N, terms) it was
    made with.
    """

    free: Free
    sampling: Sampling
    weight: np.ndarray
    low: np.ndarray
    slope: Slope
    basis: np.ndarray


def descend(
    misfit: Misfit,
    sampling: Sampling,
    free: Free,
    used: np.ndarray | None = None,
    listener: Listener = SILENT,
    steps: int = STEPS,
) -> Fit:
    """Fit what is free from a start; used (N,): 1 for the pixels that take part, 0 for those held out."""
    used = np.ones(misfit.count) if used is None else used
    sampling = free.applied(np.zeros(free.count), sampling, misfit.scene_shape)
    basis = free.field_basis(misfit.places, misfit.scene_shape)
    prior = np.zeros(free.count)
    prior[free.global_count :] = 2.0 / (used.sum() * (FIELD_PRIOR * sampling.ratio) ** 2)
    images, damping = misfit.images(sampling), 1e-3
    weight = used * misfit.robust(images.low, used)
    slope = misfit.slope(images, weight, free, basis)
    for _ in range(steps if free.count else 0):
        listener.check()
        held = prior * _coefficients(images.sampling, free)
        curved = slope.hessian + np.diag(prior) + damping * np.diag(np.diag(slope.hessian)) + 1e-9 * np.eye(free.count)
        step = -np.linalg.solve(curved, slope.gradient + held)
        widths = np.abs(step[: sum(free.widths)])
        far = free.movement(step, misfit.places, images.sampling, basis)
        step /= max(1.0, far / LONGEST, float(widths.max(initial=0.0)) / LONGEST_WIDTH)
        tried = free.applied(step, images.sampling, misfit.scene_shape)
        found = misfit.images(tried)
        before, after = (_penalty(s, free, prior) for s in (images.sampling, tried))
        if misfit.value(found.low, weight) + after < slope.value + before:
            images, damping = found, max(damping / 6, 1e-7)
            weight = used * misfit.robust(images.low, weight)
            slope = misfit.slope(images, weight, free, basis)
            if far < SETTLED and widths.max(initial=0.0) < SETTLED:
                break
        elif damping > 1e4 or far < SETTLED / 10:
            break
        else:
            damping *= 10
    return Fit(free, images.sampling, weight, images.low, slope, basis)


def _coefficients(sampling: Sampling, free: Free) -> np.ndarray:
    """The field's coefficients in the place of its parameters, 0 elsewhere."""
    found, place, d = np.zeros(free.count), free.global_count, sampling.displacement
    for field in () if d is None else (d.field_y, d.field_x):
        for a, b in free.terms:
            found[place] = field[a][b]
            place += 1
    return found


def _penalty(sampling: Sampling, free: Free, prior: np.ndarray) -> float:
    return float(0.5 * (prior * _coefficients(sampling, free) ** 2).sum())
