"""The loop over tiles: reading, fusing and expanding overlap, each in threads of its own; results come back in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np

from ....models.observation import Upsampling
from ....models.scene.block import Block
from ....models.scene.methods.classical import FullBand
from ....models.scene.model import SceneModel
from ....models.scene.posterior.members import Members, MembersHere
from ....models.scene.tiles.plan import Tile, coarse_halo, place_of
from ....models.scene.tiles.spectra import fused_spectra, spectral_std
from ..methods.full_band_model import Published
from ..methods.subspace_model import Arrays, Diffusion, Method
from ..pair.pair import Pair
from ..run.progress import Progress
from .call_times import CallTimes

IN_FLIGHT = 2


@dataclass(frozen=True)
class FusedTile:
    """A tile or part of one: values (L, rows, cols) of the core in the HSI's units, NaN without support; the rest is for pictures and checks.

    hsi (L, h, w) and hsi_mask: the coarse pixels of the tile's place; msi (l, rows, cols) in its own units, NaN where unknown.
    known (rows, cols) bool: where there is support. filled (h, w) bool: coarse pixels with predicted entries; left_out (rows, cols) bool: where
    the MSI takes no part and the result is the interpolated HSI. members: what is drawn around the values, or samples (S, L, rows, cols).
    """

    tile: Tile
    values: np.ndarray
    known: np.ndarray
    hsi: np.ndarray
    hsi_mask: np.ndarray
    msi: np.ndarray
    filled: np.ndarray
    left_out: np.ndarray
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
        """Standard deviation (L, rows, cols) of some of the values, NaN without support; None where the method knows none.

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

    def interpolated(self, model: SceneModel, rows: range, cols: range, bands: list[int] | None = None) -> np.ndarray:
        """Cubic interpolation of the HSI (some bands of it) on a window of the core, for pictures: (bands, rows, cols)."""
        c, place = model.coefficients, self.tile.place
        up = Upsampling(c.sampling, c.scene_shape, rows, cols, place.coarse_rows, place.coarse_cols)
        return up.masked(self.hsi if bands is None else self.hsi[bands], self.hsi_mask)[0]


@dataclass(frozen=True)
class _Read:
    """A block as it was read; filled (h, w) and left_out (H, W) bool as `FusedTile` has them, of all of the block."""

    block: Block
    filled: np.ndarray
    left_out: np.ndarray


@dataclass(frozen=True)
class Around:
    """The expected error (K, rows, cols) of the coefficients on a core and so much around it as members depend on."""

    std: np.ndarray
    rows: range
    cols: range

    def on(self, rows: range, cols: range) -> np.ndarray:
        """On a window; what lies beyond is the nearest that is known."""
        taken = [
            np.clip(np.arange(w.start, w.stop), own.start, own.stop - 1) - own.start
            for w, own in ((rows, self.rows), (cols, self.cols))
        ]
        return self.std[:, taken[0][:, None], taken[1][None, :]]


@dataclass(frozen=True)
class _Answer:
    """What the method says of a block: coefficients x (K, rows, cols) of the core, or spectra (L, rows, cols)."""

    read: _Read
    x: np.ndarray | None = None
    x_std: np.ndarray | None = None
    spectra: np.ndarray | None = None
    std: np.ndarray | None = None
    around: Around | None = None
    samples: np.ndarray | None = None

    def part(self, part: Tile, rows: range, cols: range) -> _Answer:
        """The answer for a part of the core rows x cols, with the surroundings that the part needs."""
        b, p = self.read.block, part.place
        core = _within(part.core_rows, rows), _within(part.core_cols, cols)
        fine = _within(p.fine_rows, b.fine_rows), _within(p.fine_cols, b.fine_cols)
        coarse = _within(p.coarse_rows, b.coarse_rows), _within(p.coarse_cols, b.coarse_cols)
        seen = Block(
            b.y[(slice(None), *coarse)],
            b.z[(slice(None), *fine)],
            b.y_mask[coarse],
            b.z_mask[fine],
            b.scene_shape,
            **vars(p),
        )
        x, x_std, spectra, std = (
            None if a is None else a[(slice(None), *core)] for a in (self.x, self.x_std, self.spectra, self.std)
        )
        samples = None if self.samples is None else self.samples[(slice(None), slice(None), *core)]
        read = _Read(seen, self.read.filled[coarse], self.read.left_out[fine])
        return _Answer(read, x, x_std, spectra, std, self.around, samples)


