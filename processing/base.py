"""The frame of every algorithm: help, checks of the parameters, and one guard around the job."""

from __future__ import annotations

import traceback
from typing import Any

from qgis.core import (
    NULL,
    QgsCoordinateReferenceSystem,
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingUtils,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from ..hsfusion_plugin.errors import HSFusionError
from ..hsfusion_plugin.jobs.run.progress import Progress
from .checks import first_problem
from .feedback import FeedbackProgress, interruptible
from .loaded_layers import prepare_layers
from .strings import ICONS, RESOURCES, parameter_help, shown_help, tr


class Algorithm(QgsProcessingAlgorithm):
    """A subclass gives name, displayName, shortDescription, tags, initAlgorithm and the three methods below.

    `refusal` says in one sentence what is wrong with the parameters, `request` turns them into a plain dataclass (on
    the main thread, the only place where layers are touched), `job` does the work with it and returns the outputs by
    name. Errors are HSFusionError; the guard here makes them QGIS's own, so that qgis_process ends with exit code 1.
    """

    def refusal(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        """One sentence against these parameters, or None; asked before the run, also in qgis_process."""
        return None

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        """The parameters as plain values."""
        raise HSFusionError(f"{self.name()} declares no request.")

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        """The work, on any thread; returns the outputs by name."""
        raise HSFusionError(f"{self.name()} declares no job.")

    def layer_names(self, request: Any, results: dict[str, Any]) -> dict[str, str]:
        """Output name to the name of the layer that QGIS may make of it."""
        return {}

    GROUP = "fusion"  # or "evaluation", "tools"

    # What QGIS asks for

    def createInstance(self) -> Algorithm:
        return type(self)()

    def group(self) -> str:
        return {"fusion": tr("Fusion"), "evaluation": tr("Evaluation"), "tools": tr("Tools")}[self.GROUP]

    def groupId(self) -> str:
        return self.GROUP

    def tags(self) -> list[str]:
        """What every algorithm here is found under."""
        return tr("hyperspectral,multispectral,pansharpening,image fusion,super resolution,EnMAP").split(",")

    def icon(self) -> QIcon:
        return QIcon(str(ICONS / "hsfusion.svg"))

    def svgIconPath(self) -> str:
        return str(ICONS / "hsfusion.svg")

    def helpUrl(self) -> str:
        return QUrl.fromLocalFile(str(RESOURCES / "help" / f"{self.name()}.md")).toString()

    def shortHelpString(self) -> str:
        described = [*self.parameterDefinitions(), *self.outputDefinitions()]
        return shown_help(self.name(), {d.name(): d.description().split(" (")[0] for d in described})

    def addParameters(self, *definitions: QgsProcessingParameterDefinition) -> None:
        """Declare parameters; tooltips come from the help file."""
        texts = parameter_help(self.name())
        for definition in definitions:
            definition.setHelp(texts.get(definition.name(), ""))
            self.addParameter(definition)

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        parameters = _given(parameters)
        problem = first_problem(self, parameters, context)
        if problem is None:
            fine, message = super().checkParameterValues(parameters, context)
            problem = self.refusal(parameters, context) if fine else message
        return problem is None, problem or ""

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        before = context.layersToLoadOnCompletion()
        self._request = _guarded(feedback, self.request, _given(parameters), context)
        self._loaded = {path: how for path, how in context.layersToLoadOnCompletion().items() if path not in before}
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.run.process_limits import bounded

        for path, how in self._loaded.items():
            # The dialog's run has a context of its own here, and only the layers in that one are loaded afterwards.
            if not context.willLoadLayerOnCompletion(path):
                context.addLayerToLoadOnCompletion(path, how)
        with interruptible(feedback), bounded():
            results = _guarded(feedback, self.job, self._request, FeedbackProgress(feedback))
        prepare_layers(context, results, self.layer_names(self._request, results))
        return results

    # Parameters as plain values

    def source(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> str | None:
        """A raster parameter as a path or GDAL string, without loading what is not loaded yet; None if left out."""
        value = parameters.get(name)
        if not isinstance(value, QgsMapLayer):
            value = self.parameterAsString(parameters, name, context)
            if not value:
                return None
            layer = QgsProcessingUtils.mapLayerFromString(value, context, False)
            if layer is None:
                return value
            value = layer
        if value.providerType() != "gdal":
            raise HSFusionError(
                f"{name} is the layer {value.name()}, which is not a raster file: save it as a GeoTIFF first."
            )
        return value.source().split("|option:")[0]

    def optional_text(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> str | None:
        """A string or file parameter; None if left out."""
        return self.parameterAsString(parameters, name, context).strip() or None

    def optional_number(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> float | None:
        """A number; None if left out."""
        if parameters.get(name) in (None, ""):
            return None
        return self.parameterAsDouble(parameters, name, context)

    def pair(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """HSI, MSI, MASK and the sensor set, by the names that `PairRequest` gives them."""
        return {
            "hsi": self.source(parameters, "HSI", context) or "",
            "msi": self.source(parameters, "MSI", context) or "",
            "mask": self.source(parameters, "MASK", context),
            **self.sensor_set(parameters, context),
        }

    def sensor_set(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """The sensor set, by the names that `PairRequest` gives its fields."""
        texts, numbers = ("SRF_FILE", "MSI_GSD"), ("PSF_FWHM", "PSF_FWHM_Y", "SHIFT_X", "SHIFT_Y")
        return {
            **{
                name.lower(): self.parameterAsEnumString(parameters, name, context)
                for name in ("SENSOR", "REGISTRATION", "LIGHT", "DEFECTS")
            },
            **{name.lower(): self.optional_text(parameters, name, context) for name in texts},
            **{name.lower(): self.optional_number(parameters, name, context) for name in numbers},
        }

    def optional_extent(
        self, parameters: dict[str, Any], name: str, raster: str, context: QgsProcessingContext
    ) -> tuple[float, float, float, float] | None:
        """An extent as (xmin, ymin, xmax, ymax) in the CRS of the raster at this path; None if left out."""
        if parameters.get(name) in (None, ""):
            return None
        from ..hsfusion_plugin.jobs.products.inputs import crs_of_input

        crs = QgsCoordinateReferenceSystem.fromWkt(crs_of_input(raster, name))
        box = self.parameterAsExtent(parameters, name, context, crs)
        if box.isEmpty():
            raise HSFusionError(f"{name} has no area: give xmin,xmax,ymin,ymax with xmin < xmax and ymin < ymax.")
        return box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()

    def output_raster(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> str | None:
        """The path of a raster output; None if it is not wanted."""
        return self.parameterAsOutputLayer(parameters, name, context) or None

    def output_file(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> str | None:
        """The path of a file output; None if it is not wanted."""
        return self.parameterAsFileOutput(parameters, name, context) or None


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Without what a dialog leaves empty: it hands a null over that is not None, and that Python takes for a value."""
    return {k: v for k, v in parameters.items() if not (type(v) is type(NULL) and v == NULL)}


def _guarded(feedback: QgsProcessingFeedback, work: Any, *arguments: Any) -> Any:
    """Do the work; whatever goes wrong becomes one sentence and, for whoever looks for the fault, a trace in the debug
    log.
    """
    try:
        return work(*arguments)
    except QgsProcessingException:
        raise
    except HSFusionError as error:
        if error.__cause__ is not None:
            feedback.pushDebugInfo(f"{type(error.__cause__).__name__}: {error.__cause__}")
        raise QgsProcessingException(str(error)) from error
    except MemoryError as error:
        feedback.pushDebugInfo(traceback.format_exc())
        raise QgsProcessingException(
            tr("The computer ran out of memory: set a smaller tile size or extent, or close other programs.")
        ) from error
    except Exception as error:
        feedback.pushDebugInfo(traceback.format_exc())
        kind = type(error).__name__
        raise QgsProcessingException(
            tr("HSFusion met a fault of its own ({}); please report it with the log.").format(f"{kind}: {error}")
        ) from error
