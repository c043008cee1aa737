"""The plan of tiles: cores that cover the output, each with the halo that makes its pixels independent of the cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...observation import Sampling, coarse_seen
from ..laws.closed_forms import LOC_REACH
from ..laws.denoising import REACH
from ..laws.observation import map_kernel
from ..model import CoefficientModel
from ..pixels.bounds import cell_reach
from ..window import Place, Window

COARSE_HALO = (
    LOC_REACH + 2
)  # HSI pixels: LOC's window, the PSF and the interpolation; of what the slopes see around those, too little is left
LARGEST_HALO = 32  # HSI pixels: what MAP may need more, see `coarse_halo`
SPARE = 1  # HSI pixels more where the HSI is displaced, for what is found between its pixels
KERNEL_TAIL = 1e-5  # share of MAP's kernel beyond which the data range no longer feels it


@dataclass(frozen=True)
class Tile:
    """core: the absolute fine pixels that this tile gives; place: what it must see for that, halo included."""

    core: Window
    place: Place

    @property
    def inner(self) -> tuple[slice, slice]:
        """The core as slices of the tile's fine window."""
        return self.core.inside(self.place.fine)


def plan_tiles(output: Window, model: CoefficientModel, size: int, halo: int = 0, multiple: int = 1) -> list[Tile]:
    """Tiles over the window `output` of fine pixels, cut at absolute multiples of `size`.

    halo: fine pixels that the network needs around the core. A window holds that, or the closed forms' own
    `coarse_halo` of filtered pixels where that is more, around the core and the HSI pixels that it cuts, which are
    bounded as a whole. Windows start at multiples of `multiple`, and end there or at the scene's border.
    """
    size = max(multiple, size // multiple * multiple)
    reach = tile_reach(model, halo) + cell_reach(model.sampling)
    return [
        Tile(core, place_of(core, model.scene_shape, model.sampling, reach, multiple)) for core in output.cuts(size)
    ]


def tile_reach(model: CoefficientModel, halo: int = 0) -> int:
    """MSI pixels that a window must see around it: the network's halo, or the closed forms' own where that is more."""
    return max(halo, int(np.ceil(coarse_halo(model) * model.sampling.ratio)) + REACH)


def coarse_halo(model: CoefficientModel) -> int:
    """HSI pixels that a tile must see around its core: COARSE_HALO, and as far as MAP reaches where it inverts a wide
    PSF with little noise.

    A displacement that stretches the HSI's grid takes as many pixels further.
    """
    spread = np.maximum(model.prior_std, model.target_std)  # data consistency is MAP with a smaller one
    kernel = map_kernel(model.sampling.undisplaced, model.response, model.y_std, model.z_std, spread, LARGEST_HALO)
    profile = np.maximum(kernel.max(axis=0), kernel.max(axis=1))[LARGEST_HALO:]
    reach = max(COARSE_HALO, int(np.flatnonzero(profile > KERNEL_TAIL)[-1]))
    displacement = model.sampling.displacement
    return reach if displacement is None else int(np.ceil(reach * (1.0 + displacement.strain))) + SPARE


def place_of(core: Window, scene_shape: tuple[int, int], sampling: Sampling, reach: int, multiple: int = 1) -> Place:
    """The window around a core: fine pixels with `reach` to each side, coarse pixels whose centres lie within."""
    fine = core.grown(reach, scene_shape, multiple)
    return Place(fine, Window(*coarse_seen(fine.axes, scene_shape, sampling)))
