"""The report of a fusion, filled from what the run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ....hsfusion_plugin import reports
from ..pair import displacement
from ..pair.defects import defect_maps
from ..pair.estimates import Estimates
from ..pair.light import gain_maps
from ..pair.pair import Pair
from ..pair.quantities import msi_quantities
from ..request import FusionRequest
from .outputs import msi_ranges, outside_range
from .scene import Result


def write_report(request: FusionRequest, pair: Pair, estimates: Estimates, result: Result) -> None:
    """Write REPORT, where one is wanted."""
    if not request.report:
        return
    gallery, record = result.gallery, result.record
    warnings = [*record.get("warnings", ()), *estimates.warnings]
    beyond = outside_range(pair)
    if beyond:
        warnings.append(
            f"{len(beyond)} of {len(pair.hsi_bands)} bands lie outside the MSI's spectral range: their detail comes "
            "from correlation with other bands alone."
        )
    maps = []
    if gallery.std is not None:
        maps.append(
            reports.Map("Expected error (one standard deviation, mean over bands)", gallery.std, "raster units")
        )
    maps += gain_maps(pair)
    maps += defect_maps(pair.defects)
    names = [Path(text).name for text in (request.hsi, request.msi)]
    rows, cols = pair.alignment.output_rows, pair.alignment.output_cols
    report = reports.FusionReport(
        title="Fusion of a hyperspectral and a multispectral image",
        summary=f"{names[0]} sharpened with {names[1]} by {record['method']}: {len(cols)} x {len(rows)} pixels, {len(pair.hsi_bands)} bands.",  # noqa: E501
        origin=reports.Origin(
            request.parameters(),
            reports.repeat_command(request.algorithm, _absolute(request.parameters())),
            {**_model(record), **reports.software_versions()},
            {name: record[name] for name in ("method", "model", "backend") if name in record},
        ),
        estimates=[
            *_products(pair),
            *_estimates(pair, estimates),
            *_filtered(record),
            *_kept(record),
            *_flagged(record),
        ],
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
        displacement=displacement.figure(pair, estimates.geometry),
        guard=record.get("guard", {}).get("sentence", ""),
        timings=record["seconds"],
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
            "Shift",
            f"{estimates.shift[1]:.2f} east, {estimates.shift[0]:.2f} south",
            "MSI pixels",
            estimates.shift_source,
        ),
        *displacement.quantities(estimates.geometry),
        reports.Quantity("SNR of the HSI", round(estimates.snr_db, 1), "dB", "median over bands; estimated"),
        reports.Quantity("Spectral subspace", scene.subspace.components, "components", "noise-whitened"),
        *msi_quantities(pair, estimates),
    ]


def _filtered(record: dict[str, Any]) -> list[reports.Quantity]:
    """How much of the MSI's noise was filtered, where it was."""
    noise = record["noise"]
    if "msi_filtered_std" not in noise:
        return []
    shares = 100 * (np.asarray(noise["msi_filtered_std"]) / np.maximum(noise["msi_std"], 1e-300)) ** 2
    text = "of its power in each band, before fusion: local Wiener filter of wavelets"
    return [reports.Quantity("Noise of the MSI filtered", ", ".join(f"{share:.0f}" for share in shares), "%", text)]


def _kept(record: dict[str, Any]) -> list[reports.Quantity]:
    """How much of the result's detail was kept, where the images disagree by more than noise."""
    share = record.get("detail_kept", 1.0)
    text = "the images disagree by more than their noise (registration, another moment, other optics), so some is given back"  # noqa: E501
    return [reports.Quantity("Detail that is kept", f"{100 * share:.0f}", "%", text)] if share < 1.0 else []


def _products(pair: Pair) -> list[reports.Quantity]:
    """The products that the rasters were made of, where they tell it."""
    return [
        reports.Quantity(
            f"Product of the {role}", origin.title, "", f"{origin.identifier}, {origin.quantity}".strip(", ")
        )
        for role, origin in zip(("HSI", "MSI"), pair.origins)
        if origin.title
    ]


def _flagged(record: dict[str, Any]) -> list[reports.Quantity]:
    """Share of the result's pixels with each flag of QUALITY, of those that occur."""
    shares = record["quality"]["share"].items()
    return [
        reports.Quantity(f"Flagged: {text}", f"{100 * share:.2g}", "% of the pixels", "see QUALITY")
        for text, share in shares
    ]


def _model(record: dict[str, Any]) -> dict[str, str]:
    """The model, by the beginning of its hash, and where it ran."""
    if "model" not in record:
        return {}
    model, backend = record["model"], record.get("backend", {})
    about = {"About the model": model["about"]} if model.get("about") else {}
    return {
        "Model": f"{model['name']}, sha256 {str(model['sha256'])[:16]}",
        **about,
        "Backend": str(backend.get("kind", "")),
    }


def _all_bands(pair: Pair, spectrum: np.ndarray) -> np.ndarray:
    full = np.full(pair.hsi.count, np.nan)
    full[pair.hsi_bands] = spectrum
    return full


def _absolute(parameters: dict[str, Any]) -> dict[str, Any]:
    """The same with files by absolute path, so that the command works in any folder."""
    outputs = ("OUTPUT", "UNCERTAINTY", "QUALITY", "REPORT")
    files = [name for name in ("HSI", "MSI", "MASK", "MODEL_FILE", "SRF_FILE", *outputs) if parameters.get(name)]
    there = [name for name in files if name in outputs or Path(parameters[name]).exists()]
    return {**parameters, **{name: str(Path(parameters[name]).absolute()) for name in there}}
