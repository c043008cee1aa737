"""The report of a fusion, filled from what the run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import reports
from .estimation import Estimates
from .outputs import msi_ranges, outside_range
from .pair import Pair
from .request import FusionRequest
from .work import Clock, Result, snr_db


def write_report(
    algorithm: str,
    request: FusionRequest,
    pair: Pair,
    estimates: Estimates,
    result: Result,
    method: str,
    guard: str,
    clock: Clock,
) -> None:
    """Write REPORT of `hsfusion:<algorithm>`, where one is wanted."""
    if not request.report:
        return
    gallery, sampling = result.gallery, estimates.sampling
    warnings = list(estimates.warnings)
    beyond = outside_range(pair)
    if beyond:
        warnings.append(
            f"{len(beyond)} of {len(pair.hsi_bands)} bands lie outside the MSI's spectral range: their detail comes from correlation with other bands alone."
        )
    maps = []
    if gallery.std is not None:
        maps.append(
            reports.Map("Expected error (one standard deviation, mean over bands)", gallery.std, "raster units")
        )
    rows, cols = pair.alignment.output_rows, pair.alignment.output_cols
    report = reports.FusionReport(
        title="Fusion of a hyperspectral and a multispectral image",
        summary=f"{Path(request.hsi).name} sharpened with {Path(request.msi).name} by {method}: {len(cols)} x {len(rows)} pixels, {len(pair.hsi_bands)} bands.",
        origin=reports.Origin(
            request.parameters(),
            reports.repeat_command(algorithm, _public(request, algorithm)),
            reports.software_versions(),
            {k: v for k, v in result.record.items() if k in ("method", "model", "backend")},
        ),
        estimates=_estimates(pair, estimates),
        numbers=(
            reports.Quantity(
                "Agreement with the HSI",
                result.consistency.hsi_db,
                "dB",
                "PSNR of the fused image, blurred and sampled, against the HSI",
            ),
            reports.Quantity(
                "Agreement with the MSI",
                result.consistency.msi_db,
                "dB",
                "PSNR of the fused image, through the SRF, against the MSI",
            ),
        ),
        pictures=(
            reports.Picture("HSI, interpolated", gallery.interpolated, "hsi"),
            reports.Picture("MSI", gallery.msi, "msi", "its own stretch"),
            reports.Picture("Fused", gallery.fused, "hsi", "stretched as the interpolated HSI"),
        ),
        spectra=[
            reports.PixelSpectra(
                f"column {col - cols.start + 1}, row {row - rows.start + 1}",
                {"HSI, interpolated": _all_bands(pair, before), "fused": _all_bands(pair, after)},
                (col - cols.start + 0.5) / len(cols),
                (row - rows.start + 0.5) / len(rows),
            )
            for row, col, before, after in gallery.spectra
        ],
        maps=maps,
        wavelengths_nm=pair.hsi.wavelengths,
        msi_bands=msi_ranges(pair),
        guard=guard,
        timings=clock.seconds,
        warnings=warnings,
    )
    reports.write_fusion_report(request.report, report)


def _estimates(pair: Pair, estimates: Estimates) -> list[reports.Quantity]:
    sampling, scene = estimates.sampling, estimates.scene
    return [
        reports.Quantity("Ratio", sampling.ratio, "", "HSI pixel / MSI pixel"),
        reports.Quantity(
            "PSF FWHM",
            f"{sampling.fwhm_x:.2f} x {sampling.fwhm_y:.2f}",
            "HSI pixels",
            f"columns x rows, {estimates.psf_source}",
        ),
        reports.Quantity(
            "Shift", f"{sampling.shift_x:.2f} east, {sampling.shift_y:.2f} south", "MSI pixels", estimates.shift_source
        ),
        reports.Quantity("SNR of the HSI", round(snr_db(estimates), 1), "dB", "median over bands; estimated"),
        reports.Quantity("Spectral subspace", scene.subspace.components, "components", "noise-whitened"),
        *(
            reports.Quantity(
                f"MSI band {number + 1}",
                f"gain {gain:.3g}, offset {offset:.3g}, noise {noise:.3g}",
                "",
                f"{100 * unexplained:.1f} % of its variance is not explained by the HSI",
            )
            for number, gain, offset, noise, unexplained in zip(
                pair.msi_bands,
                scene.spectral_response.sum(axis=1),
                scene.spectral_offset,
                scene.msi_noise,
                scene.unexplained,
            )
        ),
    ]


def _all_bands(pair: Pair, spectrum: np.ndarray) -> np.ndarray:
    full = np.full(pair.hsi.count, np.nan)
    full[pair.hsi_bands] = spectrum
    return full


def _public(request: FusionRequest, algorithm: str) -> dict[str, Any]:
    """The parameters that the algorithm takes, with inputs and outputs by absolute path."""
    own = {
        "fuse": {"METHOD"},
        "fuseclassical": {
            "MODEL",
            "MODEL_FILE",
            "CONSISTENCY",
            "GUARD",
            "STEPS",
            "SAMPLES",
            "SEED",
            "BACKEND",
            "TILE_SIZE",
            "UNCERTAINTY",
        },
    }
    parameters = {k: v for k, v in request.parameters().items() if k not in own[algorithm]}
    for name in ("HSI", "MSI", "MASK", "OUTPUT", "UNCERTAINTY", "REPORT"):
        value = parameters.get(name)
        if value and (name in ("OUTPUT", "UNCERTAINTY", "REPORT") or Path(str(value)).exists()):
            parameters[name] = str(Path(str(value)).absolute())
    return parameters
