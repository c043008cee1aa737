"""A simulated pair from a reference raster, tile by tile (Wald's protocol)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ....models.errors import HSFusionError
from ....models.observation import Degradation, Sampling, gaussian_field, noise_std
from ....models.observation.axis import coarse_centres, gaussian_reach
from ....models.version import VERSION
from ...rasters.grids.grid import Grid
from ...rasters.reading.bands import usable_bands
from ...rasters.reading.metadata import BandInfo
from ...rasters.reading.raster import Raster
from ...rasters.reading.unpack import unpacked
from ...rasters.writing.provenance import write_provenance
from ...rasters.writing.staging import check_outputs
from ...rasters.writing.style import write_style
from ...rasters.writing.writer import RasterWriter
from ..request import SimulationRequest
from ..run.progress import Progress
from .bands import simulated_bands

FEWEST_PIXELS = 8  # of the coarse raster, in each direction
VALUES_AT_ONCE = 4_000_000
HSI_STREAM, MSI_STREAM = 1, 2


@dataclass(frozen=True)
class Tile:
    """A part of the pair: `hsi` (L, h, w) at coarse (rows, cols), `msi` (l, H, W) at fine (rows, cols); NaN =
    nodata.
    """

    coarse_rows: range
    coarse_cols: range
    fine_rows: range
    fine_cols: range
    hsi: np.ndarray
    msi: np.ndarray


class Simulator:
    """What two sensors see of a reference; any tiling gives the same pixels."""

    def __init__(self, request: SimulationRequest, progress: Progress) -> None:
        self.raster = Raster.open(request.reference, "REFERENCE")
        self.raster.tell(progress)
        self.progress = progress
        ratio = request.ratio
        self.sampling = Sampling(
            ratio, request.psf_fwhm, request.psf_fwhm, request.shift_y, request.shift_x, request.psf
        )
        self.coarse_shape = int(self.raster.rows / ratio + 1e-9), int(self.raster.cols / ratio + 1e-9)
        if min(self.coarse_shape) < FEWEST_PIXELS:
            raise HSFusionError(
                f"REFERENCE has {self.raster.rows} x {self.raster.cols} pixels, which leaves {self.coarse_shape[0]} x "
                f"{self.coarse_shape[1]} at ratio {ratio:g}: take a smaller RATIO or a larger raster "
                f"(at least {FEWEST_PIXELS} x {FEWEST_PIXELS} coarse pixels)."
            )
        self.raster = unpacked(self.raster, progress)
        self.fine_shape = tuple(round(n * ratio) for n in self.coarse_shape)
        if self.fine_shape != (self.raster.rows, self.raster.cols):
            progress.info(
                f"The reference is cut from {self.raster.rows} x {self.raster.cols} to {self.fine_shape[0]} x "
                f"{self.fine_shape[1]} pixels at its south and east edge, so that coarse pixels are whole."
            )
        self.bands = usable_bands(self.raster, progress)
        if len(self.bands) < 2:
            raise HSFusionError(f"REFERENCE has {len(self.bands)} usable band: a hyperspectral raster needs many.")
        self.response, self.msi_bands = simulated_bands(request, self.raster, self.bands, progress)
        # Bands of different scale can be mixed in physical units only.
        self.unscale = len({(self.raster.bands[i].scale, self.raster.bands[i].offset) for i in self.bands}) > 1

    def tiles(self) -> list[tuple[range, range]]:
        """Windows of coarse pixels: small enough for a quick answer to a cancel, multiples of 16 as the files' blocks
        are.
        """
        side = max(8, int(512 / self.sampling.ratio) // 16 * 16)
        rows, cols = self.coarse_shape
        return [
            (range(r, min(r + side, rows)), range(c, min(c + side, cols)))
            for r in range(0, rows, side)
            for c in range(0, cols, side)
        ]

    def tile(self, coarse_rows: range, coarse_cols: range) -> Tile:
        """The noise-free pair on a window of coarse pixels."""
        core = [
            range(round(c.start * self.sampling.ratio), round(c.stop * self.sampling.ratio))
            for c in (coarse_rows, coarse_cols)
        ]
        s = self.sampling
        rows = _fine_window(coarse_rows, core[0], self.fine_shape[0], s, s.fwhm_y, s.shift_y)
        cols = _fine_window(coarse_cols, core[1], self.fine_shape[1], s, s.fwhm_x, s.shift_x)
        degrade = Degradation(s, self.fine_shape, rows, cols, coarse_rows, coarse_cols)
        inner = np.s_[
            :,
            core[0].start - rows.start : core[0].stop - rows.start,
            core[1].start - cols.start : core[1].stop - cols.start,
        ]
        hsi = np.full((self.raster.count, len(coarse_rows), len(coarse_cols)), np.nan, np.float32)
        msi = np.zeros((len(self.response), len(core[0]), len(core[1])), np.float64)
        step = max(1, VALUES_AT_ONCE // (len(rows) * len(cols)))
        for start in range(0, len(self.bands), step):
            self.progress.check()
            some = self.bands[start : start + step]
            fine = self.raster.read(rows, cols, some, unscale=self.unscale)
            self.progress.check()
            for band, weights in zip(msi, self.response[:, start : start + step]):
                seen = np.flatnonzero(weights)  # nodata in a band that this one does not see is no reason for nodata
                band += np.tensordot(weights[seen], fine[inner][seen], 1)
            hsi[some] = _degraded(degrade, fine)
        return Tile(coarse_rows, coarse_cols, *core, hsi, msi.astype(np.float32))

    def hsi_bands(self) -> list[BandInfo]:
        """The reference's bands; those that take no part are marked bad."""
        infos = [replace(info, bad=i not in self.bands) for i, info in enumerate(self.raster.bands)]
        return [replace(info, scale=1.0, offset=0.0) for info in infos] if self.unscale else infos

    def geotransform(self, ratio: float) -> tuple[float, ...]:
        """That of the reference, with pixels `ratio` times as large."""
        x, dx, rx, y, ry, dy = self.raster.geotransform
        return x, dx * ratio, rx * ratio, y, ry * ratio, dy * ratio


