"""Where one take of a mosaic ends and the next begins, found from what the regression on the HSI leaves."""

from __future__ import annotations

from typing import Callable

import numpy as np

from .bilinear import CAP, fit_bilinear
from .cells import Cells
from .fields import Seam
from .robust import robust_scale

ANGLES = 24  # directions of the search
LEAST_SHARE = 0.08  # of the cells on the smaller side
TRIED = 4  # directions whose best lines are fitted in full
BENDS = (3, 5)  # knots of a bent seam
ROUNDS = 3
MOST_CELLS = 2500  # that a seam is sought by
LEAST_BEND = 0.02  # by how much the misfit must fall for a seam to be bent


def find_seam(cells: Cells, weights: np.ndarray) -> Seam:
    """The line across which a step of gain and offset explains most; straight, or bent where that pays.

    weights (N,): where the robust fit starts. Whether there is a seam at all is for held-out cells to say.
    """
    step = -(-cells.count // MOST_CELLS)
    cells, weights = cells.thinned(step), weights[::step]
    side = cells.size * cells.ratio

    def misfit(seam: Seam) -> float:
        share = seam.far_share(cells.place, side)
        if not LEAST_SHARE < share.mean() < 1 - LEAST_SHARE:
            return np.inf
        rest = fit_bilinear(cells.predictors, cells.low, share[:, None], weights, rounds=ROUNDS).residual
        return float(np.log(np.minimum((rest / scale) ** 2, CAP**2).mean(axis=0)).mean())

    start = fit_bilinear(cells.predictors, cells.low, np.zeros((cells.count, 0)), weights)
    scale = robust_scale(start.residual)
    lines = [_refined(seam, misfit, 0.5 * side) for seam in _candidates(cells, start.residual, scale)]
    value, best = min(lines, key=lambda found: found[0])
    for knots in BENDS:
        bent = Seam(best.scene_shape, best.angle, _resampled(best.offsets, knots))
        found = _refined(bent, misfit, side)
        if found[0] < value - LEAST_BEND:
            value, best = found
    return best


def _candidates(cells: Cells, residual: np.ndarray, scale: np.ndarray) -> list[Seam]:
    """The best line of each of the most promising directions: the residual, outliers clipped, on one and the prediction on either side."""
    clipped = np.clip(residual, -3 * scale, 3 * scale) / scale
    seen = cells.low - residual
    seen = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-30)
    moments = np.stack([np.ones_like(seen), seen, seen**2, clipped, clipped * seen], axis=1)  # (N, 5, l)
    least = int(np.ceil(LEAST_SHARE * cells.count))
    found = []
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        across = Seam(cells.scene_shape, float(angle), (0.0, 0.0)).distance(cells.place[:, 0], cells.place[:, 1])
        order = np.argsort(across, kind="stable")
        near = np.cumsum(moments[order], axis=0)
        far = near[-1] - near
        told = (_explained(near) + _explained(far))[least:-least].sum(axis=1)
        at = int(np.argmax(told)) + least
        offset = float(across[order[at : at + 2]].mean())
        found.append((float(told.max()), Seam(cells.scene_shape, float(angle), (offset, offset))))
    found.sort(key=lambda one: -one[0])
    return [seam for _, seam in found[:TRIED]]


def _explained(sums: np.ndarray) -> np.ndarray:
    """Sum of squares (n, l) that a line through the points explains, from their moments (n, 5, l)."""
    count, x, xx, y, xy = np.moveaxis(sums, 1, 0)
    count = np.maximum(count, 1e-9)
    return y**2 / count + (xy - x * y / count) ** 2 / np.maximum(xx - x**2 / count, 1e-3 * count)


def _refined(seam: Seam, misfit: Callable[[Seam], float], step: float) -> tuple[float, Seam]:
    """Knots moved one at a time as long as that pays, in steps that are halved down to a quarter of an MSI pixel."""
    value, offsets = misfit(seam), list(seam.offsets)
    while step > 0.25:
        moved = False
        for knot in range(len(offsets)):
            for move in (step, -step):
                tried = [*offsets]
                tried[knot] += move
                found = misfit(Seam(seam.scene_shape, seam.angle, tuple(tried)))
                if found < value - 1e-6:
                    value, offsets, moved = found, tried, True
                    break
        if not moved:
            step /= 2
    return value, Seam(seam.scene_shape, seam.angle, tuple(offsets))


def _resampled(offsets: tuple[float, ...], knots: int) -> tuple[float, ...]:
    return tuple(float(v) for v in np.interp(np.linspace(0, 1, knots), np.linspace(0, 1, len(offsets)), offsets))
