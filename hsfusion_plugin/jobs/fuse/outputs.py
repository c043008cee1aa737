"""What a fusion leaves behind: the raster, its uncertainty, provenance and style, the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import HSFusionError
from ...rasters.reading.metadata import BandInfo
from ...rasters.writing.provenance import write_provenance
from ...rasters.writing.staging import check_outputs
from ...rasters.writing.style import write_ramp_style, write_style
from ...rasters.writing.writer import RasterWriter, Stored, stored_scale
from ..methods.draw import FEWEST, Draw
from ..pair.pair import Pair
from ..request import FusionRequest
from ..run.progress import Progress
from .ensemble import Ensemble, check_folder, open_ensemble, write_summary
from .quality import Quality, flag_writer
from .tiles import FusedTile


def check_request(request: FusionRequest, progress: Progress) -> None:
    """Refuse, before the work, what could not be written after it."""
    outputs = {role: getattr(request, role.lower()) for role in ("OUTPUT", "UNCERTAINTY", "QUALITY", "REPORT")}
    inputs = (request.hsi, request.msi, request.mask, request.srf_file, request.model_file)
    for note in check_outputs(outputs, inputs):
        progress.info(note)
    if request.ensemble:
        if request.samples < FEWEST:
            raise HSFusionError(f"ENSEMBLE needs {FEWEST} members or more: set SAMPLES to {FEWEST} or more.")
        check_folder(request.ensemble)


@dataclass
class Outputs:
    """Open writers; `quality` makes and counts the flags; `record` is the provenance, which may grow until the writers
    close.
    """

    pair: Pair
    fused: RasterWriter
    uncertainty: RasterWriter | None
    quality_raster: RasterWriter | None
    quality: Quality
    record: dict[str, Any]
    ensemble: Ensemble | None = None

    def write(self, tile: FusedTile) -> None:
        """One tile into the raster and, where wanted, its standard deviation."""
        alignment = self.pair.alignment
        row = tile.tile.core.rows.start - alignment.output_rows.start
        col = tile.tile.core.cols.start - alignment.output_cols.start
        self.fused.write(row, col, self._all_bands(tile.values))
        std = tile.std() if self.uncertainty is not None else None
        if std is not None:
            self.uncertainty.write(row, col, self._all_bands(std))
        if self.ensemble is not None:
            self.ensemble.write(row, col, tile, self._all_bands)
        flags = self.quality.of(tile)
        if self.quality_raster is not None:
            self.quality_raster.write(row, col, flags[None])

    def _all_bands(self, values: np.ndarray) -> np.ndarray:
        """Bands that took no part are nodata."""
        if len(self.pair.hsi_bands) == self.pair.hsi.count:
            return values
        full = np.full((self.pair.hsi.count, *values.shape[1:]), np.nan, np.float32)
        full[self.pair.hsi_bands] = values
        return full


@contextmanager
def open_outputs(
    pair: Pair,
    request: FusionRequest,
    largest: float,
    record: dict[str, Any],
    block: tuple[int, int],
    quality: Quality,
    draw: Draw | None,
    progress: Progress,
) -> Iterator[Outputs]:
    """Writers for the output window; everything appears under its name when the block ends well, and nothing otherwise.

    largest: of the HSI's values, from which the scale of Int16 follows; block: rows and columns that are written at a
    time; draw: of the members that ENSEMBLE is to hold, if any.
    """
    alignment = pair.alignment
    bands = [replace(info, bad=number not in pair.hsi_bands) for number, info in enumerate(pair.hsi.bands)]

    def provenance(path: Path) -> None:
        write_style(path)
        write_provenance(path, record)

    def ramp(path: Path) -> None:
        write_ramp_style(path, unit=next((info.unit for info in bands if info.unit), "raster units"))
        write_provenance(path, record)

    def writer(path: str, role: str, infos: list[BandInfo], finish: Any) -> RasterWriter:
        return RasterWriter(
            path,
            alignment.output_grid,
            infos,
            Stored(request.data_type, stored_scale(largest), options=request.options, block=block),
            role=role,
            finish=finish,
            listener=progress,
        )

    with ExitStack() as stack:
        fused = stack.enter_context(writer(request.output, "OUTPUT", bands, provenance))
        uncertainty = None
        if request.uncertainty:
            named = [
                replace(info, description=f"std of {info.description or f'band {n + 1}'}", offset=0.0)
                for n, info in enumerate(bands)
            ]
            uncertainty = stack.enter_context(writer(request.uncertainty, "UNCERTAINTY", named, ramp))
        flags = None
        if request.quality:
            flags = stack.enter_context(flag_writer(request, alignment, quality, record, block, progress))
        ensemble = None
        if draw is not None and request.ensemble:
            size = alignment.output_pixels * pair.hsi.count * (4 if request.data_type == "Float32" else 2)
            made = open_ensemble(
                request.ensemble, draw, lambda path, done: writer(str(path), "ENSEMBLE", bands, done), size, progress
            )
            ensemble = stack.enter_context(made)
        yield Outputs(pair, fused, uncertainty, flags, quality, record, ensemble)
    if ensemble is not None:
        write_summary(ensemble, bands, record)


def msi_ranges(pair: Pair) -> list[tuple[str, float, float]]:
    """(name, from nm, to nm) of the MSI's bands, [] where their wavelengths are unknown."""
    if pair.msi.wavelengths is None:
        return []
    ranges = []
    for number in pair.msi_bands:
        info, centre = pair.msi.bands[number], float(pair.msi.wavelengths[number])
        half = (info.fwhm_nm or 20.0) / 2
        ranges.append((info.description or f"band {number + 1}", centre - half, centre + half))
    return ranges


def outside_range(pair: Pair) -> list[int]:
    """HSI bands (from 1) that lie outside the MSI's spectral range, where only correlation between bands carries
    detail.
    """
    ranges = msi_ranges(pair)
    if not ranges or pair.hsi.wavelengths is None:
        return []
    low, high = min(r[1] for r in ranges), max(r[2] for r in ranges)
    return [b + 1 for b in pair.hsi_bands if not low <= pair.hsi.wavelengths[b] <= high]
