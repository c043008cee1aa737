"""hsfusion:getmodel: a further model, from a manifest's pinned address or from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputFile,
    QgsProcessingOutputString,
    QgsProcessingParameterFile,
)

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .parameters import advanced, file, text
from .strings import tr


class GetModel(Algorithm):
    GROUP = "tools"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            text("MODEL", tr("Model of the manifest (empty = only list them)")),
            file("MANIFEST", tr("Manifest (empty = the plugin's own)"), tr("Manifests (*.yaml *.yml)")),
            _folder("SOURCE", tr("Folder that holds the file already (empty = download it)")),
            advanced(_folder("FOLDER", tr("Where to put it (empty = in your own data folder)"))),
        )
        self.addOutput(QgsProcessingOutputFile("MODEL_FILE", tr("Model file")))
        self.addOutput(QgsProcessingOutputString("LIST", tr("Models of the manifest")))

    def name(self) -> str:
        return "getmodel"

    def displayName(self) -> str:
        return tr("Get a model")

    def shortDescription(self) -> str:
        return tr("Downloads a further diffusion model, or takes it from a folder, and checks it against its hash.")

    def tags(self) -> list[str]:
        return [*super().tags(), *tr("model,weights,download,manifest,sha256,diffusion").split(",")]

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.get_model import GetModelRequest

        def path(name: str) -> Path | None:
            value = self.optional_text(parameters, name, context)
            return Path(value).expanduser().absolute() if value else None

        return GetModelRequest(
            model=self.optional_text(parameters, "MODEL", context) or "",
            manifest=path("MANIFEST"),
            source=path("SOURCE"),
            folder=path("FOLDER"),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs import get_model

        return get_model.run(request, progress)


def _folder(name: str, label: str) -> QgsProcessingParameterFile:
    return QgsProcessingParameterFile(name, label, QgsProcessingParameterFile.Behavior.Folder, optional=True)
