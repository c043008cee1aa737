"""Where members come from: drawn around the fusion of a pair while they are used, or read from a folder that holds
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Protocol

import numpy as np

from ....models.scene.tiles.plan import plan_tiles
from ....models.scene.window import Window
from ...errors import HSFusionError
from ...rasters.grids.grid import Grid
from ...rasters.reading.raster import Raster
from ...rasters.writing.layout import BLOCK
from ..fuse.call_times import CallTimes
from ..fuse.ensemble import SUMMARY
from ..fuse.tiles import FusedTile, fused_tiles, member_reach
from ..fuse.with_model import Fusion, prepared
from ..methods.draw import FEWEST, Draw
from ..run.memory import CLOSED_FORM_TILE, tile_size
from ..run.progress import Progress
from .request import PropagateRequest

BACKGROUND = 20_000  # pixels that a scene's statistics are taken of


@dataclass(frozen=True)
class Part:
    """A window of the result from (row, col) on: member(k) gives spectra (L, rows, cols), NaN where unknown."""

    row: int
    col: int
    shape: tuple[int, int]
    member: Callable[[int], np.ndarray]


class Members(Protocol):
    """count members on a grid; wavelengths (L,) in nm or None, names and numbers in the file (from 0) of the bands that
    take part.
    """

    grid: Grid
    count: int
    wavelengths: np.ndarray | None
    names: list[str]
    used: list[int]
    about: dict[str, Any]

    def parts(self, progress: Progress) -> Iterator[Part]:
        """All windows, one after the other; may be asked for again."""

    def background(self) -> np.ndarray:
        """Spectra (N, L) of the scene, spread evenly."""


@contextmanager
def opened_members(request: PropagateRequest, progress: Progress) -> Iterator[Members]:
    """Of the request's folder or pair; HSFusionError where both or neither are given."""
    if bool(request.ensemble) == bool(request.hsi or request.msi):
        raise HSFusionError("Give either ENSEMBLE, a folder of members, or HSI and MSI, a pair to draw members for.")
    if request.ensemble:
        yield FolderMembers.of(Path(request.ensemble), progress)
        return
    if not (request.hsi and request.msi):
        raise HSFusionError("HSI and MSI belong together: give both, or ENSEMBLE.")
    with prepared(request, progress) as fusion:
        yield PairMembers.of(fusion, request)


@dataclass(frozen=True)
class PairMembers:
    """Members that are drawn while they are used."""

    fusion: Fusion
    draw: Draw
    grid: Grid
    count: int
    wavelengths: np.ndarray | None
    names: list[str]
    used: list[int]
    about: dict[str, Any]
    pixels: np.ndarray

    @classmethod
    def of(cls, fusion: Fusion, request: PropagateRequest) -> PairMembers:
        """Around the method that the fusion ships."""
        pair, scene = fusion.pair, fusion.estimates.scene
        draw = Draw.of(request.samples, request.drawn_by, request.seed, fusion.method, scene)
        grid = pair.alignment.output_grid
        names = [pair.hsi.descriptions[b] for b in pair.hsi_bands]
        about = {**fusion.about, "method": fusion.method.name, "ensemble": draw.record()}
        used = list(pair.hsi_bands)
        return cls(fusion, draw, grid, draw.count, pair.wavelengths, names, used, about, fusion.spectra)

    def parts(self, progress: Progress) -> Iterator[Part]:
        pair, method, scene = self.fusion.pair, self.fusion.method, self.fusion.estimates.scene
        output = Window(pair.alignment.output_rows, pair.alignment.output_cols)
        size = min(CLOSED_FORM_TILE, tile_size(len(self.used), max(output.shape)))
        halo = method.halo + member_reach(scene)
        tiles = plan_tiles(output, scene.coefficients, size, halo, method.multiple)
        calls, block = CallTimes(), (BLOCK, BLOCK)
        with closing(fused_tiles(pair, scene, method, tiles, progress, calls, block, self.draw.members)) as fused:
            for tile in fused:
                yield _part(tile, output)

    def background(self) -> np.ndarray:
        return self.pixels


def _part(tile: FusedTile, output: Window) -> Part:
    rows, cols = tile.tile.core.inside(output)
    return Part(rows.start, cols.start, tile.tile.core.shape, tile.member)


@dataclass(frozen=True)
class FolderMembers:
    """Members that `hsfusion:fuse` wrote, or the rasters that an algorithm made of them."""

    rasters: list[Raster]
    grid: Grid
    count: int
    wavelengths: np.ndarray | None
    names: list[str]
    used: list[int]
    about: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, progress: Progress) -> FolderMembers:
        """HSFusionError where the folder holds no ensemble."""
        files = sorted(folder.glob("member_*.tif")) if folder.is_dir() else []
        if len(files) < FEWEST:
            raise HSFusionError(
                f"ENSEMBLE: '{folder}' holds {len(files)} member(s) named member_*.tif and {FEWEST} or more are "
                "needed: "
                "name a folder that fuse wrote."
            )
        about: dict[str, Any] = {"ensemble": {"folder": str(folder), "members": len(files)}}
        if (folder / SUMMARY).is_file():
            try:
                about["ensemble"].update(json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
            except (OSError, ValueError):
                progress.warn(f"ENSEMBLE: {SUMMARY} cannot be read; the members are used as they are.")
        return cls.of_files(files, about)

    @classmethod
    def of_files(cls, files: list[Path], about: dict[str, Any]) -> FolderMembers:
        """Rasters of one grid and number of bands; HSFusionError where they differ."""
        rasters = [Raster.open(file, "ENSEMBLE") for file in files]
        first = rasters[0]
        grid = Grid(first.rows, first.cols, tuple(first.geotransform), first.crs_wkt)
        for raster in rasters[1:]:
            if (raster.rows, raster.cols, raster.count) != (first.rows, first.cols, first.count):
                raise HSFusionError(
                    f"ENSEMBLE: {raster.path} has another size than {first.path}: the members do not belong together."
                )
        used = [band for band in range(first.count) if not first.bad[band]]
        wavelengths = None if first.wavelengths is None else first.wavelengths[used]
        names = [first.descriptions[band] for band in used]
        return cls(rasters, grid, len(rasters), wavelengths, names, used, about)

    def parts(self, progress: Progress) -> Iterator[Part]:
        size = 2 * BLOCK
        starts = [(row, col) for row in range(0, self.grid.rows, size) for col in range(0, self.grid.cols, size)]
        for number, (row, col) in enumerate(starts):
            progress.check()
            rows = range(row, min(row + size, self.grid.rows))
            cols = range(col, min(col + size, self.grid.cols))

            def member(k: int, rows: range = rows, cols: range = cols) -> np.ndarray:
                return self.rasters[k].read(rows, cols, self.used, unscale=True).astype(np.float32)

            yield Part(row, col, (len(rows), len(cols)), member)
            progress.step((number + 1) / len(starts))

    def background(self) -> np.ndarray:
        step = max(1, int(np.sqrt(self.grid.rows * self.grid.cols / BACKGROUND)))
        found = []
        for row in range(step // 2, self.grid.rows, step):
            line = [
                raster.read(range(row, row + 1), range(self.grid.cols), self.used, unscale=True)
                for raster in self.rasters[:2]
            ]
            found.append(np.mean(line, axis=0)[:, 0, step // 2 :: step].T)
        pixels = np.concatenate(found)
        return pixels[np.isfinite(pixels).all(axis=1)]
