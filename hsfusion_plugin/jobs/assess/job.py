"""hsfusion:assess: how well a fused raster agrees with what it was made from, where nobody knows the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....models.metrics.without_reference import (
    box_quality,
    combined,
    consistency_db,
    d_lambda,
    d_s,
    detail_weights,
    hqnr,
    window_size,
)
from ....models.observation import Degradation
from ....models.scene.methods.subspace import Place
from ....models.scene.tiles.plan import place_of
from ....models.scene.window import Window
from ...errors import HSFusionError
from ...rasters.reading.raster import Raster
from ...rasters.writing.staging import check_outputs
from ..evaluate.table import check_table_name
from ..pair.estimates import Estimates, estimate
from ..pair.pair import Pair
from ..request import PairRequest
from ..run.memory import available_memory
from ..run.progress import Progress
from .fused_grid import fused_window
from .report import write_map, write_report, write_table

BATCH = 16  # bands read at a time
WHOLE = 0.98  # share of a PSF on valid fused pixels from which an HSI pixel is compared


@dataclass(frozen=True)
class AssessmentRequest(PairRequest):
    """The parameters of `hsfusion:assess`: a pair, and the raster that was fused of it."""

    fused: str = ""
    inconsistency: str | None = None
    report: str | None = None
    table: str | None = None

    def left_out(self) -> tuple[str, ...]:
        return ("extent",)


@dataclass(frozen=True)
class Assessment:
    """The five numbers; per compared HSI band (numbers `bands`, from 0): rmse against the HSI, quality_fine and
    quality_coarse of D_S.

    inconsistency (h, w): root mean square over bands of D X - Y, NaN where not compared, of the HSI pixels `place`
    covers; msi_inconsistency (H, W): the same of R X + o - Z over the MSI's bands, in its units, of the fused raster's
    pixels; low, hsi (L, h, w): D X and Y there; pixels: HSI pixels compared.
    """

    HSI_CONSISTENCY: float
    MSI_CONSISTENCY: float
    D_LAMBDA: float
    D_S: float
    HQNR: float
    bands: list[int]
    rmse: np.ndarray
    quality_fine: np.ndarray
    quality_coarse: np.ndarray
    inconsistency: np.ndarray
    msi_inconsistency: np.ndarray
    low: np.ndarray
    hsi: np.ndarray
    place: Place
    pixels: int

    def numbers(self) -> dict[str, float]:
        """What `hsfusion:assess` returns."""
        names = ("HSI_CONSISTENCY", "MSI_CONSISTENCY", "D_LAMBDA", "D_S", "HQNR")
        return {name: getattr(self, name) for name in names}


def run(request: AssessmentRequest, progress: Progress) -> dict[str, Any]:
    """Assess, and write what is asked for; returns the outputs by name. Raises HSFusionError, Cancelled."""
    inputs = [request.fused, request.hsi, request.msi, request.mask, request.srf_file]
    outputs = {"INCONSISTENCY": request.inconsistency, "REPORT": request.report, "TABLE": request.table}
    for note in check_outputs(outputs, inputs):
        progress.info(note)
    if request.table:
        check_table_name(request.table)
    fused = Raster.open(request.fused, "FUSED")
    pair = Pair.open(request, progress)
    window = fused_window(fused, pair)
    estimates = estimate(pair, request, progress.part(0.0, 0.4))
    pair = estimates.pair
    found = assess(fused, pair, estimates, window, progress.part(0.4, 0.95))
    for name, value in found.numbers().items():
        progress.info(f"{name}: {value:.5g}")
    progress.phase("Writing")
    if request.inconsistency:
        write_map(request.inconsistency, found, fused, window, estimates.sampling)
    if request.table:
        write_table(request.table, found, pair, request.parameters())
    if request.report:
        write_report(request.report, request.parameters(), found, fused, window, pair, estimates)
    progress.step(1.0)
    return {**found.numbers(), **{name: path for name, path in outputs.items() if path}}


def assess(
    fused: Raster, pair: Pair, estimates: Estimates, window: tuple[range, range], progress: Progress
) -> Assessment:
    """Compare the fused raster, which covers `window` (rows, cols of the scene's fine pixels), with both inputs band by
    band.
    """
    scene, sampling = estimates.scene, estimates.sampling
    shape = pair.alignment.scene_shape
    place = place_of(Window(*window), shape, sampling, int(np.ceil(4 * sampling.ratio)))
    inside = Window(*window).inside(place.fine)
    fine, coarse = place.fine.shape, place.coarse.shape
    _check_memory(fine, coarse, pair)
    down = Degradation(sampling, shape, *place.fine.axes, *place.coarse.axes)
    hsi, hsi_mask = pair.read_hsi(*place.coarse.axes)
    msi, msi_mask = pair.read_msi(*place.fine.axes)
    known = np.zeros(fine, np.float32)
    known[inside] = np.isfinite(_read(fused, pair, pair.hsi_bands[:1])[0])
    known *= msi_mask
    if not known.any():
        raise HSFusionError(
            "FUSED holds no data where HSI and MSI overlap: choose the raster that was fused from these two."
        )
    msi_low, _ = down.masked(msi, known)
    good = (down(known) > WHOLE) & (hsi_mask > 0)
    weights = detail_weights(hsi, msi_low, good)
    seen = known > 0
    low = np.zeros_like(hsi)
    predicted = np.broadcast_to(scene.spectral_offset[:, None, None], msi.shape).astype(np.float32)
    quality = []
    progress.phase("Comparing the bands")
    for start in range(0, len(pair.hsi_bands), BATCH):
        progress.check()
        part = slice(start, min(start + BATCH, len(pair.hsi_bands)))
        values = np.zeros((part.stop - start, *fine), np.float32)
        values[(slice(None), *inside)] = np.nan_to_num(_read(fused, pair, pair.hsi_bands[part]))
        low[part], _ = down.masked(values, known)
        predicted += np.tensordot(scene.spectral_response[:, part].astype(np.float32), values, axes=1)
        detail = combined(weights[part], msi).astype(np.float32)
        quality.append(box_quality(detail, values, seen, window_size(sampling.ratio)))
        progress.step(part.stop / len(pair.hsi_bands))
    quality_fine = np.concatenate(quality)
    quality_coarse = np.concatenate(
        [
            box_quality(combined(weights[band : band + 1], msi_low), hsi[band : band + 1], good, window_size())
            for band in range(len(hsi))
        ]
    )
    spectral, spatial = d_lambda(low, hsi, good), d_s(quality_fine, quality_coarse)
    rmse, inconsistency = _errors(low, hsi, good)
    of_msi = np.where(seen, np.sqrt(np.mean((predicted - msi) ** 2, axis=0)), np.nan)
    return Assessment(
        HSI_CONSISTENCY=consistency_db(low, hsi, good),
        MSI_CONSISTENCY=consistency_db(predicted, msi, seen),
        D_LAMBDA=spectral,
        D_S=spatial,
        HQNR=hqnr(spectral, spatial),
        bands=list(pair.hsi_bands),
        rmse=rmse,
        quality_fine=quality_fine,
        quality_coarse=quality_coarse,
        inconsistency=inconsistency,
        msi_inconsistency=of_msi[inside],
        low=low,
        hsi=hsi,
        place=place,
        pixels=int(good.sum()),
    )


def _errors(low: np.ndarray, hsi: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RMSE of each band (L,) and over the bands (h, w; NaN where not good) of cubes (L, h, w), a band at a time."""
    bands, total = np.empty(len(low)), np.zeros(good.shape)
    for number, (predicted, observed) in enumerate(zip(low, hsi)):
        square = np.square(np.subtract(predicted, observed, dtype=np.float64))
        bands[number] = np.sqrt(square[good].mean())
        total += square
    return bands, np.where(good, np.sqrt(total / len(low)), np.nan)


def _read(fused: Raster, pair: Pair, bands: list[int]) -> np.ndarray:
    """Bands of the fused raster in the HSI's raw units, NaN where nodata; where both are scaled alike, as they are
    stored.
    """
    rows, cols = range(fused.rows), range(fused.cols)
    scales = [[(raster.bands[b].scale, raster.bands[b].offset) for b in bands] for raster in (fused, pair.hsi)]
    if scales[0] == scales[1]:
        return fused.read(rows, cols, bands)
    scale, offset = np.array([[s or 1.0, o or 0.0] for s, o in scales[1]], np.float32).T
    return (fused.read(rows, cols, bands, unscale=True) - offset[:, None, None]) / scale[:, None, None]


def _check_memory(fine: tuple[int, int], coarse: tuple[int, int], pair: Pair) -> None:
    pixels, bands = fine[0] * fine[1], len(pair.hsi_bands)
    needed = pixels * 4 * (3 * BATCH + 3 * len(pair.msi_bands) + 4) + coarse[0] * coarse[1] * bands * 16 + 300_000_000
    if needed > available_memory():
        raise HSFusionError(
            f"Assessing {fine[1]} x {fine[0]} pixels needs {needed / 1e9:.1f} GB of memory and "
            f"{available_memory() / 1e9:.1f} GB are "
            "free: clip FUSED to a smaller extent."
        )
