"""hsfusion:estimatesensor: PSF, shift and spectral response, from the pair alone."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .parameters import file_output, pair, pair_details, report_output
from .strings import mark, tr

NUMBERS = {
    "PSF_FWHM": mark("Width of the PSF (FWHM, HSI pixels)"),
    "PSF_FWHM_Y": mark("Width of the PSF from north to south"),
    "SHIFT_X": mark("HSI's shift to the east (MSI pixels)"),
    "SHIFT_Y": mark("HSI's shift to the south (MSI pixels)"),
    "ROTATION": mark("HSI's rotation clockwise (degrees)"),
    "SCALE": mark("Size of the HSI's content over what its grid says"),
    "LOCAL_RMS": mark("Local displacement of the HSI (MSI pixels rms)"),
    "UNEXPLAINED": mark("Largest share of an MSI band that the HSI does not explain"),
}


class EstimateSensor(Algorithm):
    GROUP = "tools"

    def name(self) -> str:
        return "estimatesensor"

    def displayName(self) -> str:
        return tr("Estimate the sensors of a pair")

    def shortDescription(self) -> str:
        return tr("Point spread function, shift, spectral response, gain, offset and noise, from the pair alone.")

    def tags(self) -> list[str]:
        return [*super().tags(), "PSF", "MTF", "SRF", *tr("registration,shift,blur,calibration").split(",")]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            *pair(),
            *pair_details(),
            file_output("SRF", tr("Spectral response functions"), tr("CSV files (*.csv)")),
            report_output(expected=True),
        )
        for name, label in NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, tr(label)))

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.estimate_sensor import SensorRequest

        return SensorRequest(
            **self.pair(parameters, context),
            srf=self.output_file(parameters, "SRF", context),
            report=self.output_file(parameters, "REPORT", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs import estimate_sensor as sensor

        return sensor.run(request, progress)
