"""hsfusion:assess: how far a fused raster agrees with both rasters that it was made from."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .parameters import file_output, pair, pair_details, raster, raster_output, report_output
from .strings import mark, tr

NUMBERS = {
    "HSI_CONSISTENCY": mark("Agreement with the hyperspectral raster (dB)"),
    "MSI_CONSISTENCY": mark("Agreement with the multispectral raster (dB)"),
    "D_LAMBDA": mark("Spectral distortion D_lambda (Khan)"),
    "D_S": mark("Spatial distortion D_S"),
    "HQNR": mark("Hybrid quality with no reference"),
}


class Assess(Algorithm):
    GROUP = "evaluation"

    def name(self) -> str:
        return "assess"

    def displayName(self) -> str:
        return tr("Assess without a reference")

    def shortDescription(self) -> str:
        return tr(
            "Consistency of a fused raster with both of its sources, D_lambda, D_S and HQNR, with table and report."
        )

    def tags(self) -> list[str]:
        return [*super().tags(), "QNR", *NUMBERS, *tr("quality,consistency").split(",")]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            raster("FUSED", tr("Fused raster")),
            *pair(),
            *pair_details(),
            raster_output("INCONSISTENCY", tr("Map of the inconsistency"), optional=True),
            report_output(expected=True),
            file_output("TABLE", tr("Table of all bands"), tr("CSV files (*.csv);;JSON files (*.json)")),
        )
        for name, label in NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, tr(label)))

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.assess.job import AssessmentRequest

        return AssessmentRequest(
            **self.pair(parameters, context),
            fused=self.source(parameters, "FUSED", context) or "",
            inconsistency=self.output_raster(parameters, "INCONSISTENCY", context),
            report=self.output_file(parameters, "REPORT", context),
            table=self.output_file(parameters, "TABLE", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.assess import job as assessment

        return assessment.run(request, progress)
