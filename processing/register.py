"""hsfusion:register: the HSI moved onto the MSI's place, with control points and a report."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .parameters import file_output, pair, pair_details, raster_output, report_output
from .strings import mark, tr

NUMBERS = {
    "SHIFT_X": mark("HSI's shift to the east (MSI pixels)"),
    "SHIFT_Y": mark("HSI's shift to the south (MSI pixels)"),
    "ROTATION": mark("HSI's rotation clockwise (degrees)"),
    "SCALE": mark("Size of the HSI's content over what its grid says"),
    "LOCAL_RMS": mark("Local displacement of the HSI (MSI pixels rms)"),
}


class Register(Algorithm):
    GROUP = "tools"

    def name(self) -> str:
        return "register"

    def displayName(self) -> str:
        return tr("Register a pair")

    def shortDescription(self) -> str:
        return tr("The hyperspectral raster moved onto the multispectral one's place, control points and a report.")

    def tags(self) -> list[str]:
        return [*super().tags(), "GCP", *tr("registration,displacement,shift,rotation,georeferencing").split(",")]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            *pair(),
            *pair_details(),
            raster_output("OUTPUT", tr("Hyperspectral raster in its place"), optional=True),
            file_output("GCPS", tr("Ground control points"), tr("Georeferencer points (*.points)")),
            report_output(expected=True),
        )
        for name, label in NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, tr(label)))

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.register.job import RegisterRequest

        return RegisterRequest(
            **self.pair(parameters, context),
            output=self.output_raster(parameters, "OUTPUT", context),
            gcps=self.output_file(parameters, "GCPS", context),
            report=self.output_file(parameters, "REPORT", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.register import job as register

        return register.run(request, progress)