class _Line:
    """The stations that a tile passes; a pure function of the tile's surroundings and the scene model."""

    def __init__(
        self,
        pair: Pair,
        scene: SceneModel,
        method: Method | FullBand | Published,
        progress: Progress,
        calls: CallTimes,
        members: Members | None,
    ) -> None:
        self.pair, self.scene, self.method, self.progress, self.calls = pair, scene, method, progress, calls
        self.members = members
        self.in_bands = isinstance(method, (FullBand, Published))

    def read(self, tile: Tile) -> _Read:
        """Both rasters around a tile, the MSI standardised where the method works on coefficients: nothing else is kept of it."""
        self.progress.check()
        place = tile.place
        hsi = self.pair.repaired_hsi(place.coarse_rows, place.coarse_cols)
        self.progress.check()
        msi = self.pair.checked_msi(place.fine_rows, place.fine_cols)
        z = msi.values if self.in_bands else self.scene.standardise(msi.values) * msi.mask
        block = Block(hsi.values, z, hsi.mask, msi.mask, self.scene.coefficients.scene_shape, **vars(place))
        return _Read(block, hsi.filled, msi.left_out)

    def ask(self, tile: Tile, reading: Future[_Read]) -> _Answer:
        """What the method makes of it."""
        read, scene, method = reading.result(), self.scene, self.method
        block = read.block
        self.progress.check()
        if isinstance(method, FullBand):
            return _Answer(read, spectra=method.window(block, tile.core_rows, tile.core_cols))
        if isinstance(method, Published):
            with self.calls.call(tile):
                found, std = method.spectra(block, tile.core_rows, tile.core_cols, scene.coefficients.sampling)
            return _Answer(read, spectra=found, std=std)
        y = (scene.subspace.project(block.y) * block.y_mask).astype(np.float32)
        arrays = Arrays(y, block.z, block.y_mask, block.z_mask)
        if not isinstance(method, Diffusion):
            return _Answer(read, *method(arrays, scene.coefficients, tile))
        with self.calls.call(tile):
            if self.members is None:
                samples, std = method.drawn(arrays, scene.coefficients, tile)
                mean = samples[0] if len(samples) == 1 else samples.mean(axis=0)
                return _Answer(read, mean, std, samples=samples if method.samples else None)
            wide = grown(tile, scene)
            found, std = method(arrays, scene.coefficients, wide)
        core = (slice(None), _within(tile.core_rows, wide.core_rows), _within(tile.core_cols, wide.core_cols))
        return _Answer(read, found[core], std[core], around=Around(std, wide.core_rows, wide.core_cols))

    def finish(self, whole: Tile, tile: Tile, answering: Future[_Answer]) -> FusedTile:
        """Spectra of the core of `tile`, which is the whole one or part of it."""
        answer, scene = answering.result(), self.scene
        self.progress.check()
        if tile is not whole:
            answer = answer.part(tile, whole.core_rows, whole.core_cols)
        block, inner = answer.read.block, tile.inner
        left_out = answer.read.left_out[inner]
        values = answer.spectra
        if values is None:
            values = self._spectra(answer.x, block, tile)
        values = values.astype(np.float32, copy=False)
        known = _support(scene, block.y_mask, tile) & ((block.z_mask[inner] > 0) | left_out)
        msi = block.z[(slice(None), *inner)]
        if not self.in_bands:
            msi = scene.in_units(msi)
        if not known.all():
            values[:, ~known] = np.nan
        if not (block.z_mask[inner] > 0).all():
            msi = np.where(block.z_mask[inner] > 0, msi, np.float32(np.nan))
        fused = FusedTile(
            tile,
            values,
            known,
            block.y,
            block.y_mask,
            msi,
            answer.read.filled,
            left_out,
            scene,
            answer.x_std,
            answer.std,
            self.method.band_std,
            self._members(answer, tile),
            None if answer.samples is None else lambda number: self._spectra(answer.samples[number], block, tile),
        )
        if left_out.any():
            without_msi = fused.interpolated(scene, tile.core_rows, tile.core_cols)
            values[:, known & left_out] = without_msi[:, known & left_out]
        return fused

    def _spectra(self, x: np.ndarray, block: Block, tile: Tile) -> np.ndarray:
        images = (block.y, block.y_mask, block.z, block.z_mask)
        return fused_spectra(self.scene, x, *images, tile.place, tile.core_rows, tile.core_cols)

    def _members(self, answer: _Answer, tile: Tile) -> MembersHere | None:
        if self.members is None:
            return None
        block, around = answer.read.block, answer.around
        std = None if around is None else around.on(block.fine_rows, block.fine_cols)
        return self.members.around(block, tile.core_rows, tile.core_cols, std)


