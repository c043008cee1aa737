"""The methods that work on all bands, not on subspace coefficients, behind one door: fit to a scene once, then give any window of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ..block import Block
from ..methods import cnmf, hysure
from ..model import SceneModel
from ..window import Window
from .gsa import fit_gsa, gsa_window
from .sfim import fit_sfim, sfim_window

TILED = ("gsa", "sfim-hs")
GLOBAL = ("cnmf", "hysure")
FULL_BAND = (*TILED, *GLOBAL)


@dataclass(frozen=True)
class FullBand:
    """A method fitted to a scene: window(block, core) gives the spectra (L, rows, cols) of the absolute fine pixels `core` of a block.

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
    """`name` of FULL_BAND fitted to a scene whose statistics come from `blocks`; whole() gives all of it, asked for by a GLOBAL method only.

    The listener hears the share of the work that is done and may end it.
    """
    if name == "gsa":
        gains = fit_gsa(blocks, scene)
        return FullBand(name, lambda block, core: gsa_window(block, scene, gains, core))
    if name == "sfim-hs":
        sharp = fit_sfim(blocks, scene)
        return FullBand(name, lambda block, core: sfim_window(block, scene, sharp, core))
    block = whole()
    solve = {"cnmf": cnmf.cnmf, "hysure": hysure.hysure}[name]
    found = solve(block, scene.coefficients.sampling, scene.spectral_response, scene.spectral_offset, listener=listener)
    return FullBand(name, lambda _, core: found.expand(*core.inside(block.place.fine)))


def memory_needed(name: str, fine_pixels: int, coarse_pixels: int, bands: int, msi_bands: int) -> int:
    """About how many bytes a GLOBAL method holds at its peak, the images included."""
    images = 4 * (2 * msi_bands * fine_pixels + 5 * bands * coarse_pixels)
    if name == "cnmf":
        return images + 4 * cnmf.ENDMEMBERS * (4 * fine_pixels + 6 * coarse_pixels)
    return images + 4 * hysure.COMPONENTS * hysure.COPIES * fine_pixels
