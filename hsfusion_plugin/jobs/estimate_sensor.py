"""hsfusion:estimatesensor: what a pair of rasters tells about its two sensors."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...hsfusion_plugin import reports
from ...models.observation.response import gaussian_response, relative_curves
from ...models.scene.block import coarse_samples
from ...models.scene.sensors.registration import LEAST_PIXELS, Estimate
from ..errors import HSFusionError
from ..rasters.writing.colour import colour_bands
from ..rasters.writing.staging import check_outputs, write_text
from .fuse.outputs import msi_ranges
from .pair import displacement
from .pair.estimates import Estimates, estimate, nominal_response
from .pair.geometry import Geometry
from .pair.pair import Pair
from .pair.quantities import msi_quantities
from .request import PairRequest
from .run.progress import Progress

USUAL_FWHM_NM = 20.0  # of an MSI band that tells its wavelength alone
AS_GOOD, SMALL_SHARE = (
    1.5,
    0.01,
)  # how much more of an MSI band a nominal response may leave unexplained: factor, share of variance


@dataclass(frozen=True)
class SensorRequest(PairRequest):
    """The parameters of `hsfusion:estimatesensor`; `sensor`: its nominal SRF is where the estimate starts; srf: CSV to
    write.
    """

    srf: str | None = None
    report: str | None = None

    def left_out(self) -> tuple[str, ...]:
        return ("extent",)


def run(request: SensorRequest, progress: Progress) -> dict[str, Any]:
    """Estimate PSF, shift, SRF, gain, offset and noise; returns the outputs by name. Raises HSFusionError,
    Cancelled.
    """
    inputs = [request.hsi, request.msi, request.mask, request.srf_file]
    check_outputs({"SRF": request.srf, "REPORT": request.report}, inputs)
    pair = Pair.open(request, progress)
    if request.srf and pair.wavelengths is None:
        raise HSFusionError(
            "SRF cannot be written, because the HSI has no wavelengths: add them to the raster, or leave SRF out."
        )
    estimates = estimate(pair, request, progress.part(0.0, 0.9))
    pair = estimates.pair
    found = estimates.geometry.registration
    progress.phase("Writing")
    nominal = _nominal(pair, request)
    curves, calibration = spectral_curves(pair, estimates, nominal)
    quantities = sensor_quantities(pair, estimates, None if nominal is None else calibration)
    if nominal is not None:
        source = "the MSI's own wavelengths" if request.sensor == "estimate" else request.sensor
        agreeing = _agreeing(pair, np.isfinite(calibration[:, 0]))
        quantities.append(reports.Quantity("Nominal response", agreeing, "", f"of {source}, gain and offset fitted"))
    for quantity in quantities:
        value = quantity.value if isinstance(quantity.value, str) else f"{quantity.value:.4g}"
        progress.info(f"{quantity.name}: {value} {quantity.unit} ({quantity.note})".replace("  ", " "))
    if request.srf:
        write_text(request.srf, _curves_csv(pair, curves), "SRF")
    if request.report:
        reports.write_sensor_report(request.report, _report(request, pair, estimates, quantities, curves))
    progress.step(1.0)
    files = {"SRF": request.srf, "REPORT": request.report}
    return {
        "PSF_FWHM": found.fwhm_x.value,
        "PSF_FWHM_Y": found.fwhm_y.value,
        "SHIFT_X": found.shift_x.value,
        "SHIFT_Y": found.shift_y.value,
        **displacement.outputs(estimates.geometry),
        "UNEXPLAINED": float(estimates.scene.unexplained.max()),
        **{name: path for name, path in files.items() if path},
    }


def sensor_quantities(
    pair: Pair, estimates: Estimates, calibration: np.ndarray | None = None
) -> list[reports.Quantity]:
    """Everything that was estimated, each with its interval or what it means; calibration as `msi_quantities`
    takes it.
    """
    geometry = estimates.geometry
    found, phase = geometry.registration, pair.alignment
    rows = [
        reports.Quantity("Ratio", pair.alignment.ratio, "", "HSI pixel / MSI pixel, from the two grids"),
        reports.Quantity(
            "Phase of the grids",
            f"{phase.phase_x:.2f} east, {phase.phase_y:.2f} south",
            "MSI pixels",
            "from the two grids",
        ),
        _width("PSF FWHM, columns", found.fwhm_x),
        _width("PSF FWHM, rows", found.fwhm_y),
        _shift("Shift to the east", found.shift_x, geometry),
        _shift("Shift to the south", found.shift_y, geometry),
        *displacement.quantities(geometry),
        reports.Quantity("HSI pixels compared", found.pixels, "", _small(pair)),
    ]
    rows += msi_quantities(pair, estimates, calibration)
    return rows


def _small(pair: Pair) -> str:
    count = pair.alignment.coarse_shape[0] * pair.alignment.coarse_shape[1]
    return (
        "away from the border" if count >= LEAST_PIXELS else "few: intervals are doubled, and nominal values weigh in"
    )


def _width(name: str, found: Estimate) -> reports.Quantity:
    note = f"estimated, between {found.low:.2f} and {found.high:.2f}"
    if not found.determined:
        note = f"nominal: the pair allows anything between {found.low:.2f} and {found.high:.2f}"
    return reports.Quantity(name, round(found.value, 3), "HSI pixels", note)


def _shift(name: str, found: Estimate, geometry: Geometry) -> reports.Quantity:
    note = f"estimated, between {found.low:.2f} and {found.high:.2f}"
    if geometry.registration.beyond is not None:
        note = f"not corrected: the match lies between {found.low:.2f} and {found.high:.2f}"
    elif not found.determined:
        note = f"taken as 0: the pair allows anything between {found.low:.2f} and {found.high:.2f}"
    elif found.beyond_doubt == 0.0 != found.value:
        note += "; too small to be corrected"
    return reports.Quantity(name, round(found.value, 3) + 0.0, "MSI pixels", note)


def _names(pair: Pair) -> list[str]:
    return [pair.msi.descriptions[n] or f"band {n + 1}" for n in pair.msi_bands]


def spectral_curves(pair: Pair, estimates: Estimates, nominal: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Response (l, L) of each MSI band, gain included, and (l, 2): gain and offset where it is the nominal one, else
    NaN.

    The best prediction of the MSI spreads over bands that carry the same signal, to average their noise. So where a
    nominal response (l, L) with gain and offset explains the MSI about as well, it is the sensor's; both are judged on
    spectra without noise.
    """
    scene = estimates.scene
    curves, calibration = scene.spectral_response.copy(), np.full((len(scene.spectral_response), 2), np.nan)
    if nominal is None:
        return curves, calibration
    samples = coarse_samples(estimates.blocks, estimates.sampling)
    spectra = scene.subspace.expand(scene.subspace.project(samples.spectra.T)).T
    for band, row in enumerate(nominal):
        seen = spectra @ row
        gain, offset = np.polyfit(seen, samples.low[:, band], 1)
        share = np.var(samples.low[:, band] - gain * seen - offset) / max(np.var(samples.low[:, band]), 1e-30)
        if gain > 0 and share < AS_GOOD * scene.unexplained[band] + SMALL_SHARE:
            curves[band], calibration[band] = gain * row, (gain, offset)
    return curves, calibration


