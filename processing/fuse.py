"""hsfusion:fuse: the diffusion model, or a closed form where its guard or the user prefers one."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber, QgsProcessingParameterDefinition

from ..hsfusion_plugin.backend.models_store.places import fetched_models
from ..hsfusion_plugin.backend.settings import BUNDLED_MODELS, model_folders
from ..hsfusion_plugin.jobs.request import MINUTES, FusionRequest
from ..hsfusion_plugin.jobs.run.progress import Progress
from ..models.scene.methods.names import CLASSICAL, UNSUPERVISED
from .fusing import FusionAlgorithm
from .parameters import (
    advanced,
    boolean,
    choice,
    extent,
    file,
    folder_output,
    integer,
    number,
    pair,
    pair_details,
    quality_output,
    raster_output,
    raster_set,
    report_output,
    text,
)
from .strings import tr

BACKENDS = ("auto", "local", "remote")
SAMPLERS = ("auto", "diffusion", "gaussian", "ddim", "ancestral", "dpm-solver")


def model() -> QgsProcessingParameterDefinition:
    """MODEL: by name."""
    return text("MODEL", tr("Model"), "auto", ("auto", *installed_models(), *CLASSICAL, *UNSUPERVISED))


def model_file() -> QgsProcessingParameterDefinition:
    """MODEL_FILE: a model that is not installed."""
    return advanced(file("MODEL_FILE", tr("Model file (instead of an installed model)"), tr("Models (*.safetensors)")))


def minutes() -> QgsProcessingParameterDefinition:
    """MINUTES: of the methods that are trained on the pair."""
    label = tr("Time to train a method on the pair (minutes)")
    return number("MINUTES", label, MINUTES, minValue=0.05, maxValue=240.0)


def model_details() -> list[QgsProcessingParameterDefinition]:
    """How the model works and where."""
    return [
        advanced(boolean("CONSISTENCY", tr("Keep the result consistent with both rasters"), True)),
        advanced(boolean("GUARD", tr("Check at reduced resolution and keep the better method"), True)),
        advanced(integer("STEPS", tr("Sampling steps (0 = the model's own)"), 0, minValue=0, maxValue=1000)),
        advanced(integer("SAMPLES", tr("Samples (0 = the mean estimate)"), 0, minValue=0, maxValue=64)),
        advanced(choice("SAMPLER", tr("How a diffusion model draws (auto = as its card says)"), SAMPLERS, SAMPLERS[0])),
        advanced(integer("SEED", tr("Seed of the noise"), 0, minValue=0, maxValue=2**31 - 1)),
        advanced(boolean("INTERPOLATE_BANDS", tr("Interpolate the bands to those of a model of one sensor"), False)),
        advanced(minutes()),
        advanced(choice("BACKEND", tr("Where the model runs"), BACKENDS, BACKENDS[0])),
        advanced(integer("TILE_SIZE", tr("Tile size (MSI pixels; 0 = automatic)"), 0, minValue=0, maxValue=8192)),
    ]


class Fuse(FusionAlgorithm):
    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            *pair(),
            model(),
            extent(),
            model_file(),
            *pair_details(),
            *model_details(),
            *(advanced(parameter) for parameter in raster_set()),
            raster_output("OUTPUT", tr("Fused raster")),
            advanced(raster_output("UNCERTAINTY", tr("Uncertainty"), optional=True)),
            quality_output(),
            advanced(folder_output("ENSEMBLE", tr("Folder for the members of an ensemble"))),
            report_output(),
        )
        self.add_fusion_outputs()
        self.addOutput(
            QgsProcessingOutputNumber("GUARD_GAIN", tr("Gain over the closed forms at reduced resolution (dB)"))
        )

    def name(self) -> str:
        return "fuse"

    def displayName(self) -> str:
        return tr("Fuse rasters with a diffusion model")

    def shortDescription(self) -> str:
        return tr("Gives the multispectral raster's pixels all bands of the hyperspectral one, with a diffusion model.")

    def tags(self) -> list[str]:
        return [*super().tags(), *tr("diffusion,deep learning,AI,uncertainty").split(",")]

    def refusal(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        model = self.optional_text(parameters, "MODEL", context) or "auto"
        if model != "auto" and self.optional_text(parameters, "MODEL_FILE", context):
            return tr("MODEL is {} and MODEL_FILE is given too: leave MODEL at auto to use the file.").format(model)
        return None

    def model_parameters(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """What `model`, `model_file` and `model_details` declare, by the names of the request's fields."""
        return {
            "model": self.optional_text(parameters, "MODEL", context) or "auto",
            "model_file": self.optional_text(parameters, "MODEL_FILE", context),
            "minutes": self.parameterAsDouble(parameters, "MINUTES", context),
            **{
                name.lower(): self.parameterAsBool(parameters, name, context)
                for name in ("CONSISTENCY", "GUARD", "INTERPOLATE_BANDS")
            },
            **{
                name.lower(): self.parameterAsInt(parameters, name, context)
                for name in ("STEPS", "SAMPLES", "SEED", "TILE_SIZE")
            },
            **{name.lower(): self.parameterAsEnumString(parameters, name, context) for name in ("SAMPLER", "BACKEND")},
        }

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> FusionRequest:
        return self.fusion_request(
            parameters,
            context,
            **self.model_parameters(parameters, context),
            uncertainty=self.output_raster(parameters, "UNCERTAINTY", context),
            ensemble=self.output_file(parameters, "ENSEMBLE", context),
        )

    def job(self, request: FusionRequest, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.fuse import with_model as fusion

        return fusion.run(request, progress)


def installed_models() -> tuple[str, ...]:
    """Names of the models on this computer, for the list of hints."""
    names = set()
    for place in (*model_folders(), fetched_models(), BUNDLED_MODELS):
        files = [place] if place.is_file() else place.glob("*.safetensors")
        names.update(file.stem for file in files)
    return tuple(sorted(names))
