"""What every way to fuse a tile has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ....models.scene.block import Block
from ....models.scene.model import SceneModel
from ....models.scene.window import Window


@dataclass(frozen=True)
class Answer:
    """What a method says of a core: coefficients x (K, rows, cols) or spectra (L, rows, cols), and their standard
    deviation if known.

    samples (S, K, rows, cols): of the coefficients, whose mean is x.
    """

    x: np.ndarray | None = None
    x_std: np.ndarray | None = None
    spectra: np.ndarray | None = None
    std: np.ndarray | None = None
    samples: np.ndarray | None = None

    def part(self, part: Window, core: Window) -> Answer:
        """The answer for a part of the core that it was given for."""
        at = (..., *part.inside(core))
        return Answer(**{name: None if a is None else a[at] for name, a in vars(self).items()})


class Method(Protocol):
    """A closed form, a classical method, or a model in the backend.

    name: what the user is told. halo, multiple: what a tile of it needs, in fine pixels. workers: tiles that it works
    on at a time. remote: whether it waits for a backend. band_std (L,): its error per band where it is known for the
    whole scene only. components: the K of the subspace that it works in. filters: whether it filters the MSI's noise
    first. weighs: whether it keeps less detail where the images disagree. in_coefficients: whether its answers are
    coefficients.
    """

    name: str
    halo: int
    multiple: int
    workers: int
    remote: bool
    band_std: np.ndarray | None
    components: int
    filters: bool
    weighs: bool
    in_coefficients: bool

    def fitted(self, blocks: Sequence[Block], scene: SceneModel) -> Method:
        """The same, with what it takes from the scene that the blocks are of."""

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """The core's pixels from a block in the rasters' own units, which holds what the core must see."""
