"""Which light a pair was taken under: chosen among none, smooth fields and a seam by HSI pixels that took no part in
the fits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....listener import SILENT, Listener
from .areas import find_areas
from .bilinear import GAINS, HeldOut, fit_bilinear
from .cells import LEAST_CELLS, Cells
from .correction import Fields, Light
from .fields import Seam, smooth_basis
from .robust import robust_scale, robust_weights
from .seams import find_seam

LARGEST_ORDER = 6
LEAST_CELLS_PER_TERM = 6
LEAST_GAIN = 0.2  # by which the log of the held-out misfit must fall for the light to vary at all
LEAST_STEP = 0.03  # ... for the next order
LEAST_SEAM = 0.3  # ... for a seam
EDGE = 0.1  # ... by a step beside smooth fields that might stand for it


@dataclass(frozen=True)
class FoundLight:
    """light: None where both images are under one light and show the same; before, after: log of the held-out misfit,
    mean over bands; apart: log of what the typical cell leaves unexplained, of the MSI's spread: the lower, the
    surer it is that both images lie on one another.
    """

    light: Light | None
    before: float = 0.0
    after: float = 0.0
    apart: float = 0.0


def find_light(cells: Cells, shift: tuple[float, float], listener: Listener = SILENT) -> FoundLight:
    """The light of a pair; shift (y, x): of the HSI's grid in MSI pixels. `listener` is asked between the steps and may
    raise.
    """
    if cells.count < LEAST_CELLS:
        return FoundLight(None)
    weights = robust_weights(cells.predictors, cells.low)
    listener.check()
    held = HeldOut(cells.predictors, cells.low, cells.index, weights)
    choice = _Choice(cells, weights, held, listener)
    order, seam, after = choice.best()
    basis = choice.basis(order, seam)
    fit = fit_bilinear(cells.predictors, cells.low, basis, weights)
    listener.check()
    areas = find_areas(cells, fit.residual)
    fields = Fields(cells.scene_shape, order, seam, fit.gain, fit.offset) if basis.shape[1] else None
    apart = float(np.log(robust_scale(fit.residual) / np.maximum(cells.low.std(axis=0), 1e-30)).mean())
    if fields is None and areas is None:
        return FoundLight(None, choice.none, choice.none, apart)
    return FoundLight(Light(cells.ratio, shift, fields, areas), choice.none, after, apart)


class _Choice:
    """The held-out misfit of every kind of light that is worth a try."""

    def __init__(self, cells: Cells, weights: np.ndarray, held: HeldOut, listener: Listener) -> None:
        self.cells, self.weights, self.held, self.listener = cells, weights, held, listener
        self.none = self.misfit(1, None)

    def basis(self, order: int, seam: Seam | None) -> np.ndarray:
        """(N, m) at the cells: the cosines and the far side's share."""
        c = self.cells
        smooth = smooth_basis(order, c.place, c.scene_shape)
        return smooth if seam is None else np.column_stack([smooth, seam.far_share(c.place, c.size * c.ratio)])

    def misfit(self, order: int, seam: Seam | None) -> float:
        self.listener.check()
        return self.held.misfit(self.basis(order, seam))

    def smooth(self, seam: Seam | None, start: float, least: float) -> tuple[int, float]:
        """The best order of the cosines beside a seam and its misfit; 1 where none falls by `least`."""
        best, value = 1, start
        for order in range(3, LARGEST_ORDER + 1):
            if order * (order + 1) * LEAST_CELLS_PER_TERM > self.cells.count:
                break
            found = self.misfit(order, seam)
            if found < value - (least if best == 1 else LEAST_STEP):
                best, value = order, found
            else:
                break
        return best, value

    def _lit(self, order: int) -> Cells:
        """The cells with the smooth light taken out."""
        c = self.cells
        basis = self.basis(order, None)
        fit = fit_bilinear(c.predictors, c.low, basis, self.weights)
        return replace(c, low=(c.low - basis @ fit.offset) / np.clip(1.0 + basis @ fit.gain, *GAINS))

    def _is_seam(self, seam: Seam | None, stepped: float, order: int, smooth: float) -> bool:
        """Whether a step alone is clearly better than nothing, about as good as the best smooth light, and of use
        beside it.
        """
        if seam is None or stepped > min(self.none - LEAST_SEAM, smooth + EDGE):
            return False
        return order == 1 or self.misfit(order, seam) < smooth - EDGE

    def best(self) -> tuple[int, Seam | None, float]:
        """Order, seam and misfit of the light that is chosen."""
        order, value = self.smooth(None, self.none, LEAST_GAIN)
        seam = find_seam(self.cells, self.weights)
        stepped = self.none if seam is None else self.misfit(1, seam)
        if self._is_seam(seam, stepped, order, value):
            beside, found = self.smooth(seam, stepped, LEAST_GAIN)
            return beside, seam, found
        if order > 1:
            seam = find_seam(self._lit(order), self.weights)
            found = value if seam is None else self.misfit(order, seam)
            if found < value - LEAST_SEAM:
                return order, seam, found
        return order, None, value
