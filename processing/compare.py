"""hsfusion:compare: which method is best for this pair."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputString

from ..hsfusion_plugin.jobs.run.progress import Progress
from ..models.scene.methods.names import CLASSICAL, UNSUPERVISED
from .base import Algorithm
from .fuse import BACKENDS, installed_models, minutes
from .parameters import advanced, choice, choices, file_output, integer, pair, pair_details, report_output
from .strings import tr

BASE = "hsfusion-base"
TABLES = "CSV files (*.csv);;JSON files (*.json);;LaTeX files (*.tex)"
SLOW = (*UNSUPERVISED, "cstf", "nssr", "cnmf", "hysure")
PUBLISHED = ("ddpm-fus", "ddrf", "hsr-diff")
PRESETS = {"quick": (*SLOW, *PUBLISHED), "review": PUBLISHED, "all": ()}  # what each leaves out
CRITERIA = ("together", "rmse", "sam", "q2n")


class Compare(Algorithm):
    GROUP = "evaluation"

    def name(self) -> str:
        return "compare"

    def displayName(self) -> str:
        return tr("Compare methods on a pair")

    def shortDescription(self) -> str:
        return tr(
            "Ranks fusion methods on your own pair of rasters, one scale down, where the answer is known (Wald's "
            "protocol)."
        )

    def tags(self) -> list[str]:
        words = tr("benchmark,ranking,best,choose,Wald's protocol,reduced resolution,quality")
        return [*super().tags(), *words.split(","), *CLASSICAL]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        models = installed_models()
        self.addParameters(
            *pair(),
            choice("PRESET", tr("Methods to compare, where none are named"), tuple(PRESETS), "quick"),
            choices("METHODS", tr("Methods (instead of the preset's)"), (*CLASSICAL, *UNSUPERVISED, *models), ()),
            choice("CRITERION", tr("What BEST means"), CRITERIA, CRITERIA[0]),
            *pair_details(),
            advanced(integer("SEED", tr("Seed of the noise"), 0, minValue=0, maxValue=2**31 - 1)),
            advanced(minutes()),
            advanced(choice("BACKEND", tr("Where the model runs"), BACKENDS, BACKENDS[0])),
            report_output(expected=True),
            file_output("TABLE", tr("Table of all methods"), tr(TABLES)),
        )
        self.addOutput(QgsProcessingOutputString("BEST", tr("Best method (a name that MODEL takes)")))

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.compare.job import ComparisonRequest

        return ComparisonRequest(
            **self.pair(parameters, context),
            methods=tuple(self.parameterAsEnumStrings(parameters, "METHODS", context))
            or of_preset(self.parameterAsEnumString(parameters, "PRESET", context)),
            criterion=self.parameterAsEnumString(parameters, "CRITERION", context),
            seed=self.parameterAsInt(parameters, "SEED", context),
            minutes=self.parameterAsDouble(parameters, "MINUTES", context),
            backend=self.parameterAsEnumString(parameters, "BACKEND", context),
            report=self.output_file(parameters, "REPORT", context),
            table=self.output_file(parameters, "TABLE", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.compare import job as comparison

        return comparison.run(request, progress)


def of_preset(name: str) -> tuple[str, ...]:
    """The methods of a preset: quick ones and the base model, all but the published systems, or all that are
    installed.
    """
    models = installed_models() if name == "all" else [model for model in installed_models() if model == BASE]
    return tuple(method for method in (*CLASSICAL, *UNSUPERVISED, *models) if method not in PRESETS[name])
