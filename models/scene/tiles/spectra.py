"""From fused coefficients back to spectra: the basis, and what lies outside the subspace, let through as far as it is signal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...observation import Upsampling, coarse_seen, coarse_shape
from ..laws.closed_forms import detail_image, mix
from ..methods.subspace import Place
from ..model import CoefficientModel, SceneModel

PATCH = 128  # fine pixels: spectra are made in squares of this size, whose temporaries fit into the cache


def outside_part(
    scene: SceneModel, hsi: np.ndarray, y_mask: np.ndarray, z: np.ndarray, z_mask: np.ndarray, place: Place
) -> np.ndarray:
    """What GLP-HS says of the spectra outside the subspace, gated by signal-to-noise: (L, H, W) from hsi (L, h, w), z (l, H, W) standardised."""
    down, up = place.operators(scene.coefficients)
    _, _, detail = detail_image(z, z_mask, down, up)
    subspace = scene.subspace
    rest = hsi - subspace.expand(subspace.project(hsi))
    rest_up, _ = up.masked(rest.astype(np.float32), y_mask)
    return (scene.gate[:, None, None] * (rest_up + mix(scene.outside, detail))).astype(np.float32)


def expand_tile(scene: SceneModel, x: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Spectra (L, H, W) in the HSI's units of coefficients (K, H, W) and the gated outside part."""
    return (scene.subspace.expand(x) + outside).astype(np.float32)


def fused_spectra(
    scene: SceneModel,
    x: np.ndarray,
    hsi: np.ndarray,
    y_mask: np.ndarray,
    z: np.ndarray,
    z_mask: np.ndarray,
    place: Place,
    rows: range,
    cols: range,
) -> np.ndarray:
    """Spectra (L, rows, cols) float32 of coefficients x (K, rows, cols) of the absolute fine pixels rows x cols inside `place`.

    The same as `expand_tile` of `outside_part` over the whole place and cut to rows x cols, but all bands of the halo are never made: they
    would be most of a tile's memory.
    """
    model, subspace = scene.coefficients, scene.subspace
    down, _ = place.operators(model)
    low, support = down.masked(z, z_mask)
    known = (support > down.least_support).astype(low.dtype)
    rest = (hsi - subspace.expand(subspace.project(hsi))).astype(np.float32)
    rest *= scene.gate[:, None, None].astype(np.float32)
    # One product gives what the basis and the gated detail add.
    matrix = np.concatenate([subspace.basis, scene.gate[:, None] * scene.outside], axis=1).astype(np.float32)
    mean = subspace.mean.astype(np.float32)[:, None]
    values = np.empty((len(hsi), len(rows), len(cols)), np.float32)
    for part_rows, part_cols in _patches(rows, cols):
        (coarse_rows, at_rows), (coarse_cols, at_cols) = _coarse_of(part_rows, part_cols, model, place)
        up = Upsampling(model.sampling, model.scene_shape, part_rows, part_cols, coarse_rows, coarse_cols)
        fine = (_inside(part_rows, place.fine_rows), _inside(part_cols, place.fine_cols))
        low_up, _ = up.masked(low[:, at_rows, at_cols], known[at_rows, at_cols])
        detail = (z[(slice(None), *fine)] - low_up) * z_mask[fine]
        there = (slice(None), _inside(part_rows, rows), _inside(part_cols, cols))
        both = np.concatenate([x[there], detail]).astype(np.float32, copy=False)
        patch, _ = up.masked(rest[:, at_rows, at_cols], y_mask[at_rows, at_cols])
        patch = np.ascontiguousarray(patch, np.float32).reshape(len(hsi), -1)
        patch += matrix @ both.reshape(len(both), -1)
        patch += mean
        values[there] = patch.reshape(-1, *both.shape[1:])
    return values


def spectral_std(scene: SceneModel, x_std: np.ndarray) -> np.ndarray:
    """Standard deviation (L, ...) float32 of spectra whose coefficients have x_std (K, ...), what lies outside the subspace included."""
    variance = scene.error_law().astype(np.float32) @ (x_std.reshape(len(x_std), -1).astype(np.float32) ** 2)
    variance += (scene.outside_std**2).astype(np.float32)[:, None]
    return np.sqrt(variance, out=variance).reshape(-1, *x_std.shape[1:])


def _patches(rows: range, cols: range) -> Iterator[tuple[range, range]]:
    for row in range(0, len(rows), PATCH):
        for col in range(0, len(cols), PATCH):
            yield rows[row : row + PATCH], cols[col : col + PATCH]


def _inside(part: range, whole: range) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _coarse_of(rows: range, cols: range, model: CoefficientModel, place: Place) -> list[tuple[range, slice]]:
    """The coarse rows and columns of a place that interpolation to fine pixels rows x cols takes up, each with its slice."""
    s = model.sampling
    known = (place.coarse_rows, place.coarse_cols)
    if s.displacement is not None:
        seen = coarse_seen((rows, cols), model.scene_shape, s)
        parts = [range(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(seen, known)]
        return [(part, _inside(part, whole)) for part, whole in zip(parts, known)]
    sizes, shifts = coarse_shape(model.scene_shape, s.ratio), (s.shift_y, s.shift_x)
    return [
        _seen(fine, coarse, size, s.ratio, shift)
        for fine, coarse, size, shift in zip((rows, cols), known, sizes, shifts)
    ]


def _seen(fine: range, coarse: range, size: int, ratio: float, shift: float) -> tuple[range, slice]:
    """The coarse pixels, of those at hand, that cubic interpolation to the fine ones takes up (`size` of the scene's border); with their slice."""
    first, last = (int(np.floor((f + 0.5 - shift) / ratio - 0.5)) for f in (fine.start, fine.stop - 1))
    taps = np.mod(np.arange(first - 2, last + 4), 2 * size)
    taps = np.where(taps >= size, 2 * size - 1 - taps, taps)
    start = min(max(int(taps.min()), coarse.start), coarse.stop - 1)
    part = range(start, max(min(int(taps.max()) + 1, coarse.stop), start + 1))
    return part, _inside(part, coarse)
