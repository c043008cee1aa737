"""All closed forms of one tile: the floor without weights, and what the networks see."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ..block import WHOLE_SUPPORT, Block
from ..laws import closed_forms as cf
from ..laws.observation import Observation
from ..model import CoefficientModel
from ..window import Place


def denoised(z: Any, z_mask: Any, model: CoefficientModel, place: Place) -> tuple[Any, CoefficientModel]:
    """The standardised MSI (l, H, W) of a tile with less noise, and the model of its scene that knows so."""
    down, _ = place.operators(model)
    return model.denoising(z, z_mask, down), model.denoised()


def agreed(x: Any, z_mask: Any, model: CoefficientModel, place: Place) -> Any:
    """Coefficients x (K, H, W) of a tile with as much of their detail as the images agree on; the HSI's own pixels stay
    as they are.
    """
    if model.agreement == 1.0:
        return x
    return x - (1.0 - model.agreement) * cf.detail_image(x, z_mask, *place.operators(model))[2]


_ATTRIBUTES = {"glp-hs": "glp", "loc": "loc", "map": "map", "average": "average"}  # of ClosedForms


class ClosedForms:
    """Fused coefficients (K, H, W) of one tile by each method, each made when it is first asked for; what is cheap is
    made again instead of kept.

    y (K, h, w) and the standardised z (l, H, W) with their masks, numpy or torch; a function of the tile's surroundings
    alone.
    """

    def __init__(self, y: Any, z: Any, y_mask: Any, z_mask: Any, model: CoefficientModel, place: Place) -> None:
        self._y, self._z, self._y_mask, self._z_mask, self._model = y, z, y_mask, z_mask, model
        self._down, self._up = place.operators(model)
        self._low, self._support, self._detail = cf.detail_image(z, z_mask, self._down, self._up)

    @classmethod
    def of(cls, block: Block, model: CoefficientModel, denoise: bool = False) -> ClosedForms:
        """Of a block of coefficients (`SceneModel.standardised`); denoise: the MSI's noise is filtered first."""
        z = block.z
        if denoise:
            z, model = denoised(z, block.z_mask, model, block.place)
        return cls(block.y, z, block.y_mask, block.z_mask, model, block.place)

    @property
    def y_up(self) -> Any:
        """The interpolated HSI."""
        return self._up.masked(self._y, self._y_mask)[0]

    @cached_property
    def glp(self) -> Any:
        """GLP-HS."""
        return cf.glp(self.y_up, self._detail, self._model.regression)

    @property
    def laws(self) -> Any:
        """GLP-HS and the detail that the scene's own laws add."""
        return self._laws[0]

    def named(self, name: str) -> Any:
        """Coefficients (K, H, W) by one of CLOSED_FORMS."""
        return getattr(self, _ATTRIBUTES[name])

    @cached_property
    def loc(self) -> Any:
        """GLP-HS, the scene's own laws and a local regression of what they leave."""
        law, low = self._laws
        m = self._model
        rest = self._y - low - cf.mix(m.regression, self._low) - cf.column(m.intercept, self._y)
        return law + cf.loc(rest, self._low, self._both, self._detail, m.loc_ridge, self._up)

    @cached_property
    def map(self) -> Any:
        """The maximum a posteriori estimate around the mean of LOC and the mixtures, which err unlike each other."""
        return self._map(0.5 * (self.loc + self._mixtures[0]))

    @cached_property
    def map_of_mixtures(self) -> Any:
        """The maximum a posteriori estimate around the mixtures alone."""
        return self._map(self._mixtures[0])

    @cached_property
    def average(self) -> Any:
        """The mean of LOC and MAP, the safest of the four where nothing is known of a scene, and what the network's
        residual is counted from.
        """
        return 0.5 * (self.loc + self.map)

    @cached_property
    def misfit(self) -> Any:
        """What GLP-HS leaves of the HSI, interpolated."""
        return self._up((self._y - self._down(self.glp)) * self._down.within(self._y_mask))

    @property
    def mixtures_misfit(self) -> Any:
        """What mixtures of the scene's endmembers leave of the HSI, interpolated."""
        return self._up(self._mixtures[1])

    @property
    def _both(self) -> Any:
        """Where both images are known, on the HSI's grid."""
        return self._y_mask * (self._support > WHOLE_SUPPORT)

    @cached_property
    def _laws(self) -> tuple[Any, Any]:
        """GLP-HS with the detail of the nonlinear law and of the slopes, and what both say of the HSI's own pixels."""
        added = self._model.kernel(self._z)
        low, _ = self._down.masked(added, self._z_mask)
        added += self._model.slopes(self._detail, self.y_up)
        low = low + self._model.slopes.at_coarse(self._low, self._y, self._both)
        return self.glp + cf.detail_image(added, self._z_mask, self._down, self._up)[2], low

    @cached_property
    def _mixtures(self) -> tuple[Any, Any]:
        """The mixtures with what they leave of the HSI added, and that alone on the HSI's grid."""
        mixtures = self._model.unmixing(self._y, self._y_mask, self._z, self._z_mask, self._up)
        left = (self._y - self._down(mixtures)) * self._down.within(self._y_mask)
        return mixtures + self._up(left), left

    def _map(self, prior: Any) -> Any:
        seen = Observation(self._y, self._z, self._y_mask, self._z_mask, self._down, self._model)
        return seen.map(prior, self._model.prior_std)
