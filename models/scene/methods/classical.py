"""The methods that work on all bands, not on subspace coefficients, behind one door: fit to a scene once, then give any
window of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...listener import SILENT, Listener
from ..block import Block
from ..model import SceneModel
from ..window import Window
from .names import GLOBAL, TILED


@dataclass(frozen=True)
class FullBand:
    """A method fitted to a scene: window(block, core) gives the spectra (L, rows, cols) of the absolute fine pixels
    `core` of a block.

    halo and multiple (fine pixels), band_std: what the loop over tiles asks of every method.
    """

    name: str
    window: Callable[[Block, Window], np.ndarray]
    halo: int = 0
    multiple: int = 1
    band_std: np.ndarray | None = None


def fit_full_band(
    name: str, blocks: list[Block], scene: SceneModel, whole: Callable[[], Block], listener: Listener = SILENT
) -> FullBand:
    """`name` of FULL_BAND fitted to a scene whose statistics come from `blocks`; whole() gives all of it, asked for by
    a GLOBAL method only.

    The listener hears the share of the work that is done and may end it.
    """
    if name in TILED:
        window = _module(TILED[name]).fit(blocks, scene, listener)
        return FullBand(name, window, getattr(window, "halo", 0))
    block, module = whole(), _module(GLOBAL[name])
    found = module.solve(
        block, scene.coefficients.sampling, scene.spectral_response, scene.spectral_offset, listener=listener
    )
    return FullBand(name, lambda _, core: found.expand(*core.inside(block.place.fine)))


def memory_needed(name: str, fine_pixels: int, coarse_pixels: int, bands: int, msi_bands: int) -> int:
    """About how many bytes a GLOBAL method holds at its peak, the images included."""
    images = 4 * (2 * msi_bands * fine_pixels + 5 * bands * coarse_pixels)
    return images + _module(GLOBAL[name]).memory(fine_pixels, coarse_pixels)


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)
