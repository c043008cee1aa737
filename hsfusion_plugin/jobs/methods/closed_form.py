"""The closed forms in spectral coefficients as methods of a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....models.scene.block import Block
from ....models.scene.methods.names import CLOSED_FORMS
from ....models.scene.methods.subspace import ClosedForms
from ....models.scene.model import COMPONENTS, SceneModel
from ....models.scene.window import Window
from .method import Answer

__all__ = ("CLOSED_FORMS", "IN_FLIGHT", "ClosedForm")

IN_FLIGHT = min(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class ClosedForm:
    """GLP-HS, LOC, MAP or the average of the last two; filters: of the MSI with less noise
    (models/scene/laws/denoising.py).
    """

    name: str
    filters: bool = False
    band_std: np.ndarray | None = None
    halo: int = 0
    multiple: int = 1
    workers: int = IN_FLIGHT
    remote: bool = False
    components: int = COMPONENTS
    in_coefficients: bool = True
    weighs: bool = False

    def fitted(self, blocks: Sequence[Block], scene: SceneModel) -> ClosedForm:
        """Itself: the scene model holds all that it needs."""
        return self

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """Coefficients of the core."""
        forms = ClosedForms.of(scene.standardised(block), scene.coefficients, self.filters)
        return Answer(forms.named(self.name)[(slice(None), *core.inside(block.place.fine))])
