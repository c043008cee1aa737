"""gsa, sfim-hs, cnmf and hysure as methods of a job: fitted to the pair's scene, the global ones within the memory there is."""

from __future__ import annotations

from ....models.errors import HSFusionError
from ....models.scene.block import Block
from ....models.scene.methods.classical import FULL_BAND, GLOBAL, TILED, FullBand, fit_full_band, memory_needed
from ..pair.estimates import Estimates
from ..pair.pair import Pair
from ..run.memory import available_memory
from ..run.progress import Progress
from .subspace_model import CLOSED_FORMS

__all__ = ["CLASSICAL", "FULL_BAND", "FullBand", "full_band_method"]
CLASSICAL = (*CLOSED_FORMS, *FULL_BAND)  # every method that needs no weights


def full_band_method(name: str, pair: Pair, estimates: Estimates, progress: Progress) -> FullBand:
    """`name` of FULL_BAND, ready for the tiles; HSFusionError where a global method does not fit into memory, Cancelled."""
    if name in GLOBAL:
        _check_memory(name, pair)
        progress.phase(f"Solving {name} for the whole scene")

    def tick(share: float) -> None:
        progress.check()
        progress.step(share)

    return fit_full_band(name, estimates.blocks, estimates.scene, lambda: _whole(pair, estimates), tick)


def _check_memory(name: str, pair: Pair) -> None:
    (height, width), (rows, cols) = pair.alignment.scene_shape, pair.alignment.coarse_shape
    needed = memory_needed(name, height * width, rows * cols, len(pair.hsi_bands), len(pair.msi_bands))
    free = available_memory()
    if needed > free:
        raise HSFusionError(
            f"The method {name} works on the whole overlap at once ({width} x {height} pixels) and would need {needed / 1e9:.1f} GB, of which "
            f"{free / 1e9:.1f} GB are free: clip the rasters to a smaller area, or choose a method that works in tiles, such as {TILED[0]}."
        )


def _whole(pair: Pair, estimates: Estimates) -> Block:
    """All of the overlap; the block that the estimates were made from, where it is that already."""
    (height, width), (rows, cols) = pair.alignment.scene_shape, pair.alignment.coarse_shape
    everything = (range(height), range(width), range(rows), range(cols))
    for block in estimates.blocks:
        if (block.fine_rows, block.fine_cols, block.coarse_rows, block.coarse_cols) == everything:
            return block
    y, y_mask = pair.read_hsi(range(rows), range(cols))
    z, z_mask = pair.read_msi(range(height), range(width))
    return Block(y, z, y_mask, z_mask, (height, width), *everything)
