"""hsfusion:adapt: a model's weights fine-tuned on the user's own pair."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber, QgsProcessingParameterFileDestination

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .fuse import BACKENDS, installed_models
from .parameters import advanced, choice, file, number, pair, pair_details, report_output, text
from .strings import tr


class Adapt(Algorithm):
    def name(self) -> str:
        return "adapt"

    def displayName(self) -> str:
        return tr("Adapt a model to a pair")

    def shortDescription(self) -> str:
        return tr(
            "Fine-tunes a model's weights on your own pair and keeps them only if they are better on held-out parts."
        )

    def tags(self) -> list[str]:
        words = tr("fine-tuning,training,self-supervised,domain adaptation,deep learning,diffusion")
        return [*super().tags(), *words.split(",")]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            *pair(),
            text("MODEL", tr("Model"), "auto", ("auto", *installed_models())),
            advanced(file("MODEL_FILE", tr("Model file (instead of an installed model)"), "Models (*.safetensors)")),
            *pair_details(),
            number("MINUTES", tr("Time for training (minutes)"), 10.0, minValue=0.05, maxValue=240.0),
            advanced(choice("BACKEND", tr("Where the model runs"), BACKENDS, BACKENDS[0])),
            QgsProcessingParameterFileDestination(
                "OUTPUT_MODEL", tr("Adapted model"), tr("Models (*.safetensors)"), None, False, True
            ),
            report_output(),
        )
        self.addOutput(
            QgsProcessingOutputNumber("VALIDATION_GAIN", tr("Gain on held-out parts, at reduced resolution (dB)"))
        )

    def refusal(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        model = self.optional_text(parameters, "MODEL", context) or "auto"
        if model != "auto" and self.optional_text(parameters, "MODEL_FILE", context):
            return tr("MODEL is {} and MODEL_FILE is given too: leave MODEL at auto to use the file.").format(model)
        return None

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.adapt.job import AdaptRequest

        return AdaptRequest(
            **self.pair(parameters, context),
            output_model=self.output_file(parameters, "OUTPUT_MODEL", context) or "",
            model=self.optional_text(parameters, "MODEL", context) or "auto",
            model_file=self.optional_text(parameters, "MODEL_FILE", context),
            minutes=self.parameterAsDouble(parameters, "MINUTES", context),
            backend=self.parameterAsEnumString(parameters, "BACKEND", context),
            report=self.output_file(parameters, "REPORT", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.adapt import job as adaptation

        return adaptation.run(request, progress)
