"""What `fuse` and `fuseclassical` have in common: one request, the same outputs, the same words to be found by."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber, QgsProcessingOutputString

from ..hsfusion_plugin.jobs.request import FusionRequest
from .base import Algorithm
from .loaded_layers import stem
from .strings import tr


class FusionAlgorithm(Algorithm):
    """A pair of rasters in, one raster with all bands at the fine pixels out."""

    def tags(self) -> list[str]:
        words = tr("pan-sharpening,hypersharpening,data fusion,downscaling,PRISMA,Sentinel-2")
        return [*super().tags(), *words.split(",")]

    def add_fusion_outputs(self) -> None:
        """The outputs that say what was used and how well the result explains both rasters."""
        self.addOutput(QgsProcessingOutputString("USED_METHOD", tr("Method that was used")))
        for name, label in (
            ("HSI_CONSISTENCY", tr("Agreement with the hyperspectral raster (dB)")),
            ("MSI_CONSISTENCY", tr("Agreement with the multispectral raster (dB)")),
            ("PSF_FWHM_USED", tr("Width of the PSF that was used (HSI pixels)")),
            ("SHIFT_X_USED", tr("Shift to the east that was used (MSI pixels)")),
            ("SHIFT_Y_USED", tr("Shift to the south that was used (MSI pixels)")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def layer_names(self, request: FusionRequest, results: dict[str, Any]) -> dict[str, str]:
        names = {
            "OUTPUT": tr("{} fused ({})"),
            "UNCERTAINTY": tr("{} expected error ({})"),
            "QUALITY": tr("{} quality ({})"),
        }
        return {output: name.format(stem(request.hsi), results["USED_METHOD"]) for output, name in names.items()}

    def fusion_request(self, parameters: dict[str, Any], context: QgsProcessingContext, **own: Any) -> FusionRequest:
        """The shared parameters as plain values, with those that only one algorithm has as `own`."""
        pair = self.pair(parameters, context)
        return FusionRequest(
            **pair,
            extent=self.optional_extent(parameters, "EXTENT", pair["msi"], context),
            options=self.parameterAsString(parameters, "OPTIONS", context),
            data_type=self.parameterAsEnumString(parameters, "DATA_TYPE", context),
            output=self.output_raster(parameters, "OUTPUT", context) or "",
            quality=self.output_raster(parameters, "QUALITY", context),
            report=self.output_file(parameters, "REPORT", context),
            **own,
        )
