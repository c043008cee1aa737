"""hsfusion:openproduct: products as they are delivered become rasters that fuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputString, QgsProcessingParameterDefinition

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .parameters import advanced, boolean, number, raster_output, text
from .strings import tr

WIDGET = f"{__package__.rpartition('.')[0]}.hsfusion_plugin.gui.product.ProductWidget"


def product() -> QgsProcessingParameterDefinition:
    """PRODUCT: a text, for which dialogs have buttons for a file and a folder."""
    parameter = text("PRODUCT", tr("Product (file, folder or archive)"), required=True)
    parameter.setMetadata({"widget_wrapper": {"class": WIDGET}})
    return parameter


class OpenProduct(Algorithm):
    GROUP = "tools"
    RASTER_ENDINGS = (".tif", ".tiff", ".vrt")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            product(),
            text("BANDS", tr("Bands (all, good, ranges in nm, names)"), "all", ("all", "good", "400-1000")),
            text("MASK_CLASSES", tr("Quality classes to mask (default, none, names)"), "default", ("default", "none")),
            advanced(
                number("RESOLUTION", tr("Pixel size (metres; 0 = the finest)"), 0.0, minValue=0.0, maxValue=10000.0)
            ),
            advanced(boolean("PAN", tr("Open the panchromatic image instead"), False)),
            advanced(boolean("SWATH", tr("Keep the image as the sensor saw it"), False)),
            raster_output("OUTPUT", tr("Raster")),
            raster_output("MASK", tr("Mask"), optional=True),
        )
        self.addOutput(QgsProcessingOutputString("SENSOR", tr("Sensor")))
        self.addOutput(QgsProcessingOutputString("TIME", tr("Time of acquisition (UTC)")))

    def name(self) -> str:
        return "openproduct"

    def displayName(self) -> str:
        return tr("Open a product")

    def shortDescription(self) -> str:
        return tr("Makes a product as agencies deliver it one raster that fuses: units, wavelengths, mask, place.")

    def tags(self) -> list[str]:
        words = tr("import,EnMAP,PRISMA,DESIS,EMIT,Tanager,NEON,AVIRIS,Sentinel-2,Landsat,SAFE,HDF5,netCDF,product")
        return [*super().tags(), *words.split(",")]

    def refusal(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        product = self.optional_text(parameters, "PRODUCT", context)
        if product is None:
            return tr("PRODUCT is empty: give the file, folder or archive of a product.")
        return (
            None if Path(product).expanduser().exists() else tr("PRODUCT is {}, which does not exist.").format(product)
        )

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.products.job import ProductRequest

        return ProductRequest(
            product=self.optional_text(parameters, "PRODUCT", context) or "",
            output=self.output_raster(parameters, "OUTPUT", context) or "",
            mask=self.output_raster(parameters, "MASK", context),
            bands=self.optional_text(parameters, "BANDS", context) or "all",
            mask_classes=self.optional_text(parameters, "MASK_CLASSES", context) or "default",
            resolution=self.parameterAsDouble(parameters, "RESOLUTION", context),
            pan=self.parameterAsBool(parameters, "PAN", context),
            swath=self.parameterAsBool(parameters, "SWATH", context),
        )

    def layer_names(self, request: Any, results: dict[str, Any]) -> dict[str, str]:
        name = Path(request.product).stem
        return {"OUTPUT": name, "MASK": tr("{} mask").format(name)}

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.products import job

        return job.run(request, progress)
