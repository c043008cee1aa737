"""hsfusion:propagate: an answer with its uncertainty."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsFeatureRequest,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
)

from ..hsfusion_plugin.errors import HSFusionError
from ..hsfusion_plugin.jobs.propagate.request import KINDS, Polygons, PropagateRequest
from ..hsfusion_plugin.jobs.run.progress import Progress
from ..models.scene.methods.names import CLOSED_FORMS
from .base import Algorithm
from .fuse import BACKENDS, installed_models
from .loaded_layers import stem
from .parameters import (
    advanced,
    choice,
    file,
    file_output,
    integer,
    number,
    raster,
    raster_output,
    report_output,
    sensor_set,
    text,
)
from .strings import tr

SAMPLERS = ("auto", "gaussian", "diffusion")
WITH_MEMBERS = CLOSED_FORMS
INDICES = ("NDVI", "NDWI", "NDRE", "PRI", "REIP", "CLAY", "IRON")
NAME_FIELDS = ("class", "name", "label", "id")


class Propagate(Algorithm):
    GROUP = "evaluation"

    def name(self) -> str:
        return "propagate"

    def displayName(self) -> str:
        return tr("Answer with uncertainty")

    def shortDescription(self) -> str:
        return tr("Computes an index, a class, an area or any algorithm of a fused image, and how sure the answer is.")

    def tags(self) -> list[str]:
        words = tr("uncertainty,ensemble,confidence interval,NDVI,index,spectral angle,target detection,classification")
        return [*super().tags(), *words.split(","), *tr("area,zonal statistics").split(",")]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        members = QgsProcessingParameterFile(
            "ENSEMBLE",
            tr("Folder of members (instead of a pair)"),
            QgsProcessingParameterFile.Behavior.Folder,
            optional=True,
        )
        self.addParameters(
            raster("HSI", tr("Hyperspectral raster (many bands, coarse pixels)"), optional=True),
            raster("MSI", tr("Multispectral or panchromatic raster (few bands, fine pixels)"), optional=True),
            choice("WHAT", tr("What to compute"), KINDS, KINDS[0]),
            text("FORMULA", tr("Index or formula"), "NDVI", INDICES),
            _polygons("POLYGONS", tr("Polygons to report on")),
            advanced(file("SPECTRA", tr("Spectra"), tr("Spectra (*.csv *.txt *.sli *.esl *.hdr)"))),
            advanced(number("THRESHOLD", tr("Threshold for the area above it"))),
            advanced(text("CLASS", tr("Class for its area"))),
            advanced(members),
            advanced(text("MODEL", tr("Model"), "auto", ("auto", *installed_models(), *WITH_MEMBERS))),
            advanced(
                file("MODEL_FILE", tr("Model file (instead of an installed model)"), tr("Models (*.safetensors)"))
            ),
            advanced(raster("MASK", tr("Mask (non-zero = use)"), optional=True)),
            *(advanced(parameter) for parameter in sensor_set()),
            advanced(choice("BACKEND", tr("Where the model runs"), BACKENDS, BACKENDS[0])),
            advanced(choice("SAMPLER", tr("How members are drawn"), SAMPLERS, SAMPLERS[0])),
            advanced(integer("SAMPLES", tr("Members"), 32, minValue=2, maxValue=1000)),
            advanced(integer("SEED", tr("Seed of the noise"), 0, minValue=0, maxValue=2**31 - 1)),
            advanced(_polygons("TRAINING", tr("Polygons of known classes"))),
            advanced(text("ALGORITHM", tr("Processing algorithm or model to run on each member"))),
            advanced(text("ALGORITHM_PARAMETERS", tr("Its other parameters (JSON)"))),
            advanced(text("QUANTILES", tr("Quantiles"), "0.05,0.5,0.95")),
            raster_output("OUTPUT_MEAN", tr("Answer"), optional=True),
            raster_output("OUTPUT_STD", tr("Standard deviation of the answer"), optional=True),
            advanced(raster_output("OUTPUT_QUANTILES", tr("Quantiles of the answer"), optional=True)),
            advanced(file_output("TABLE", tr("Table of the polygons"), tr("CSV files (*.csv);;JSON files (*.json)"))),
            report_output(expected=True),
        )

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> PropagateRequest:
        return PropagateRequest(
            **self.pair(parameters, context),
            ensemble=self.optional_text(parameters, "ENSEMBLE", context),
            what=self.parameterAsEnumString(parameters, "WHAT", context),
            formula=self.optional_text(parameters, "FORMULA", context) or "",
            spectra=self.optional_text(parameters, "SPECTRA", context),
            polygons=self._polygons(parameters, "POLYGONS", context),
            training=self._polygons(parameters, "TRAINING", context),
            threshold=self.optional_number(parameters, "THRESHOLD", context),
            class_name=self.optional_text(parameters, "CLASS", context) or "",
            model=self.optional_text(parameters, "MODEL", context) or "auto",
            model_file=self.optional_text(parameters, "MODEL_FILE", context),
            backend=self.parameterAsEnumString(parameters, "BACKEND", context),
            sampler=self.parameterAsEnumString(parameters, "SAMPLER", context),
            samples=self.parameterAsInt(parameters, "SAMPLES", context),
            seed=self.parameterAsInt(parameters, "SEED", context),
            algorithm_id=self.optional_text(parameters, "ALGORITHM", context) or "",
            algorithm_parameters=self.optional_text(parameters, "ALGORITHM_PARAMETERS", context) or "",
            quantiles=_shares(self.optional_text(parameters, "QUANTILES", context) or ""),
            output_mean=self.output_raster(parameters, "OUTPUT_MEAN", context),
            output_std=self.output_raster(parameters, "OUTPUT_STD", context),
            output_quantiles=self.output_raster(parameters, "OUTPUT_QUANTILES", context),
            table=self.output_file(parameters, "TABLE", context),
            report=self.output_file(parameters, "REPORT", context),
        )

    def job(self, request: PropagateRequest, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.propagate import job

        return job.run(request, progress)

    def layer_names(self, request: PropagateRequest, results: dict[str, Any]) -> dict[str, str]:
        source = stem(request.ensemble or request.hsi)
        named = request.formula if request.what in ("index", "zonal", "area") else request.what
        return {
            "OUTPUT_MEAN": tr("{} {}").format(source, named),
            "OUTPUT_STD": tr("{} {} standard deviation").format(source, named),
            "OUTPUT_QUANTILES": tr("{} {} quantiles").format(source, named),
        }

    def _polygons(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> Polygons | None:
        """The polygons of a vector layer, each with its class or name, or its number where it has none."""
        if parameters.get(name) in (None, ""):
            return None
        source = self.parameterAsSource(parameters, name, context)
        if source is None:
            raise HSFusionError(f"{name}: the vector layer cannot be opened: check its path.")
        fields = {field.name().lower(): number for number, field in enumerate(source.fields())}
        texts = [
            number for number, field in enumerate(source.fields()) if field.typeName().lower() in ("string", "text")
        ]
        chosen = next((fields[word] for word in NAME_FIELDS if word in fields), texts[0] if texts else None)
        shapes = []
        for feature in source.getFeatures(QgsFeatureRequest()):
            if feature.hasGeometry():
                label = str(feature.id()) if chosen is None else str(feature.attributes()[chosen])
                shapes.append((label, bytes(feature.geometry().asWkb())))
        if not shapes:
            raise HSFusionError(f"{name}: the layer has no polygons: choose another one.")
        return Polygons(tuple(shapes), source.sourceCrs().toWkt(), source.sourceName() or name)


def _polygons(name: str, label: str) -> QgsProcessingParameterFeatureSource:
    kind = QgsProcessing.SourceType.TypeVectorPolygon
    return QgsProcessingParameterFeatureSource(name, label, [kind], None, True)


def _shares(listed: str) -> tuple[float, ...]:
    try:
        return tuple(float(item) for item in listed.split(","))
    except ValueError as error:
        raise HSFusionError(f"QUANTILES is {listed}: give shares between 0 and 1, such as 0.05,0.5,0.95.") from error
