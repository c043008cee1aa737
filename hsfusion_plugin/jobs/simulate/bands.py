"""The multispectral bands that a simulation makes of a reference: their spectral responses, names and wavelengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....models.errors import HSFusionError
from ....models.observation import covered_bands, gaussian_response, load_sensors, read_response
from ....models.observation.response_table import read_response_table
from ...rasters.reading.metadata import BandInfo
from ...rasters.reading.raster import Raster
from ..request import SimulationRequest
from ..run.progress import Progress

SENSORS = Path(__file__).resolve().parents[3] / "resources" / "sensors.csv"


def simulated_bands(
    request: SimulationRequest, raster: Raster, bands: list[int], progress: Progress
) -> tuple[np.ndarray, list[BandInfo]]:
    """R (l, len(bands)), rows summing to 1, and the l bands, from SRF_FILE or SENSOR; `bands` are the reference's
    usable ones.

    Raises HSFusionError where the reference has no wavelengths or sees none of the sensor's bands.
    """
    if raster.wavelengths is None:
        raise HSFusionError(
            "REFERENCE has bands without a wavelength, so no multispectral band can be made of them: "
            "add wavelengths to its metadata (band item 'wavelength', in nanometres)."
        )
    wavelengths = raster.wavelengths[bands]
    scales = {(raster.bands[i].scale, raster.bands[i].offset) for i in bands}
    scale, offset = next(iter(scales)) if len(scales) == 1 else (1.0, 0.0)
    if request.srf_file:
        response = read_response(request.srf_file, wavelengths)
        names = read_response_table(request.srf_file).names
        centres = response @ wavelengths
        found = zip(names, centres, [None] * len(names))
    else:
        sensor = load_sensors(SENSORS)[request.sensor]
        covered = covered_bands(sensor.centre_nm, sensor.fwhm_nm, wavelengths)
        if not covered.any():
            raise HSFusionError(
                f"No band of {sensor.name} lies inside the wavelengths of REFERENCE "
                f"({wavelengths.min():.0f} to {wavelengths.max():.0f} nm): choose another SENSOR."
            )
        names = [f"{sensor.name} {name}" for name, inside in zip(sensor.bands, covered) if inside]
        if not covered.all():
            missing = [name for name, inside in zip(sensor.bands, covered) if not inside]
            progress.info(
                f"Bands of {sensor.name} that the reference does not cover are left out: {', '.join(missing)}."
            )
        response = gaussian_response(sensor.centre_nm[covered], sensor.fwhm_nm[covered], wavelengths)
        found = zip(names, sensor.centre_nm[covered], sensor.fwhm_nm[covered])
    response = np.where(response < 1e-5, 0.0, response)
    response /= response.sum(axis=1, keepdims=True)
    infos = [
        BandInfo(float(centre), None if fwhm is None else float(fwhm), name.strip(), False, scale, offset)
        for name, centre, fwhm in found
    ]
    if len(infos) >= len(bands):
        progress.warn(
            f"The simulated pair has {len(infos)} multispectral and {len(bands)} hyperspectral bands: it cannot be "
            "fused."
        )
    return response, infos