def _nominal(pair: Pair, request: PairRequest) -> np.ndarray | None:
    """R (l, L) of the named sensor, else of the MSI's own wavelengths where it has them and the HSI covers them, else
    None.
    """
    if request.sensor != "estimate":
        return nominal_response(pair, request)
    if pair.wavelengths is None or pair.msi.wavelengths is None:
        return None
    centres = pair.msi.wavelengths[pair.msi_bands]
    widths = np.array([pair.msi.bands[n].fwhm_nm or USUAL_FWHM_NM for n in pair.msi_bands])
    try:
        return gaussian_response(centres, widths, pair.wavelengths)
    except HSFusionError:
        return None


def _agreeing(pair: Pair, agrees: np.ndarray) -> str:
    if agrees.all():
        return "agrees with every MSI band"
    other = ", ".join(str(number + 1) for number, good in zip(pair.msi_bands, agrees) if not good)
    return f"departs from what MSI band(s) {other} show"


def _curves_csv(pair: Pair, response: np.ndarray) -> str:
    """The columns that SRF_FILE takes, in order of wavelength."""
    wavelengths = pair.wavelengths
    curves = relative_curves(response, wavelengths)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["wavelength_nm", *(f"band_{n + 1}" for n in pair.msi_bands)])
    for place in np.argsort(wavelengths, kind="stable"):
        writer.writerow([f"{wavelengths[place]:.10g}", *(f"{value:.6g}" for value in curves[:, place])])
    return stream.getvalue()


def _report(
    request: SensorRequest,
    pair: Pair,
    estimates: Estimates,
    quantities: list[reports.Quantity],
    response: np.ndarray,
) -> reports.SensorReport:
    block = max(estimates.blocks, key=lambda b: b.y_mask.size)
    pictures = []
    for title, image, mask, raster, used in (
        ("HSI", block.y, block.y_mask, pair.hsi, pair.hsi_bands),
        ("MSI", block.z, block.z_mask, pair.msi, pair.msi_bands),
    ):
        layers = image[[used.index(b) for b in colour_bands(raster, used)]]
        note = "" if len(estimates.blocks) == 1 else f"one of {len(estimates.blocks)} windows"
        pictures.append(reports.Picture(title, np.where(mask > 0, layers, np.nan), title, note))
    curves = {}
    for name, row in zip(_names(pair), response):
        curves[name] = np.full(pair.hsi.count, np.nan)
        curves[name][pair.hsi_bands] = row
    parameters = request.parameters()
    command = {**parameters}
    for name in ("HSI", "MSI", "SRF", "REPORT"):
        if command[name] and (name in ("SRF", "REPORT") or Path(str(command[name])).exists()):
            command[name] = str(Path(str(command[name])).absolute())
    return reports.SensorReport(
        title="Sensors of a pair of images",
        summary=f"What {Path(request.hsi).name} and {Path(request.msi).name} tell about the two sensors that took them.",  # noqa: E501
        origin=reports.Origin(
            parameters, reports.repeat_command("estimatesensor", command), reports.software_versions()
        ),
        estimates=quantities,
        pictures=pictures,
        curves=curves,
        wavelengths_nm=pair.hsi.wavelengths,
        msi_bands=msi_ranges(pair),
        warnings=estimates.warnings,
        field=displacement.figure(pair, estimates.geometry),
    )
