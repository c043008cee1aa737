"""Models of the graphical modeler that come with the plugin, shown among its own algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from .strings import ICONS, RESOURCES, shown_help, tr

MODELS = RESOURCES / "modeler"


class ShippedModel(QgsProcessingModelAlgorithm):
    """resources/modeler/NAME.model3 as the algorithm `hsfusion:NAME`; the modeler would make its title its name."""

    GROUP = "fusion"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.fromFile(str(path))
        self.setSourceFilePath(str(path))

    def createInstance(self) -> ShippedModel:
        copy = type(self)(self._path)
        copy.setProvider(self.provider())
        return copy

    def name(self) -> str:
        return self._path.stem

    def displayName(self) -> str:
        return tr(super().name())

    def group(self) -> str:
        return tr("Fusion")

    def groupId(self) -> str:
        return self.GROUP

    def icon(self) -> QIcon:
        return QIcon(str(ICONS / "hsfusion.svg"))

    def svgIconPath(self) -> str:
        return str(ICONS / "hsfusion.svg")

    def shortDescription(self) -> str:
        return tr("Estimates the sensors of a pair, fuses it with what was found, and assesses the result.")

    def shortHelpString(self) -> str:
        return shown_help(self.name(), {d.name(): d.description().split(" (")[0] for d in self.parameterDefinitions()})

    def helpUrl(self) -> str:
        return QUrl.fromLocalFile(str(RESOURCES / "help" / f"{self.name()}.md")).toString()

    def tags(self) -> list[str]:
        words = tr("model,modeler,workflow,pansharpening,image fusion,super resolution,hyperspectral,EnMAP")
        return words.split(",")


def shipped_models() -> list[Any]:
    """All of them, new; their steps are found only once the provider is registered."""
    return [ShippedModel(path) for path in sorted(MODELS.glob("*.model3"))]
