"""A diffusion model of spectral coefficients in the backend as a method of a job: one set of weights for every
sensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....models.scene.block import Block
from ....models.scene.model import SceneModel
from ....models.scene.tiles.plan import place_of, tile_reach
from ....models.scene.window import Place, Window
from ....models.wire.tile import TileRequest
from ...backend.client.client import Client
from ..request import ModelRequest
from ..run.progress import Progress
from .method import Answer
from .remote import RemoteMethod


@dataclass(frozen=True)
class Diffusion(RemoteMethod):
    """The subspace model `name` behind a client."""

    name: str
    client: Client
    request: ModelRequest
    progress: Progress
    halo: int
    multiple: int
    components: int
    filters: bool = True
    in_coefficients: bool = True
    weighs: bool = True
    fits: list[int] = field(default_factory=list)

    @classmethod
    def of_card(
        cls, card: Mapping[str, Any], name: str, client: Client, request: ModelRequest, progress: Progress
    ) -> Diffusion:
        """The method that a model's card describes."""
        halo, multiple = int(card.get("halo", 64)), int(card.get("tile_multiple", 8))
        return cls(name, client, request, progress, halo, multiple, int(card["components"]))

    def fitted(self, blocks: Sequence[Block], scene: SceneModel) -> Diffusion:
        """Itself: the scene model holds all that it needs."""
        return self

    def place(self, core: Window, scene: SceneModel) -> Place:
        """What the network, the closed forms and the consistency see of a core."""
        model = scene.coefficients
        return place_of(core, model.scene_shape, model.sampling, tile_reach(model, self.halo), self.multiple)

    def ask(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """Coefficients of the core and their standard deviation; of several samples the mean."""
        request, seen = self.request, scene.standardised(block)
        asked = TileRequest(
            scene.coefficients,
            block.place,
            core,
            seed=request.seed,
            steps=request.steps,
            samples=self.samples,
            consistency=request.consistency,
        )
        shape = (len(seen.y), *core.shape)
        reply = self.client.infer(
            self.name,
            {name: image.astype(np.float32, copy=False) for name, image in seen.images.items()},
            asked,
            self.progress.cancelled,
            expect={"x": (max(1, self.samples), *shape), "std": shape},
        )
        x = reply["x"]
        mean = x[0] if len(x) == 1 else x.mean(axis=0)
        return Answer(mean, reply["std"], samples=x if self.samples else None)

    @property
    def samples(self) -> int:
        """How many the backend draws; 0 = the mean estimate alone."""
        return self.request.samples if self.request.drawn_by == "diffusion" else 0
