"""All metrics of one evaluation in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..listener import SILENT, Listener
from ..metrics import radiometric
from .blocks import Cube, InMemory, Part, parts
from .hypercomplex import block_qualities
from .spectral import norm_map, sam_map, sam_of_map
from .structural import GAUSSIAN_11, UNIFORM_8, WindowSums, ssim_sums, uiqi_sums
from .valid import Common, Ground, check_shapes

SURVEY = 0.1  # share of the time that goes into what both cubes have in common

# The numbers that hsfusion:evaluate returns, in the order of its outputs.
NUMBERS = ("PSNR", "PSNR_BAND_MEAN", "PSNR_BAND_PEAK", "RMSE", "SAM", "ERGAS", "SSIM", "Q2N", "CC")


@dataclass(frozen=True)
class Scores:
    """Every number of an evaluation; conventions.CONVENTIONS says what each of them means.

    bands: indices of the compared bands (L,); the *_bands arrays (L,) belong to them. SAM in degrees, PSNR in dB, RMSE
    and bias in native units. sam_map (degrees), error_map (RMSE over bands, native units) and norm_map (of the
    reference's spectra) are (H, W), NaN where not compared.
    """

    PSNR: float
    PSNR_BAND_MEAN: float
    PSNR_BAND_PEAK: float
    RMSE: float
    SAM: float
    ERGAS: float
    SSIM: float
    Q2N: float
    CC: float
    UIQI: float
    SAM_BRIGHT: float
    ratio: float
    peak: float
    bands: np.ndarray
    mean_bands: np.ndarray
    maximum_bands: np.ndarray
    bias_bands: np.ndarray
    rmse_bands: np.ndarray
    psnr_bands: np.ndarray
    psnr_own_peak_bands: np.ndarray
    ssim_bands: np.ndarray
    uiqi_bands: np.ndarray
    cc_bands: np.ndarray
    sam_map: np.ndarray
    error_map: np.ndarray
    norm_map: np.ndarray
    bands_total: int
    bands_excluded: int
    bands_without_ergas: int
    pixels_total: int
    pixels_valid: int
    pixels_missing: int
    pixels_zero: int

    def numbers(self) -> dict[str, float]:
        """The numbers that hsfusion:evaluate returns, by name."""
        return {name: getattr(self, name) for name in NUMBERS}

    def counts(self) -> dict[str, int]:
        """What was compared and what was left out."""
        names = ("bands_total", "bands_excluded", "bands_without_ergas")
        names += ("pixels_total", "pixels_valid", "pixels_missing", "pixels_zero")
        return {name: getattr(self, name) for name in names}

    def band_table(self) -> list[dict[str, float]]:
        """One row per compared band; "band" counts from 1 as GDAL and QGIS do."""
        columns = {
            "reference_mean": self.mean_bands,
            "reference_max": self.maximum_bands,
            "bias": self.bias_bands,
            "rmse": self.rmse_bands,
            "psnr": self.psnr_bands,
            "psnr_own_peak": self.psnr_own_peak_bands,
            "ssim": self.ssim_bands,
            "uiqi": self.uiqi_bands,
            "cc": self.cc_bands,
        }
        return [
            {"band": int(band) + 1, **{name: float(values[i]) for name, values in columns.items()}}
            for i, band in enumerate(self.bands)
        ]


def evaluate(
    reference: np.ndarray,
    fused: np.ndarray,
    ratio: float,
    peak: float | None = None,
    bands: Sequence[int] | None = None,
    listener: Listener = SILENT,
) -> Scores:
    """Compare a fused cube with its reference, both (L, H, W) in the same units, NaN = nodata.

    ratio: HSI pixel / MSI pixel, > 1 (ERGAS). peak: for PSNR and SSIM (None or 0 = the reference's maximum over the
    compared bands and pixels). bands: indices to compare (None = all), for instance without the bad ones. listener:
    hears how far the work is, band by band, and may end it. Raises HSFusionError when shapes differ, nothing is
    in common, ratio < 1 or the peak is not positive.
    """
    cubes = InMemory(np.asarray(reference)), InMemory(np.asarray(fused))
    return evaluate_cubes(*cubes, ratio, peak, bands, listener)


def evaluate_cubes(
    reference: Cube,
    fused: Cube,
    ratio: float,
    peak: float | None = None,
    bands: Sequence[int] | None = None,
    listener: Listener = SILENT,
) -> Scores:
    """The same for cubes that are read by windows, twice: for what they have in common, then for the scores.

    Held at a time: a block of about blocks.VALUES values of either cube, and maps of four numbers per pixel.
    """
    check_shapes(reference.shape, fused.shape)
    radiometric.check_ratio(ratio)
    everything = parts(reference.shape)
    ground = Ground(reference.shape, bands)
    for number, part in enumerate(everything):
        listener.advance(SURVEY * number / len(everything))
        ground.add(part.own, reference.window(*part.own), fused.window(*part.own))
    common = ground.common()
    peak = float(peak) if peak else common.maximum
    found = _Found(common, peak)
    for number, part in enumerate(everything):
        listener.advance(SURVEY + (1 - SURVEY) * number / len(everything))
        found.add(reference, fused, part, listener)
    statistics = found.moments.statistics()
    ergas = radiometric.ergas(statistics, ratio)
    psnr_bands = radiometric.psnr_bands(statistics, peak)
    psnr_own_peak = radiometric.psnr_bands_own_peak(statistics)
    angle = sam_of_map(found.angle, found.norm, common.mask)
    return Scores(
        PSNR=radiometric.psnr(statistics, peak),
        PSNR_BAND_MEAN=float(psnr_bands.mean()),
        PSNR_BAND_PEAK=radiometric.mean_defined(psnr_own_peak),
        RMSE=radiometric.rmse(statistics),
        SAM=angle.mean,
        ERGAS=ergas,
        SSIM=radiometric.mean_defined(found.ssim.means),
        Q2N=float(np.mean(found.qualities)) if found.qualities else float("nan"),
        CC=radiometric.cc(statistics),
        UIQI=radiometric.mean_defined(found.uiqi.means),
        SAM_BRIGHT=angle.bright,
        ratio=float(ratio),
        peak=peak,
        bands=common.bands,
        mean_bands=statistics.mean,
        maximum_bands=statistics.maximum,
        bias_bands=statistics.bias,
        rmse_bands=np.sqrt(statistics.mse),
        psnr_bands=psnr_bands,
        psnr_own_peak_bands=psnr_own_peak,
        ssim_bands=found.ssim.means,
        uiqi_bands=found.uiqi.means,
        cc_bands=statistics.cc,
        sam_map=found.angle,
        error_map=found.error,
        norm_map=found.norm,
        bands_total=common.bands_total,
        bands_excluded=common.bands_excluded,
        bands_without_ergas=int((~radiometric.ergas_bands(statistics)).sum()),
        pixels_total=common.pixels_total,
        pixels_valid=common.pixels_valid,
        pixels_missing=common.pixels_missing,
        pixels_zero=angle.zero,
    )


class _Found:
    """Sums and maps over the blocks that were compared."""

    def __init__(self, common: Common, peak: float) -> None:
        self._common, self._peak = common, peak
        bands = len(common.bands)
        self.moments = radiometric.BandMoments(bands)
        self.ssim = self.uiqi = WindowSums(np.zeros(bands), 0)
        self.qualities: list[float] = []
        self.angle, self.error, self.norm = (np.full(common.mask.shape, np.nan) for _ in range(3))

    def add(self, reference: Cube, fused: Cube, part: Part, listener: Listener) -> None:
        """Compare one block; it is read with the pixels that windows beginning in it reach."""
        reach = part.reaching(len(GAUSSIAN_11), self._common.mask.shape)
        mask = self._common.mask[reach]
        if not mask.any():
            return
        x, y = (cube.window(*reach, self._common.bands) for cube in (reference, fused))
        self.ssim = self.ssim.and_of(ssim_sums(x, y, self._peak, mask, listener))
        short = part.reaching(len(UNIFORM_8), self._common.mask.shape)
        rows, cols = (side.stop - side.start for side in short)
        within = slice(0, rows), slice(0, cols)
        self.uiqi = self.uiqi.and_of(
            uiqi_sums(x[:, within[0], within[1]], y[:, within[0], within[1]], mask[within], listener=listener)
        )
        rows, cols = part.shape
        x, y, mask = x[:, :rows, :cols], y[:, :rows, :cols], mask[:rows, :cols]
        self.moments.add(x, y, mask, listener)
        self.qualities += block_qualities(x, y, mask, listener=listener)
        self.angle[part.own] = sam_map(x, y, mask, listener)
        self.error[part.own] = _error_map(x, y, mask, listener)
        self.norm[part.own] = norm_map(x, mask)


def _error_map(reference: np.ndarray, fused: np.ndarray, mask: np.ndarray, listener: Listener) -> np.ndarray:
    total = np.zeros(mask.shape)
    for x, y in zip(reference, fused):
        listener.check()
        total[mask] += np.square(np.subtract(y[mask], x[mask], dtype=np.float64))
    return np.where(mask, np.sqrt(total / len(reference)), np.nan)
