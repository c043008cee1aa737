"""hsfusion:diagnostics: what works and what does not, on one page."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber, QgsProcessingOutputString

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .parameters import boolean, file_output
from .strings import tr


class Diagnostics(Algorithm):
    GROUP = "tools"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            boolean("TRIAL", tr("Start the local backend and time one tile"), True),
            file_output("REPORT", tr("Page as a file"), tr("Text files (*.txt)")),
        )
        self.addOutput(QgsProcessingOutputString("TEXT", tr("Page")))
        self.addOutput(QgsProcessingOutputNumber("PROBLEMS", tr("Number of problems")))
        self.addOutput(QgsProcessingOutputNumber("TILE_SECONDS", tr("Seconds for one tile")))

    def name(self) -> str:
        return "diagnostics"

    def displayName(self) -> str:
        return tr("Diagnostics")

    def shortDescription(self) -> str:
        return tr("Says on one page what is installed, which device would be used and why, and what does not work.")

    def tags(self) -> list[str]:
        return [*super().tags(), *tr("check,problem,backend,installation,versions,device,GPU,speed").split(",")]

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.diagnose.job import DiagnosticsRequest

        return DiagnosticsRequest(
            report=self.output_file(parameters, "REPORT", context),
            trial=self.parameterAsBool(parameters, "TRIAL", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.diagnose import job as diagnostics

        return diagnostics.run(request, progress)
