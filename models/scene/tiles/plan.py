"""The plan of tiles: cores that cover the output, each with the halo that makes its pixels independent of the cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...observation import Sampling, coarse_seen
from ..laws.closed_forms import LOC_REACH, map_kernel
from ..laws.denoising import REACH
from ..methods.subspace import Place
from ..model import CoefficientModel

COARSE_HALO = (
    LOC_REACH + 2
)  # HSI pixels: LOC's window, the PSF and the interpolation; of what the slopes see around those, too little is left
LARGEST_HALO = 32  # HSI pixels: what MAP may need more, see `coarse_halo`
SPARE = 1  # HSI pixels more where the HSI is displaced, for what is found between its pixels
KERNEL_TAIL = 1e-5  # share of MAP's kernel beyond which the data range no longer feels it


@dataclass(frozen=True)
class Tile:
    """core_rows, core_cols: absolute fine pixels that this tile gives; place: what it must see for that, halo included."""

    core_rows: range
    core_cols: range
    place: Place

    @property
    def inner(self) -> tuple[slice, slice]:
        """The core as slices of the tile's fine window."""
        return tuple(  # type: ignore[return-value]
            slice(core.start - seen.start, core.stop - seen.start)
            for core, seen in ((self.core_rows, self.place.fine_rows), (self.core_cols, self.place.fine_cols))
        )


def plan_tiles(
    rows: range, cols: range, model: CoefficientModel, size: int, halo: int = 0, multiple: int = 1
) -> list[Tile]:
    """Tiles over the output window `rows` x `cols`, cut at absolute multiples of `size`.

    halo: fine pixels that the network needs around the core. A window holds that and the closed forms' own `coarse_halo` of filtered pixels,
    whichever is more: where the network's halo ends, the closed forms need not be right to the last digit. Windows start at multiples of `multiple`
    and end there too, or at the scene's border.
    """
    size = max(multiple, size // multiple * multiple)
    reach = max(halo, int(np.ceil(coarse_halo(model) * model.sampling.ratio)) + REACH)
    return [
        Tile(core_rows, core_cols, place_of(core_rows, core_cols, model.scene_shape, model.sampling, reach, multiple))
        for core_rows in _cuts(rows, size)
        for core_cols in _cuts(cols, size)
    ]


def coarse_halo(model: CoefficientModel) -> int:
    """HSI pixels that a tile must see around its core: COARSE_HALO, and as far as MAP reaches where it inverts a wide PSF with little noise.

    A displacement that stretches the HSI's grid takes as many pixels further.
    """
    spread = np.maximum(model.prior_std, model.target_std)  # data consistency is MAP with a smaller one
    kernel = map_kernel(model.sampling.undisplaced, model.response, model.y_std, model.z_std, spread, LARGEST_HALO)
    profile = np.maximum(kernel.max(axis=0), kernel.max(axis=1))[LARGEST_HALO:]
    reach = max(COARSE_HALO, int(np.flatnonzero(profile > KERNEL_TAIL)[-1]))
    displacement = model.sampling.displacement
    return reach if displacement is None else int(np.ceil(reach * (1.0 + displacement.strain))) + SPARE


def place_of(
    core_rows: range, core_cols: range, scene_shape: tuple[int, int], sampling: Sampling, reach: int, multiple: int = 1
) -> Place:
    """The window around a core: fine pixels with `reach` to each side, coarse pixels whose centres lie within."""
    fine = [
        range(
            max(0, core.start - reach) // multiple * multiple, min(size, -(-(core.stop + reach) // multiple) * multiple)
        )
        for core, size in ((core_rows, scene_shape[0]), (core_cols, scene_shape[1]))
    ]
    return Place(fine[0], fine[1], *coarse_seen((fine[0], fine[1]), scene_shape, sampling))


def _cuts(whole: range, size: int) -> list[range]:
    edges = [whole.start, *range((whole.start // size + 1) * size, whole.stop, size), whole.stop]
    return [range(a, b) for a, b in zip(edges[:-1], edges[1:]) if b > a]
