"""The request of a tile of a subspace model: everything that it needs beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import HSFusionError
from ..scene.model import CoefficientModel
from ..scene.tiles.plan import Tile
from ..scene.window import Place, Window
from .cost import Cost, subspace_cost
from .places import OPTIONS, PLACE, check_core, check_images
from .scene import MODEL, check_model
from .values import Malformed, plain, read

SAMPLING_STEPS = 5  # of samples where a card's default, one step, would give the mean in every one of them


@dataclass(frozen=True)
class TileRequest:
    """A tile's scene, its place and what is wanted of it. `core`: the absolute fine pixels wanted back.

    steps 0 = the model's own; samples 0 = the mean estimate; consistency: whether both images are followed at each
    step.
    """

    model: CoefficientModel
    place: Place
    core: Window
    seed: int = 0
    steps: int = 1
    samples: int = 0
    consistency: bool = True

    @classmethod
    def of(cls, model: CoefficientModel, tile: Tile, **options: Any) -> TileRequest:
        """Of a tile of a scene; options are seed, steps, samples, consistency."""
        return cls(model, tile.place, tile.core, **options)

    def to_message(self) -> dict[str, Any]:
        """As JSON can write it."""
        return plain(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any] | TileRequest) -> TileRequest:
        """The inverse of `to_message`; HSFusionError that names what is missing or malformed."""
        if isinstance(message, cls):
            return message
        try:
            request = read(cls, message, RULES)
            check_model(request.model)
            check_core(request.place, request.core)
        except Malformed as error:
            raise Malformed(
                f"The tile request is malformed ({str(error).rstrip('.')}): plugin and backend must be of the same "
                "version."
            ) from error
        return request

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes that the request's tensors must have."""
        fine, coarse = self.place.fine.shape, self.place.coarse.shape
        return {
            "y": (len(self.model.y_std), *coarse),
            "z": (len(self.model.z_std), *fine),
            "y_mask": coarse,
            "z_mask": fine,
        }

    def check_tensors(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
        """HSFusionError where tensors, request and the model of this card do not belong together, or a number is not
        finite.
        """
        check_images(tensors, self.shapes())
        if len(self.model.y_std) > card["components"]:
            raise HSFusionError(
                f"The tile has {len(self.model.y_std)} components and the model {card['components']}: fit the scene "
                "with the model's number."
            )

    def cost(self, card: Mapping[str, Any]) -> Cost:
        """By the model of this card."""
        core = self.core.pixels
        least = SAMPLING_STEPS if self.samples else 1
        steps = self.steps or max(int(card.get("default_steps") or 1), least)
        return subspace_cost(self.place, self.model.sampling, core, card, len(self.model.z_std), self.samples, steps)


RULES = MODEL.under("model") | PLACE | OPTIONS
