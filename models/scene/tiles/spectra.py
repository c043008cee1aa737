"""From fused coefficients back to spectra: the basis, and what lies outside the subspace, let through as far as it is
signal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...observation import coarse_seen, coarse_shape
from ..block import Block
from ..laws.closed_forms import detail_image, mix
from ..model import CoefficientModel, SceneModel
from ..window import Place, Window

PATCH = 128  # fine pixels: spectra are made in squares of this size, whose temporaries fit into the cache


def outside_part(scene: SceneModel, block: Block) -> np.ndarray:
    """What GLP-HS says of a block's spectra outside the subspace, gated by signal-to-noise: (L, H, W)."""
    down, up = block.place.operators(scene.coefficients)
    _, _, detail = detail_image(scene.standardise(block.z) * block.z_mask, block.z_mask, down, up)
    subspace = scene.subspace
    rest = block.y - subspace.expand(subspace.project(block.y))
    rest_up, _ = up.masked(rest.astype(np.float32), block.y_mask)
    return (scene.gate[:, None, None] * (rest_up + mix(scene.outside, detail))).astype(np.float32)


def expand_tile(scene: SceneModel, x: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Spectra (L, H, W) in the HSI's units of coefficients (K, H, W) and the gated outside part."""
    return (scene.subspace.expand(x) + outside).astype(np.float32)


def fused_spectra(scene: SceneModel, x: np.ndarray, block: Block, core: Window) -> np.ndarray:
    """Spectra (L, rows, cols) float32 of coefficients x (K, rows, cols) of the absolute fine pixels `core` of a block.

    The same as `expand_tile` of `outside_part` over the whole block and cut to the core, but all bands of the halo are
    never made: they would be most of a tile's memory.
    """
    model, subspace, place, hsi = scene.coefficients, scene.subspace, block.place, block.y
    z = scene.standardise(block.z) * block.z_mask
    down = place.degradation(model)
    low, support = down.masked(z, block.z_mask)
    known = (support > down.least_support).astype(low.dtype)
    rest = (hsi - subspace.expand(subspace.project(hsi))).astype(np.float32)
    rest *= scene.gate[:, None, None].astype(np.float32)
    # One product gives what the basis and the gated detail add.
    matrix = np.concatenate([subspace.basis, scene.gate[:, None] * scene.outside], axis=1).astype(np.float32)
    mean = subspace.mean.astype(np.float32)[:, None]
    values = np.empty((len(hsi), *core.shape), np.float32)
    for patch in _patches(core):
        coarse = _coarse_of(patch, model, place)
        at, fine = coarse.inside(place.coarse), patch.inside(place.fine)
        up = Place(patch, coarse).upsampling(model)
        low_up, _ = up.masked(low[(slice(None), *at)], known[at])
        detail = (z[(slice(None), *fine)] - low_up) * block.z_mask[fine]
        there = (slice(None), *patch.inside(core))
        both = np.concatenate([x[there], detail]).astype(np.float32, copy=False)
        spectra, _ = up.masked(rest[(slice(None), *at)], block.y_mask[at])
        spectra = np.ascontiguousarray(spectra, np.float32).reshape(len(hsi), -1)
        spectra += matrix @ both.reshape(len(both), -1)
        spectra += mean
        values[there] = spectra.reshape(-1, *both.shape[1:])
    return values


def bounded_tile(scene: SceneModel, x: np.ndarray, block: Block) -> np.ndarray:
    """Spectra (L, H, W) of coefficients (K, H, W) of all of a block that is a whole scene, within its bounds."""
    values = expand_tile(scene, x, outside_part(scene, block))
    scene.bounds.apply(values, block.place.fine, block, scene.coefficients.sampling)
    return values


def spectral_std(scene: SceneModel, x_std: np.ndarray) -> np.ndarray:
    """Standard deviation (L, ...) float32 of spectra whose coefficients have x_std (K, ...), what lies outside the
    subspace included.
    """
    variance = scene.error_law().astype(np.float32) @ (x_std.reshape(len(x_std), -1).astype(np.float32) ** 2)
    variance += (scene.outside_std**2).astype(np.float32)[:, None]
    return np.sqrt(variance, out=variance).reshape(-1, *x_std.shape[1:])


def _patches(core: Window) -> Iterator[Window]:
    height, width = core.shape
    for row in range(0, height, PATCH):
        for col in range(0, width, PATCH):
            yield core.part(slice(row, row + PATCH), slice(col, col + PATCH))


def _coarse_of(fine: Window, model: CoefficientModel, place: Place) -> Window:
    """The coarse pixels of a place that interpolation to the fine pixels takes."""
    s = model.sampling
    if s.displacement is not None:
        return Window(*coarse_seen(fine.axes, model.scene_shape, s)) & place.coarse
    sizes, shifts = coarse_shape(model.scene_shape, s.ratio), (s.shift_y, s.shift_x)
    return Window(
        *(
            _seen(axis, known, size, s.ratio, shift)
            for axis, known, size, shift in zip(fine.axes, place.coarse.axes, sizes, shifts)
        )
    )


def _seen(fine: range, coarse: range, size: int, ratio: float, shift: float) -> range:
    """The coarse pixels, of those at hand, that cubic interpolation to the fine ones takes; `size`: of the scene."""
    first, last = (int(np.floor((f + 0.5 - shift) / ratio - 0.5)) for f in (fine.start, fine.stop - 1))
    taps = np.mod(np.arange(first - 2, last + 4), 2 * size)
    taps = np.where(taps >= size, 2 * size - 1 - taps, taps)
    start = min(max(int(taps.min()), coarse.start), coarse.stop - 1)
    return range(start, max(min(int(taps.max()) + 1, coarse.stop), start + 1))
