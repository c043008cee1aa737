"""hsfusion:fusefolder: `hsfusion:fuse` for a list of pairs."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
)

from ..hsfusion_plugin.jobs.request import FusionRequest
from ..hsfusion_plugin.jobs.run.progress import Progress
from .fuse import Fuse, model, model_details, model_file
from .parameters import advanced, boolean, file_output, raster_set, sensor_set
from .strings import tr


class FuseFolder(Fuse):
    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        kind = QgsProcessingParameterFile.Behavior.File
        self.addParameters(
            QgsProcessingParameterFile(
                "PAIRS", tr("List of pairs (CSV: hsi, msi, mask, output)"), kind, fileFilter=tr("CSV files (*.csv)")
            ),
            model(),
            model_file(),
            *(advanced(parameter) for parameter in sensor_set()),
            *model_details(),
            *(advanced(parameter) for parameter in raster_set()),
            advanced(boolean("UNCERTAINTY", tr("Write the uncertainty of each pair"), False)),
            advanced(boolean("QUALITY", tr("Write the quality flags of each pair"), False)),
            boolean("REPORT", tr("Write a report for each pair"), False),
            QgsProcessingParameterFolderDestination("OUTPUT_FOLDER", tr("Folder for the fused rasters")),
            file_output("TABLE", tr("Table of estimates and quality"), tr("CSV files (*.csv)"), True),
        )
        for name, label in (
            ("DONE", tr("Pairs that were fused")),
            ("SKIPPED", tr("Pairs that were done before")),
            ("FAILED", tr("Pairs that failed")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def name(self) -> str:
        return "fusefolder"

    def displayName(self) -> str:
        return tr("Fuse many pairs")

    def shortDescription(self) -> str:
        return tr("Fuses pair after pair of a list with one backend, goes on after a failure, and shows outliers.")

    def layer_names(self, request: Any, results: dict[str, Any]) -> dict[str, str]:
        return {}

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.batch.job import BatchRequest

        fusion = FusionRequest(
            hsi="",
            msi="",
            **self.sensor_set(parameters, context),
            **self.model_parameters(parameters, context),
            options=self.parameterAsString(parameters, "OPTIONS", context),
            data_type=self.parameterAsEnumString(parameters, "DATA_TYPE", context),
        )
        flags = {n.lower(): self.parameterAsBool(parameters, n, context) for n in ("UNCERTAINTY", "QUALITY", "REPORT")}
        return BatchRequest(
            pairs=self.optional_text(parameters, "PAIRS", context) or "",
            output_folder=self.parameterAsString(parameters, "OUTPUT_FOLDER", context),
            fusion=fusion,
            table=self.output_file(parameters, "TABLE", context),
            **flags,
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.batch import job

        return job.run(request, progress)
