"""hsfusion:fuseclassical: closed-form methods, which need no model and no backend."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext

from ..hsfusion_plugin.jobs.request import FusionRequest
from ..hsfusion_plugin.jobs.run.progress import Progress
from ..models.scene.methods.names import CLASSICAL
from .fusing import FusionAlgorithm
from .parameters import (
    advanced,
    boolean,
    choice,
    extent,
    pair,
    pair_details,
    quality_output,
    raster_output,
    raster_set,
    report_output,
)
from .strings import tr


class FuseClassical(FusionAlgorithm):
    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            *pair(),
            choice("METHOD", tr("Method"), CLASSICAL, CLASSICAL[0]),
            advanced(boolean("DENOISE", tr("Filter the noise of the multispectral raster first"), False)),
            extent(),
            *pair_details(),
            *(advanced(parameter) for parameter in raster_set()),
            raster_output("OUTPUT", tr("Fused raster")),
            quality_output(),
            report_output(),
        )
        self.add_fusion_outputs()

    def name(self) -> str:
        return "fuseclassical"

    def displayName(self) -> str:
        return tr("Fuse rasters with a closed form")

    def shortDescription(self) -> str:
        return tr(
            "Gives the multispectral raster's pixels all bands of the hyperspectral one, without a model or backend."
        )

    def tags(self) -> list[str]:
        return [*super().tags(), "GLP", "GLP-HS", *tr("regression,classical").split(",")]

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> FusionRequest:
        return self.fusion_request(
            parameters,
            context,
            method=self.parameterAsEnumString(parameters, "METHOD", context),
            denoise=self.parameterAsBool(parameters, "DENOISE", context),
        )

    def job(self, request: FusionRequest, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.fuse import with_closed_form as classical

        return classical.run(request, progress)