def run(request: SimulationRequest, progress: Progress) -> dict[str, Any]:
    """Write OUTPUT_HSI and OUTPUT_MSI; returns their paths. Raises HSFusionError, Cancelled."""
    outputs = {"OUTPUT_HSI": request.output_hsi, "OUTPUT_MSI": request.output_msi}
    for note in check_outputs(outputs, [request.reference, request.srf_file]):
        progress.info(note)
    progress.phase("Reading the reference")
    simulator = Simulator(request, progress)
    if not simulator.raster.crs_wkt:
        progress.warn("REFERENCE has no coordinate reference system: give the pair one before it is fused.")
    record = {
        "algorithm": "hsfusion:simulate",
        "version": VERSION,
        "parameters": request.parameters(),
        "srf": {"bands": [info.description for info in simulator.msi_bands], "response": simulator.response},
    }

    def finish(path: Path) -> None:
        write_style(path)
        write_provenance(path, record)

    crs = simulator.raster.crs_wkt
    hsi_writer = RasterWriter(
        request.output_hsi,
        Grid(*simulator.coarse_shape, simulator.geotransform(request.ratio), crs),
        simulator.hsi_bands(),
        role="OUTPUT_HSI",
        finish=finish,
    )
    msi_writer = RasterWriter(
        request.output_msi,
        Grid(*simulator.fine_shape, simulator.geotransform(1.0), crs),
        simulator.msi_bands,
        role="OUTPUT_MSI",
        finish=finish,
    )
    with hsi_writer, msi_writer:
        for tile in _with_noise(simulator, request, progress):
            hsi_writer.write(tile.coarse_rows.start, tile.coarse_cols.start, tile.hsi)
            msi_writer.write(tile.fine_rows.start, tile.fine_cols.start, tile.msi)
        progress.check()
    progress.step(1.0)
    return {"OUTPUT_HSI": request.output_hsi, "OUTPUT_MSI": request.output_msi}


