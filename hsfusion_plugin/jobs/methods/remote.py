"""What every model behind a client does alike: a tile that does not fit into the backend's memory is sent in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ....models.scene.block import Block
from ....models.scene.model import SceneModel
from ....models.scene.window import Place, Window
from ...backend.client.client import Client
from ...backend.client.errors import TileTooLarge
from ..run.progress import Progress
from .method import Answer

SMALLEST_TILE = 32  # fine pixels
IN_FLIGHT = 2  # tiles, where the client does not say


class RemoteMethod(ABC):
    """The model `name` behind a client.

    fits: the sizes that were found to be small enough, so that the tiles that follow are cut at once.
    """

    name: str
    client: Client
    progress: Progress
    multiple: int
    fits: list[int]
    remote = True
    band_std: np.ndarray | None = None

    @property
    def workers(self) -> int:
        """As many tiles as the backend works on at a time."""
        return getattr(self.client, "in_flight", IN_FLIGHT)

    @abstractmethod
    def place(self, core: Window, scene: SceneModel) -> Place:
        """What a core must see."""

    @abstractmethod
    def ask(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """The backend's answer for a core; TileTooLarge where that does not fit into its memory."""

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """The backend's answer, in parts where that is what fits."""
        longest = max(core.shape)
        if self.fits and min(self.fits) < longest:
            return self._in_parts(block, scene, core, min(self.fits))
        try:
            return self.ask(block, scene, core)
        except TileTooLarge as error:
            size = longest // 2
            if size < SMALLEST_TILE:
                raise
            self.progress.warn(f"{error} This tile and those that follow are sent in parts of {size} pixels.")
            self.fits.append(size)
            return self._in_parts(block, scene, core, size)

    def _in_parts(self, block: Block, scene: SceneModel, core: Window, size: int) -> Answer:
        whole: dict[str, np.ndarray] = {}
        for part in core.cuts(max(self.multiple, size // self.multiple * self.multiple)):
            answer = self.fuse(block.cut(self.place(part, scene)), scene, part)
            for name, values in vars(answer).items():
                if values is not None:
                    image = whole.setdefault(name, np.empty((*values.shape[:-2], *core.shape), np.float32))
                    image[(..., *part.inside(core))] = values
        return Answer(**whole)