def member_reach(scene: SceneModel) -> int:
    """Fine pixels around a core that the members' pixels depend on."""
    return int(np.ceil(coarse_halo(scene.coefficients) * scene.coefficients.sampling.ratio))


def grown(tile: Tile, scene: SceneModel) -> Tile:
    """The tile with a core that is larger by what members depend on, within the scene and the tile's window."""
    reach, place = member_reach(scene), tile.place
    cores = (
        _common(range(core.start - reach, core.stop + reach), seen)
        for core, seen in ((tile.core_rows, place.fine_rows), (tile.core_cols, place.fine_cols))
    )
    return Tile(*cores, place)


def _within(part: range, whole: range) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def parts_of(tile: Tile, scene: SceneModel, size: tuple[int, int]) -> list[Tile]:
    """The tile cut at absolute multiples of `size` (rows, columns), each part with the surroundings that its spectra depend on."""
    if len(tile.core_rows) <= size[0] and len(tile.core_cols) <= size[1]:
        return [tile]
    model = scene.coefficients
    reach = int(np.ceil(coarse_halo(model) * model.sampling.ratio))
    parts = []
    for rows in _cuts(tile.core_rows, size[0]):
        for cols in _cuts(tile.core_cols, size[1]):
            place = place_of(rows, cols, model.scene_shape, model.sampling, reach)
            seen = {name: _common(own, getattr(tile.place, name)) for name, own in vars(place).items()}
            parts.append(Tile(rows, cols, replace(place, **seen)))
    return parts


def _cuts(core: range, size: int) -> list[range]:
    edges = [core.start, *range((core.start // size + 1) * size, core.stop, size), core.stop]
    return [range(a, b) for a, b in zip(edges[:-1], edges[1:])]


def _common(a: range, b: range) -> range:
    return range(max(a.start, b.start), min(a.stop, b.stop))


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
    progress: Progress,
    calls: CallTimes | None = None,
    part: tuple[int, int] | None = None,
    members: Members | None = None,
) -> Iterator[FusedTile]:
    """All tiles in order, or with `part` their parts of up to so many rows and columns; raises Cancelled, and whatever a tile raises.

    members: what is drawn around the result, for which the tiles were planned with `member_reach` more around them.

    While the caller writes one part the next is expanded, and the tiles after it are read and with the method. On their way at a time, from
    reading to the last part written, are as many tiles as are asked for together, and two parts hold all their spectra, if the caller lets go
    of each before it asks for the next: that is what a run of any size holds.
    """
    line = _Line(pair, scene, method, progress, calls or CallTimes(), members)
    sent = isinstance(method, (Diffusion, Published))
    workers = getattr(method.client, "in_flight", IN_FLIGHT) if sent else min(IN_FLIGHT, os.cpu_count() or 1)
    # Closed forms are made of one tile at a time: at the start, where nothing is finished yet, two would hold more than the run ever needs.
    names = {"read": 1, "ask": workers if sent else 1, "finish": 1}
    pools = {name: ThreadPoolExecutor(count, thread_name_prefix=f"hsfusion-{name}") for name, count in names.items()}
    asked: deque[tuple[Tile, Future[_Answer]]] = deque()
    waiting: deque[tuple[Tile, Tile, Future[_Answer]]] = deque()  # tile, part of it, answer
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
        done, every = 0, sum(_pixels(tile) for tile in tiles)
        while asked or waiting or finishing:
            while (asked or waiting) and len(finishing) < 2:
                if not waiting:
                    tile, answering = asked.popleft()
                    parts = parts_of(tile, scene, part) if part else [tile]
                    waiting.extend((tile, one, answering) for one in parts)
                    begun.append(len(parts))
                whole, one, answering = waiting.popleft()
                finishing.append((_pixels(one), pools["finish"].submit(line.finish, whole, one, answering)))
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


def _pixels(tile: Tile) -> int:
    return len(tile.core_rows) * len(tile.core_cols)


def result(future: Future[Any], progress: Progress) -> Any:
    """Of a call in another thread; raises Cancelled, and whatever the call raises."""
    while not wait([future], timeout=0.2).done:
        progress.check()
    return future.result()
