"""The loop over tiles: read, fuse, expand, in a few threads at once; results come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Callable

import numpy as np

from ...models.observation import Upsampling
from ...models.scene.blocks import Block
from ...models.scene.full_band import FullBand
from ...models.scene.fusion import expand_tile, outside_part
from ...models.scene.model import SceneModel
from ...models.scene.tiling import Tile
from .methods import Arrays, Diffusion, Method
from .pair import Pair
from .progress import Progress
from .published import Published

IN_FLIGHT = 2


@dataclass(frozen=True)
class FusedTile:
    """values (L, rows, cols) of the core in the HSI's units, NaN without support; std the same or None; the rest is for pictures and checks.

    hsi (L, h, w) and hsi_mask: the coarse pixels of the tile's place; msi (l, rows, cols) in its own units, NaN where unknown.
    """

    tile: Tile
    values: np.ndarray
    std: np.ndarray | None
    hsi: np.ndarray
    hsi_mask: np.ndarray
    msi: np.ndarray

    def interpolated(self, model: SceneModel, rows: range, cols: range, bands: list[int] | None = None) -> np.ndarray:
        """Cubic interpolation of the HSI (some bands of it) on a window of the core, for pictures: (bands, rows, cols)."""
        c, place = model.coefficients, self.tile.place
        up = Upsampling(c.sampling, c.scene_shape, rows, cols, place.coarse_rows, place.coarse_cols)
        return up.masked(self.hsi if bands is None else self.hsi[bands], self.hsi_mask)[0]


def fuse_tile(
    pair: Pair,
    scene: SceneModel,
    method: Method | FullBand | Published,
    tile: Tile,
    want_std: bool,
    check: Callable[[], None] = lambda: None,
) -> FusedTile:
    """One tile from rasters to spectra; a pure function of the tile's surroundings and the scene model. `check` may raise to end it."""
    place = tile.place
    hsi, y_mask = pair.read_hsi(place.coarse_rows, place.coarse_cols)
    msi, z_mask = pair.read_msi(place.fine_rows, place.fine_cols)
    check()
    inner, x_std, std = tile.inner, None, None
    block = Block(hsi, msi, y_mask, z_mask, scene.coefficients.scene_shape, **vars(place))
    if isinstance(method, FullBand):
        values = method.window(block, tile.core_rows, tile.core_cols).astype(np.float32, copy=False)
    elif isinstance(method, Published):
        values, std = method.spectra(block, tile.core_rows, tile.core_cols, scene.coefficients.sampling)
    else:
        z = scene.standardise(msi) * z_mask
        y = (scene.subspace.project(hsi) * y_mask).astype(np.float32)
        x, x_std = method(Arrays(y, z, y_mask, z_mask), scene.coefficients, tile)
        check()
        outside = outside_part(scene, hsi, y_mask, z, z_mask, place)[(slice(None), *inner)]
        values = expand_tile(scene, x, outside)
    check()
    known = _support(scene, y_mask, tile) & (z_mask[inner] > 0)
    values[:, ~known] = np.nan
    if want_std and x_std is not None:
        variance = np.tensordot(scene.subspace.basis**2, x_std.astype(np.float64) ** 2, axes=1)
        std = np.sqrt(variance + scene.outside_std[:, None, None] ** 2).astype(np.float32)
    elif want_std and method.band_std is not None:
        std = np.broadcast_to(method.band_std[:, None, None], values.shape).astype(np.float32)
    if std is not None:
        std[:, ~known] = np.nan
    core = msi[(slice(None), *inner)]
    return FusedTile(tile, values, std, hsi, y_mask, np.where(z_mask[inner] > 0, core, np.float32(np.nan)))


def _support(scene: SceneModel, y_mask: np.ndarray, tile: Tile) -> np.ndarray:
    """Where at least half of the interpolation's weight lies on valid HSI pixels."""
    if y_mask.all():
        return np.ones((len(tile.core_rows), len(tile.core_cols)), bool)
    c, place = scene.coefficients, tile.place
    up = Upsampling(c.sampling, c.scene_shape, tile.core_rows, tile.core_cols, place.coarse_rows, place.coarse_cols)
    return up(y_mask) >= 0.5


def fused_tiles(
    pair: Pair,
    scene: SceneModel,
    method: Method | FullBand | Published,
    tiles: list[Tile],
    want_std: bool,
    progress: Progress,
) -> Iterator[FusedTile]:
    """All tiles in order, a few of them under way at a time; raises Cancelled, and whatever a tile raises."""
    # A closed form keeps all cores busy through BLAS; a second one beside it would only get in its way.
    workers = IN_FLIGHT if isinstance(method, (Diffusion, Published)) else 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hsfusion-tile")
    waiting: deque[Future[FusedTile]] = deque()
    queue = iter(tiles)
    try:
        for number in range(len(tiles)):
            while len(waiting) < workers + 1:
                tile = next(queue, None)
                if tile is None:
                    break
                waiting.append(pool.submit(fuse_tile, pair, scene, method, tile, want_std, progress.check))
            yield _result(waiting.popleft(), progress)
            progress.step((number + 1) / len(tiles))
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True)  # a thread that outlives QGIS's interpreter crashes it; `check` ends it soon


def _result(future: Future[FusedTile], progress: Progress) -> FusedTile:
    while not wait([future], timeout=0.2).done:
        progress.check()
    return future.result()
