"""The members of a fusion on disk: one GeoTIFF each, a VRT of all, and a JSON file that says what they are."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from html import escape
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ...errors import HSFusionError
from ...rasters.reading.metadata import BandInfo
from ...rasters.writing.provenance import plain_json
from ...rasters.writing.staging import write_text
from ...rasters.writing.writer import RasterWriter
from ..methods.draw import FEWEST, Draw
from ..run.progress import Progress
from .tiles import FusedTile

SUMMARY, STACK = "ensemble.json", "ensemble.vrt"


def check_folder(folder: str, size: int = 0) -> Path:
    """The folder, made where it is missing; HSFusionError where it cannot be written, holds other files of these names
    or lacks `size` bytes.
    """
    path = Path(folder).absolute()
    if path.is_file():
        raise HSFusionError(f"ENSEMBLE is {path}, which is a file: name a folder.")
    if not path.parent.is_dir():
        raise HSFusionError(f"ENSEMBLE: the folder '{path.parent}' does not exist; create it or choose another one.")
    try:
        path.mkdir(exist_ok=True)
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise HSFusionError(
            f"ENSEMBLE: '{path}' cannot be made ({error.strerror or error}): choose another folder."
        ) from error
    if {file.name for file in path.glob("member_*.tif")} - _members_of_earlier(path):
        raise HSFusionError(
            f"ENSEMBLE: '{path}' holds files named member_*.tif that are no ensemble's: choose an empty folder."
        )
    if free < size:
        raise HSFusionError(
            f"ENSEMBLE: '{path}' has {free / 1e9:.2f} GB left and up to {size / 1e9:.2f} GB are needed: free some "
            "space, or draw fewer SAMPLES."
        )
    return path


class Ensemble:
    """Open writers of the members. Where the disk fills up, the last ones are given up for the others to be whole."""

    def __init__(self, folder: Path, draw: Draw, writers: list[RasterWriter], progress: Progress) -> None:
        self.folder, self.draw, self.writers, self._progress = folder, draw, writers, progress

    def write(self, row: int, col: int, tile: FusedTile, all_bands: Callable[[np.ndarray], np.ndarray]) -> None:
        """Every member's part of a tile, one after the other."""
        number = 0
        while number < len(self.writers):
            self._progress.check()
            try:
                self.writers[number].write(row, col, all_bands(tile.member(number)))
            except HSFusionError as error:
                self._give_up(number, error)
            number += 1

    def _give_up(self, number: int, error: HSFusionError) -> None:
        left = number // 2 * 2
        if left < FEWEST:
            raise error
        for writer in self.writers[left:]:
            writer.__exit__(HSFusionError, error, None)
        self._progress.warn(
            f"ENSEMBLE: {error} Members {left + 1} to {len(self.writers)} were given up; the first {left} are kept."
        )
        del self.writers[left:]


@contextmanager
def open_ensemble(
    folder: str, draw: Draw, make: Callable[[Path, Callable[[Path], None]], RasterWriter], size: int, progress: Progress
) -> Iterator[Ensemble]:
    """Writers for the members, each made by `make(path, finish)`; `size`: bytes of one. The summary is written when all
    are whole.
    """
    path = check_folder(folder, draw.count * size)
    earlier = _members_of_earlier(path)
    digits = len(str(draw.count))
    ensemble = Ensemble(path, draw, [], progress)
    try:
        for number in range(draw.count):
            writer = make(path / f"member_{number + 1:0{digits}d}.tif", lambda path: None)
            writer.metadata.update(
                HSFUSION_MEMBER=str(number + 1), HSFUSION_SEED=str(draw.seed), HSFUSION_SAMPLER=draw.sampler
            )
            ensemble.writers.append(writer.__enter__())
        yield ensemble
    except BaseException as error:
        for writer in ensemble.writers:
            writer.__exit__(type(error), error, error.__traceback__)
        raise
    with ExitStack() as stack:
        for writer in reversed(ensemble.writers):
            stack.push(writer)
    for name in earlier - {writer.path.name for writer in ensemble.writers}:
        (path / name).unlink(missing_ok=True)


def write_summary(ensemble: Ensemble, bands: list[BandInfo], record: dict[str, Any]) -> None:
    """ensemble.json and ensemble.vrt of the members that are whole."""
    names = [writer.path.name for writer in ensemble.writers]
    about = {**ensemble.draw.record(), "members": len(names), "files": names, "bands_per_member": len(bands)}
    about["pairs"] = "members 1 and 2, 3 and 4, ... lie on opposite sides of the estimate"
    text = json.dumps(
        plain_json({**about, "fusion": {k: record[k] for k in ("version", "method", "model") if k in record}}),
        indent=2,
        ensure_ascii=False,
        allow_nan=False,
    )
    write_text(ensemble.folder / SUMMARY, text + "\n", "ENSEMBLE")
    write_text(ensemble.folder / STACK, _vrt(ensemble.writers, bands), "ENSEMBLE")


def _members_of_earlier(folder: Path) -> set[str]:
    """Names of the members of an ensemble that was written here before, as its own summary lists them; no others."""
    try:
        files = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["files"]
        return {name for name in files if re.fullmatch(r"member_\d+\.tif", name)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _vrt(writers: list[RasterWriter], bands: list[BandInfo]) -> str:
    """All bands of all members, one member after the other."""
    first = writers[0]
    grid = first.grid
    lines = [f'<VRTDataset rasterXSize="{grid.cols}" rasterYSize="{grid.rows}">']
    if grid.crs_wkt:
        lines.append(f"  <SRS>{escape(grid.crs_wkt)}</SRS>")
    lines.append(f"  <GeoTransform>{', '.join(f'{value:.17g}' for value in grid.geotransform)}</GeoTransform>")
    for number, writer in enumerate(writers):
        for band, info in enumerate(bands):
            name = escape(f"member {number + 1}: {info.description or f'band {band + 1}'}")
            lines += [
                f'  <VRTRasterBand dataType="{first.dtype}" band="{number * len(bands) + band + 1}">',
                f"    <Description>{name}</Description>",
                f"    <NoDataValue>{first.nodata}</NoDataValue>",
                f"    <Scale>{first.scale:.17g}</Scale>",
                "    <SimpleSource>",
                f'      <SourceFilename relativeToVRT="1">{escape(writer.path.name)}</SourceFilename>',
                f"      <SourceBand>{band + 1}</SourceBand>",
                "    </SimpleSource>",
                "  </VRTRasterBand>",
            ]
    return "\n".join([*lines, "</VRTDataset>", ""])
