"""The classical methods of a job: fitted to the pair's scene, the global ones within the memory there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....models.errors import HSFusionError
from ....models.scene.block import Block
from ....models.scene.methods.classical import FullBand, fit_full_band, memory_needed
from ....models.scene.methods.names import CLASSICAL, FULL_BAND, GLOBAL, TILED
from ....models.scene.model import COMPONENTS, SceneModel
from ....models.scene.window import Place, Window
from ..pair.estimates import Estimates
from ..pair.pair import Pair
from ..run.memory import available_memory
from ..run.progress import Progress
from .closed_form import IN_FLIGHT
from .method import Answer

__all__ = ["CLASSICAL", "FULL_BAND", "Classical", "full_band_method"]


@dataclass(frozen=True)
class Classical:
    """A classical method that was fitted to a scene."""

    name: str
    found: FullBand
    halo: int = 0
    multiple: int = 1
    workers: int = IN_FLIGHT
    remote: bool = False
    band_std: np.ndarray | None = None
    components: int = COMPONENTS
    filters: bool = False
    in_coefficients: bool = False
    weighs: bool = False

    def fitted(self, blocks: Sequence[Block], scene: SceneModel) -> Classical:
        """Itself."""
        return self

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """Spectra of the core."""
        return Answer(spectra=self.found.window(block, core))


def full_band_method(name: str, pair: Pair, estimates: Estimates, progress: Progress) -> Classical:
    """`name` of FULL_BAND, ready for the tiles; HSFusionError where a global method does not fit into memory,
    Cancelled.
    """
    if name in GLOBAL:
        _check_memory(name, pair)
        progress.phase(f"Solving {name} for the whole scene")
    found = fit_full_band(name, estimates.blocks, estimates.scene, lambda: _whole(pair, estimates), progress)
    return Classical(name, found, found.halo)


def _check_memory(name: str, pair: Pair) -> None:
    (height, width), (rows, cols) = pair.alignment.scene_shape, pair.alignment.coarse_shape
    needed = memory_needed(name, height * width, rows * cols, len(pair.hsi_bands), len(pair.msi_bands))
    free = available_memory()
    if needed > free:
        raise HSFusionError(
            f"The method {name} works on the whole overlap at once ({width} x {height} pixels) and would need "
            f"{needed / 1e9:.1f} GB, of which "
            f"{free / 1e9:.1f} GB are free: clip the rasters to a smaller area, or choose a method that works in "
            f"tiles, such as {next(iter(TILED))}."
        )


def _whole(pair: Pair, estimates: Estimates) -> Block:
    """All of the overlap; the block that the estimates were made from, where it is that already."""
    shape = pair.alignment.scene_shape
    place = Place(Window.whole(shape), Window.whole(pair.alignment.coarse_shape))
    for block in estimates.blocks:
        if block.place == place:
            return block
    y, y_mask = pair.read_hsi(*place.coarse.axes)
    z, z_mask = pair.read_msi(*place.fine.axes)
    return Block(y, z, y_mask, z_mask, shape, place)
