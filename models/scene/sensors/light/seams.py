"""Where one take of a mosaic ends and the next begins, found from what the regression on the HSI leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .bilinear import CAP, BilinearFit, fit_bilinear
from .cells import Cells
from .fields import Seam
from .robust import robust_scale

ANGLES = 24  # directions of the search
LEAST_SHARE = 0.08  # of the cells on the smaller side
LEAST_TOLD = 0.1  # share of the residual's power that a line must explain to be looked at
TURNS = 4
SMALLEST_STEP = 0.1  # MSI pixels
TRIED = 4  # directions whose best lines are fitted in full
BENDS = (3, 5)  # knots of a bent seam
ROUNDS = 3
MOST_CELLS = 2500  # that a seam is sought by
LEAST_BEND = 0.02  # by how much the misfit must fall for a seam to be bent


def find_seam(cells: Cells, weights: np.ndarray) -> Seam | None:
    """The line across which a step of gain and offset explains most; straight, or bent where that pays. None where no
    line explains much.

    weights (N,): where the robust fit starts. Whether there is a seam at all is for held-out cells to say.
    """
    step = -(-cells.count // MOST_CELLS)
    search = _Search(cells.thinned(step), weights[::step])
    candidates = search.candidates()
    if not candidates:
        return None
    value, best = min((search.refined(seam) for seam in candidates), key=lambda found: found[0])
    for knots in BENDS:
        bent = search.refined(Seam(best.scene_shape, best.angle, _resampled(best.offsets, knots)))
        if bent[0] < value - LEAST_BEND:
            value, best = bent
    return best


class _Search:
    """Lines across the scene, judged by what they leave of the cells."""

    def __init__(self, cells: Cells, weights: np.ndarray) -> None:
        self.cells, self.weights = cells, weights
        self.side = cells.size * cells.ratio
        self.start = fit_bilinear(cells.predictors, cells.low, np.zeros((cells.count, 0)), weights)
        self.scale = robust_scale(self.start.residual)

    def candidates(self) -> list[Seam]:
        """The best line of each of the most promising directions: the residual, outliers clipped, on one and the
        prediction on either side.
        """
        cells, seen = self.cells, self.start.seen
        clipped = np.clip(self.start.residual / self.scale, -CAP, CAP)
        seen = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-30)
        moments = np.stack([np.ones_like(seen), seen, seen**2, clipped, clipped * seen], axis=1)  # (N, 5, l)
        least = int(np.ceil(LEAST_SHARE * cells.count))
        found = []
        for angle in np.arange(ANGLES) * np.pi / ANGLES:
            across = Seam(cells.scene_shape, float(angle), (0.0, 0.0)).distance(cells.place[:, 0], cells.place[:, 1])
            order = np.argsort(across, kind="stable")
            near = np.cumsum(moments[order], axis=0)
            told = (_explained(near) + _explained(near[-1] - near))[least:-least].sum(axis=1)
            at = int(np.argmax(told)) + least
            offset = float(across[order[at : at + 2]].mean())
            found.append((float(told.max()), Seam(cells.scene_shape, float(angle), (offset, offset))))
        found.sort(key=lambda one: -one[0])
        least_told = LEAST_TOLD * float((clipped**2).sum())
        return [seam for told, seam in found[:TRIED] if told > least_told]

    def refined(self, seam: Seam) -> tuple[float, Seam]:
        """Gains and place in turn: the log of the capped misfit, and the seam where it is least."""
        for _ in range(TURNS):
            fit = self.fit(seam)
            moved = self._moved(seam, fit)
            if moved == seam:
                break
            seam = moved
        rest = self.fit(seam).residual
        return self._value(rest), seam

    def fit(self, seam: Seam) -> BilinearFit:
        """Gain and offset beyond a seam."""
        share = seam.far_share(self.cells.place, self.side)[:, None]
        return fit_bilinear(self.cells.predictors, self.cells.low, share, self.weights, rounds=ROUNDS)

    def _moved(self, seam: Seam, fit: BilinearFit) -> Seam:
        """Knots moved one at a time as long as that pays, in steps that are halved down to an eighth of an MSI
        pixel.
        """
        step_there = fit.gain[0] * fit.seen + fit.offset[0]

        def misfit(offsets: list[float]) -> float:
            share = replace(seam, offsets=tuple(offsets)).far_share(self.cells.place, self.side)
            if not LEAST_SHARE < share.mean() < 1 - LEAST_SHARE:
                return np.inf
            return self._value(self.cells.low - fit.seen - share[:, None] * step_there)

        offsets, step = list(seam.offsets), self.side
        value = misfit(offsets)
        while step > SMALLEST_STEP:
            before = value
            for knot in range(len(offsets)):
                for move in (step, -step):
                    tried = [*offsets]
                    tried[knot] += move
                    if (found := misfit(tried)) < value:
                        value, offsets = found, tried
            if value > before - 1e-6:
                step /= 2
        return replace(seam, offsets=tuple(offsets))

    def _value(self, rest: np.ndarray) -> float:
        return float(np.log(np.minimum((rest / self.scale) ** 2, CAP**2).mean(axis=0)).mean())


def _explained(sums: np.ndarray) -> np.ndarray:
    """Sum of squares (n, l) that a line through the points explains, from their moments (n, 5, l)."""
    count, x, xx, y, xy = np.moveaxis(sums, 1, 0)
    count = np.maximum(count, 1e-9)
    return y**2 / count + (xy - x * y / count) ** 2 / np.maximum(xx - x**2 / count, 1e-3 * count)


def _resampled(offsets: tuple[float, ...], knots: int) -> tuple[float, ...]:
    return tuple(float(v) for v in np.interp(np.linspace(0, 1, knots), np.linspace(0, 1, len(offsets)), offsets))
