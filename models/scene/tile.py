"""All closed forms of one tile: the floor without weights, and what the networks see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..observation import Degradation, Upsampling
from . import closed_forms as cf
from .blocks import WHOLE_SUPPORT
from .model import CoefficientModel


@dataclass(frozen=True)
class Place:
    """Where a tile lies in its scene: absolute ranges of fine (MSI) and coarse (HSI) pixels."""

    fine_rows: range
    fine_cols: range
    coarse_rows: range
    coarse_cols: range

    def operators(self, model: CoefficientModel) -> tuple[Degradation, Upsampling]:
        """D and the interpolation back, between the tile's windows."""
        where = (model.sampling, model.scene_shape, self.fine_rows, self.fine_cols, self.coarse_rows, self.coarse_cols)
        return Degradation(*where), Upsampling(*where)


@dataclass(frozen=True)
class ClosedForms:
    """Fused coefficients (K, H, W) by each method, the interpolated HSI, and what GLP-HS leaves of the HSI (interpolated)."""

    y_up: Any
    glp: Any
    loc: Any
    map: Any
    misfit: Any

    @property
    def average(self) -> Any:
        """The mean of LOC and MAP, the safest of the four where nothing is known of a scene."""
        return 0.5 * (self.loc + self.map)


def closed_forms(y: Any, z: Any, y_mask: Any, z_mask: Any, model: CoefficientModel, place: Place) -> ClosedForms:
    """Every closed form from y (K, h, w) and the standardised z (l, H, W), numpy or torch; a function of the tile's surroundings alone."""
    down, up = place.operators(model)
    low, support, detail = cf.detail_image(z, z_mask, down, up)
    both = y_mask * (support > WHOLE_SUPPORT)
    y_up, _ = up.masked(y, y_mask)
    glp = cf.glp(y_up, detail, model.regression)
    loc = cf.loc(glp, y, low, both, detail, model.regression, model.intercept, model.loc_ridge, up)
    posterior = cf.maximum_a_posteriori(
        glp, y, z, y_mask, z_mask, down, model.response, model.offset, model.y_std, model.z_std, model.prior_std
    )
    misfit = up((y - down(glp)) * y_mask)
    return ClosedForms(y_up, glp, loc, posterior, misfit)
