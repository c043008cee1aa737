"""The loop over tiles: reading, fusing and expanding overlap, each in threads of its own; results come back in
order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np

from ....models.scene.block import Block
from ....models.scene.model import SceneModel
from ....models.scene.pixels.bounds import cell_reach
from ....models.scene.posterior.members import Members, MembersHere
from ....models.scene.tiles.plan import Tile, coarse_halo, place_of
from ....models.scene.tiles.spectra import fused_spectra, spectral_std
from ....models.scene.window import Place, Window
from ..methods.method import Answer, Method
from ..pair.pair import Pair
from ..run.progress import Progress
from .call_times import CallTimes


@dataclass(frozen=True)
class FusedTile:
    """A tile or part of one: values (L, rows, cols) of the core in the HSI's units, NaN without support; the rest is
    for pictures and checks.

    hsi (L, h, w) and hsi_mask: the coarse pixels of the tile's place; msi (l, rows, cols) in its own units, NaN where
    unknown. known, bounded (rows, cols) bool: where there is support, where a bound of the scene was reached. filled
    (h, w) bool: coarse pixels with predicted entries;
    left_out (rows, cols) bool: where the MSI takes no part and the result is the interpolated HSI. members: what is
    drawn around the values, or samples (S, L, rows, cols).
    """

    tile: Tile
    values: np.ndarray
    known: np.ndarray
    hsi: np.ndarray
    hsi_mask: np.ndarray
    msi: np.ndarray
    filled: np.ndarray
    left_out: np.ndarray
    bounded: np.ndarray
    scene: SceneModel
    x_std: np.ndarray | None = None
    full_std: np.ndarray | None = None
    band_std: np.ndarray | None = None
    members: MembersHere | None = None
    samples: Callable[[int], np.ndarray] | None = None

    def member(self, number: int) -> np.ndarray:
        """One member of the ensemble (L, rows, cols), NaN without support; made when it is asked for."""
        if self.samples is not None:
            found = self.samples(number)
            found[:, ~self.known] = np.nan
            return found
        return self.values + self.members.deviation(number)

    def std(self, rows: slice = slice(None), cols: slice = slice(None)) -> np.ndarray | None:
        """Standard deviation (L, rows, cols) of some of the values, NaN without support; None where the method knows
        none.

        Made when it is asked for: of all pixels it is as large as the values.
        """
        known = self.known[rows, cols]
        if self.full_std is not None:
            found = self.full_std[:, rows, cols].copy()
        elif self.x_std is not None:
            found = spectral_std(self.scene, self.x_std[:, rows, cols])
        elif self.band_std is not None:
            found = np.empty((len(self.band_std), *known.shape), np.float32)
            found[:] = self.band_std[:, None, None]
        else:
            return None
        if not known.all():
            found[:, ~known] = np.nan
        return found

    def interpolated(self, model: SceneModel, window: Window, bands: list[int] | None = None) -> np.ndarray:
        """Cubic interpolation of the HSI (some bands of it) on a window of the core, for pictures: (bands,
        rows, cols).
        """
        up = self.tile.place.upsampling(model.coefficients, window)
        return up.masked(self.hsi if bands is None else self.hsi[bands], self.hsi_mask)[0]


@dataclass(frozen=True)
class _Read:
    """A block as it was read; filled (h, w) and left_out (H, W) bool as `FusedTile` has them, of all of the block."""

    block: Block
    filled: np.ndarray
    left_out: np.ndarray

    def cut(self, place: Place) -> _Read:
        """The part of it that lies in `place`."""
        old, new = self.block.place, place & self.block.place
        filled, left_out = self.filled[new.coarse.inside(old.coarse)], self.left_out[new.fine.inside(old.fine)]
        return _Read(self.block.cut(place), filled, left_out)


@dataclass(frozen=True)
class Around:
    """The expected error (K, rows, cols) of the coefficients on a window: a core and so much around it as members
    depend on.
    """

    std: np.ndarray
    window: Window

    def on(self, window: Window) -> np.ndarray:
        """On another window; what lies beyond is the nearest that is known."""
        rows, cols = (
            np.clip(np.arange(axis.start, axis.stop), own.start, own.stop - 1) - own.start
            for axis, own in zip(window.axes, self.window.axes)
        )
        return self.std[:, rows[:, None], cols[None, :]]


@dataclass(frozen=True)
class _Asked:
    """What was read, what the method says of the pixels `seen`, and the expected error around the core where members
    need it.
    """

    read: _Read
    answer: Answer
    seen: Window
    around: Around | None = None

    def part(self, tile: Tile, seen: Window) -> _Asked:
        """Of a part of the tile and the pixels `seen` around it, with the surroundings that the part needs."""
        return _Asked(self.read.cut(tile.place), self.answer.part(seen, self.seen), seen, self.around)


class _Line:
    """The stations that a tile passes; a pure function of the tile's surroundings and the scene model."""

    def __init__(
        self,
        pair: Pair,
        scene: SceneModel,
        method: Method,
        progress: Progress,
        calls: CallTimes,
        members: Members | None,
    ) -> None:
        self.pair, self.scene, self.method, self.progress, self.calls = pair, scene, method, progress, calls
        self.members = members
        # A full-band model in windows would have to work on a further ring of them.
        self.bounds = method.in_coefficients or not method.remote

    def read(self, tile: Tile) -> _Read:
        """Both rasters around a tile."""
        self.progress.check()
        place = tile.place
        hsi = self.pair.repaired_hsi(*place.coarse.axes)
        self.progress.check()
        msi = self.pair.checked_msi(*place.fine.axes)
        block = Block(hsi.values, msi.values, hsi.mask, msi.mask, self.scene.coefficients.scene_shape, place)
        return _Read(block, hsi.filled, msi.left_out)

    def ask(self, tile: Tile, reading: Future[_Read]) -> _Asked:
        """What the method makes of it."""
        read = reading.result()
        self.progress.check()
        wide = self.members is not None and self.method.remote  # the error that it tells is needed around the core, too
        seen = self._around(tile, member_reach(self.scene) if wide else 0)
        with self.calls.call(tile) if self.method.remote else nullcontext():
            answer = self.method.fuse(read.block, self.scene, seen)
        return _Asked(read, answer, seen, Around(answer.x_std, seen) if wide else None)

    def _around(self, tile: Tile, least: int = 0) -> Window:
        """The core of a tile and the HSI pixels that it cuts, which are bounded as a whole."""
        reach = max(least, cell_reach(self.scene.coefficients.sampling)) if self.bounds else least
        return tile.core.grown(reach, self.scene.coefficients.scene_shape) & tile.place.fine

    def finish(self, whole: Tile, tile: Tile, answering: Future[_Asked]) -> FusedTile:
        """Spectra of the core of `tile`, which is the whole one or part of it."""
        asked, scene = answering.result(), self.scene
        self.progress.check()
        asked = asked.part(tile, self._around(tile))
        read, block = asked.read, asked.read.block
        values, known, bounded = self._values(asked)
        core, inner = tile.core.inside(asked.seen), tile.inner
        seen, left_out = block.z_mask[inner] > 0, read.left_out[inner]
        msi = block.z[(slice(None), *inner)]
        if not seen.all():
            msi = np.where(seen, msi, np.float32(np.nan))
        answer = asked.answer.part(tile.core, asked.seen)
        return FusedTile(
            tile=tile,
            values=np.ascontiguousarray(values[(slice(None), *core)]),
            known=known[core],
            bounded=bounded[core],
            hsi=block.y,
            hsi_mask=block.y_mask,
            msi=msi,
            filled=read.filled,
            left_out=left_out,
            scene=scene,
            x_std=answer.x_std,
            full_std=answer.std,
            band_std=self.method.band_std,
            members=self._members(asked, tile.core),
            samples=self._samples(replace(asked, answer=answer), tile.core),
        )

    def _values(self, asked: _Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Spectra (L, rows, cols) of the pixels `asked.seen` within the scene's bounds, NaN without support; where
        there is support, and where a bound was reached, bool (rows, cols).
        """
        scene, block, seen = self.scene, asked.read.block, asked.seen
        sampling, at = scene.coefficients.sampling, seen.inside(block.place.fine)
        values = asked.answer.spectra
        if values is None:
            values = fused_spectra(scene, asked.answer.x, block, seen)
        values = values.astype(np.float32, copy=False)
        left_out = asked.read.left_out[at]
        known = _support(scene, block, seen) & ((block.z_mask[at] > 0) | left_out)
        if not known.all():
            values[:, ~known] = np.nan
        if left_out.any():
            there = known & left_out
            values[:, there] = block.interpolated(sampling, seen)[:, there]
        bounded = scene.bounds.apply(values, seen, block, sampling) if self.bounds else np.zeros(seen.shape, bool)
        return values, known, bounded

    def _members(self, asked: _Asked, core: Window) -> MembersHere | None:
        if self.members is None:
            return None
        block, around = asked.read.block, asked.around
        return self.members.around(block, core, None if around is None else around.on(block.place.fine))

    def _samples(self, asked: _Asked, core: Window) -> Callable[[int], np.ndarray] | None:
        """Spectra of one of the method's own samples, made when they are asked for."""
        drawn, block = asked.answer.samples, asked.read.block
        return None if drawn is None else lambda number: fused_spectra(self.scene, drawn[number], block, core)


def member_reach(scene: SceneModel) -> int:
    """Fine pixels around a core that the members' pixels depend on."""
    return int(np.ceil(coarse_halo(scene.coefficients) * scene.coefficients.sampling.ratio))


def parts_of(tile: Tile, scene: SceneModel, size: tuple[int, int]) -> list[Tile]:
    """The tile cut at absolute multiples of `size` (rows, columns), each part with the surroundings that its spectra
    depend on.
    """
    if tile.core.shape[0] <= size[0] and tile.core.shape[1] <= size[1]:
        return [tile]
    model = scene.coefficients
    reach = int(np.ceil(coarse_halo(model) * model.sampling.ratio))
    return [
        Tile(core, place_of(core, model.scene_shape, model.sampling, reach) & tile.place)
        for core in tile.core.cuts(*size)
    ]


def _support(scene: SceneModel, block: Block, core: Window) -> np.ndarray:
    """Where at least half of the interpolation's weight lies on valid HSI pixels."""
    if block.y_mask.all():
        return np.ones(core.shape, bool)
    return block.upsampling(scene.coefficients.sampling, core)(block.y_mask) >= 0.5


def fused_tiles(
    pair: Pair,
    scene: SceneModel,
    method: Method,
    tiles: list[Tile],
    progress: Progress,
    calls: CallTimes | None = None,
    part: tuple[int, int] | None = None,
    members: Members | None = None,
) -> Iterator[FusedTile]:
    """All tiles in order, or with `part` their parts of up to so many rows and columns; raises Cancelled, and whatever
    a tile raises.

    members: what is drawn around the result, for which the tiles were planned with `member_reach` more around them.

    While the caller writes one part, the next is expanded and the tiles after it are read and with the method. At most
    `method.workers` tiles are in memory, from reading until their last part is written, and at most two parts as full
    spectra. This bound holds only if the caller drops each part before asking for the next.
    """
    line, workers = _Line(pair, scene, method, progress, calls or CallTimes(), members), method.workers
    # Closed forms are made of one tile at a time: at the start, where nothing is finished yet, two would hold more than
    # the run ever needs.
    names = {"read": 1, "ask": workers if method.remote else 1, "finish": 1}
    pools = {name: ThreadPoolExecutor(count, thread_name_prefix=f"hsfusion-{name}") for name, count in names.items()}
    asked: deque[tuple[Tile, Future[_Asked]]] = deque()
    waiting: deque[tuple[Tile, Tile, Future[_Asked]]] = deque()  # tile, part of it, answer
    finishing: deque[tuple[int, Future[FusedTile]]] = deque()  # pixels, result
    begun: deque[int] = deque()  # of each tile that is being finished, how many parts are still to come
    queue = iter(tiles)

    def refill() -> None:
        while len(asked) < workers - len(begun):
            tile = next(queue, None)
            if tile is None:
                return
            reading = pools["read"].submit(line.read, tile)
            asked.append((tile, pools["ask"].submit(line.ask, tile, reading)))

    try:
        refill()
        done, every = 0, sum(tile.core.pixels for tile in tiles)
        while asked or waiting or finishing:
            while (asked or waiting) and len(finishing) < 2:
                if not waiting:
                    tile, answering = asked.popleft()
                    parts = parts_of(tile, scene, part) if part else [tile]
                    waiting.extend((tile, one, answering) for one in parts)
                    begun.append(len(parts))
                whole, one, answering = waiting.popleft()
                finishing.append((one.core.pixels, pools["finish"].submit(line.finish, whole, one, answering)))
                del answering  # with the tile's pixels
            done += finishing[0][0]
            yield result(
                finishing.popleft()[1], progress
            )  # kept under no name: its spectra go when the caller lets go of them
            progress.step(done / every)
            begun[0] -= 1
            if not begun[0]:
                begun.popleft()
                refill()
    finally:
        for _, future in (*finishing, *asked, *((tile, answer) for tile, _, answer in waiting)):
            future.cancel()
        for pool in pools.values():
            pool.shutdown(wait=True)  # a thread that outlives QGIS's interpreter crashes it; `check` ends it soon


def result(future: Future[Any], progress: Progress) -> Any:
    """Of a call in another thread; raises Cancelled, and whatever the call raises."""
    while not wait([future], timeout=0.2).done:
        progress.check()
    return future.result()
