"""hsfusion:setupbackend: the interpreter in which the diffusion models run, made or checked."""

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
from .parameters import advanced, boolean, choice, text
from .strings import tr

BUILDS = ("auto", "cpu", "cuda")


class SetupBackend(Algorithm):
    GROUP = "tools"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            _folder("FOLDER", tr("Folder of the environment (empty = in your own data folder)")),
            choice("BUILD", tr("Build of torch"), BUILDS, BUILDS[0]),
            boolean("REPAIR", tr("Make the environment anew even if it works"), False),
            _program("INTERPRETER", tr("Use this Python instead, which has the packages already")),
            advanced(_program("BASE_PYTHON", tr("Python to make the environment with (empty = find one)"))),
            advanced(text("INDEX_URL", tr("Package index (closed networks)"))),
            advanced(_folder("WHEELS", tr("Folder of downloaded wheels (no network)"))),
        )
        self.addOutput(QgsProcessingOutputString("PYTHON", tr("The backend's interpreter")))
        self.addOutput(QgsProcessingOutputString("DEVICE", tr("Device that torch would use")))
        self.addOutput(QgsProcessingOutputFile("LOG", tr("Log of the installation")))

    def name(self) -> str:
        return "setupbackend"

    def displayName(self) -> str:
        return tr("Set up the backend")

    def shortDescription(self) -> str:
        return tr("Makes, repairs or checks the Python environment in which the diffusion models run.")

    def tags(self) -> list[str]:
        return [*super().tags(), *tr("backend,install,torch,PyTorch,CUDA,pip,venv,environment,repair").split(",")]

    def refusal(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        index = self.optional_text(parameters, "INDEX_URL", context)
        wheels = self.optional_text(parameters, "WHEELS", context)
        if index and wheels:
            return tr("INDEX_URL and WHEELS are both given: packages come from one of them, so leave the other out.")
        if wheels and not Path(wheels).expanduser().is_dir():
            return tr("WHEELS is {}, but there is no such folder.").format(wheels)
        if index and "://" not in index:
            return tr("INDEX_URL {} is not an address: give one such as https://host/simple.").format(index)
        return None

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.backend.environment.environment import SetupRequest
        from ..hsfusion_plugin.backend.environment.folder import default_folder

        def path(name: str) -> Path | None:
            value = self.optional_text(parameters, name, context)
            return Path(value).expanduser().absolute() if value else None

        return SetupRequest(
            folder=path("FOLDER") or default_folder(),
            interpreter=path("INTERPRETER"),
            base_python=path("BASE_PYTHON"),
            build=self.parameterAsEnumString(parameters, "BUILD", context),
            index_url=self.optional_text(parameters, "INDEX_URL", context) or "",
            wheels=path("WHEELS"),
            repair=self.parameterAsBool(parameters, "REPAIR", context),
        )

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.backend.environment import environment

        result = environment.run(request, progress)
        found = result.found
        return {"PYTHON": str(found.python), "DEVICE": found.device, "LOG": str(result.log) if result.log else None}


def _program(name: str, label: str) -> QgsProcessingParameterFile:
    kind = QgsProcessingParameterFile.Behavior.File
    return QgsProcessingParameterFile(name, label, kind, optional=True, fileFilter=tr("Programs (*)"))


def _folder(name: str, label: str) -> QgsProcessingParameterFile:
    return QgsProcessingParameterFile(name, label, QgsProcessingParameterFile.Behavior.Folder, optional=True)
