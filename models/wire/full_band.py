"""The request of a tile of a full-band model: everything that it needs beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..observation import Sampling
from ..scene.window import Place, Window
from .cost import Cost, full_band_cost
from .places import OPTIONS, PLACE, check_core, check_images
from .scene import LEAST_STD, SAMPLING, check_sampling
from .values import LARGEST, Malformed, Rules, plain, read

AUTO = "auto"
DDIM, ANCESTRAL, DPM_SOLVER = SAMPLERS = ("ddim", "ancestral", "dpm-solver")
LARGEST_SCENE = 1 << 20  # fine pixels per axis: the plan of the fixed windows grows with it


@dataclass(frozen=True)
class FullBandRequest:
    """hsi_scale, msi_scale (l,): what both images are divided by, once per scene, after msi_offset (l,) is taken off
    the MSI.

    core: the absolute fine pixels wanted back. steps 0 = the model's own; samples 0 = one; sampler `auto` = as the
    card says.
    """

    sampling: Sampling
    scene_shape: tuple[int, int]
    place: Place
    core: Window
    hsi_scale: float
    msi_scale: np.ndarray
    msi_offset: np.ndarray
    seed: int = 0
    steps: int = 0
    samples: int = 1
    sampler: str = AUTO

    def to_message(self) -> dict[str, Any]:
        """As JSON can write it."""
        return plain(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any] | FullBandRequest) -> FullBandRequest:
        """The inverse of `to_message`; HSFusionError that names what is missing or malformed."""
        if isinstance(message, cls):
            return message
        try:
            request = read(cls, message, RULES)
            check_sampling(request.sampling)
            check_core(request.place, request.core)
        except Malformed as error:
            raise Malformed(
                f"The tile request is malformed ({str(error).rstrip('.')}): plugin and backend must be of the same "
                "version."
            ) from error
        return replace(request, samples=max(1, request.samples))

    def check_tensors(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
        """HSFusionError where tensors, request and the model of this card do not belong together, or a number is not
        finite."""
        bands, msi_bands, fine, coarse = (
            card["bands"],
            card["msi_bands"],
            self.place.fine.shape,
            self.place.coarse.shape,
        )
        check_images(tensors, {"y": (bands, *coarse), "z": (msi_bands, *fine), "y_mask": coarse, "z_mask": fine})

    def cost(self, card: Mapping[str, Any]) -> Cost:
        """By the model of this card."""
        core = self.core.pixels
        steps = self.steps or int(card.get("default_steps") or 1)
        return full_band_cost(self.place, self.sampling, core, card, self.samples, steps)


_SCALE = (LEAST_STD, LARGEST)
RULES = (
    SAMPLING.under("sampling")
    | PLACE
    | OPTIONS
    | Rules(
        shapes={"msi_scale": "l", "msi_offset": "l"},
        sizes={"l": 4096},
        ranges={
            "scene_shape": (1, LARGEST_SCENE),
            "hsi_scale": _SCALE,
            "msi_scale": _SCALE,
        },
        choices={"sampler": (AUTO, *SAMPLERS)},
    )
)