def _with_noise(simulator: Simulator, request: SimulationRequest, progress: Progress) -> Iterator[Tile]:
    """All tiles, with noise of the wanted SNR; the signal's power is measured over the whole scene first."""
    windows = simulator.tiles()
    noisy = request.snr_hsi > 0 or request.snr_msi > 0
    kept = None
    if noisy:
        progress.phase("Measuring the signal")
        power = [_Power(simulator.raster.count), _Power(len(simulator.msi_bands))]
        for i, window in enumerate(windows):
            tile = simulator.tile(*window)
            power[0].add(tile.hsi)
            power[1].add(tile.msi)
            kept = tile if len(windows) == 1 else None
            progress.step(0.5 * (i + 1) / len(windows))
        hsi_std = noise_std(power[0].mean(), request.snr_hsi)
        msi_std = noise_std(power[1].mean(), request.snr_msi)
    progress.phase("Writing the pair")
    for i, window in enumerate(windows):
        tile = kept if kept is not None else simulator.tile(*window)
        if request.snr_hsi > 0:
            _add_noise(tile.hsi, hsi_std, request.seed, tile.coarse_rows, tile.coarse_cols, HSI_STREAM)
        if request.snr_msi > 0:
            _add_noise(tile.msi, msi_std, request.seed, tile.fine_rows, tile.fine_cols, MSI_STREAM)
        progress.check()
        yield tile
        progress.step((0.5 if noisy else 0.0) + (0.5 if noisy else 1.0) * (i + 1) / len(windows))


class _Power:
    """Mean square per band over the pixels that hold something."""

    def __init__(self, bands: int) -> None:
        self._total, self._pixels = np.zeros(bands), np.zeros(bands)

    def add(self, values: np.ndarray) -> None:
        """Values (bands, rows, cols), NaN = nothing."""
        self._total += np.nansum(values.astype(np.float64) ** 2, axis=(1, 2))
        self._pixels += np.isfinite(values).sum(axis=(1, 2))

    def mean(self) -> np.ndarray:
        """Mean square per band, 0 for a band without pixels."""
        return self._total / np.maximum(self._pixels, 1)


def _add_noise(values: np.ndarray, std: np.ndarray, seed: int, rows: range, cols: range, stream: int) -> None:
    """Add noise of `std` per band to (bands, rows, cols), a few rows at a time."""
    bands = len(values)
    step = max(1, VALUES_AT_ONCE // 2 // (bands * len(cols)))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        field = gaussian_field(seed, some, cols, bands, stream)
        values[:, start : start + len(some)] += std.astype(np.float32)[:, None, None] * field


def _fine_window(coarse: range, core: range, size: int, s: Sampling, fwhm: float, shift: float) -> range:
    """The fine pixels that D needs for `coarse`, reflected ones included, and those of `core`."""
    reach = 1 + (int(np.ceil(s.ratio)) if s.psf == "block-mean" else gaussian_reach(s.ratio, fwhm))
    centres = coarse_centres(coarse, s.ratio, shift)
    low, high = int(np.floor(centres[0])) - reach, int(np.ceil(centres[-1])) + reach
    first, last = min(low, core.start), max(high, core.stop - 1)
    if low < 0:
        last = max(last, -1 - low)
    if high >= size:
        first = min(first, 2 * size - 1 - high)
    return range(max(0, first), min(size, last + 1))


def _degraded(degrade: Degradation, fine: np.ndarray) -> np.ndarray:
    """D of (L, H, W) with NaN; a coarse pixel less than half of which is known is NaN."""
    valid = np.isfinite(fine)
    if valid.all():
        return degrade(fine)
    result = np.empty((len(fine), len(degrade.coarse_rows), len(degrade.coarse_cols)), np.float32)
    for band, mask, out in zip(fine, valid, result):
        values, support = degrade.masked(np.where(mask, band, 0), mask.astype(np.float32))
        out[...] = np.where(support >= 0.5, values, np.nan)
    return result
