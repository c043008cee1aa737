"""The Processing provider `hsfusion`."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .assess import Assess
from .base import ICONS, tr
from .diagnostics import Diagnostics
from .estimatesensor import EstimateSensor
from .evaluate import Evaluate
from .fuse import Fuse
from .fuseclassical import FuseClassical
from .setupbackend import SetupBackend
from .simulate import Simulate

ALGORITHMS = (Fuse, FuseClassical, Simulate, Evaluate, Assess, EstimateSensor, SetupBackend, Diagnostics)


class HSFusionProvider(QgsProcessingProvider):
    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        return "hsfusion"

    def name(self) -> str:
        return "HSFusion"

    def longName(self) -> str:
        return tr("HSFusion: hyperspectral and multispectral image fusion")

    def icon(self) -> QIcon:
        return QIcon(str(ICONS / "hsfusion.svg"))

    def svgIconPath(self) -> str:
        return str(ICONS / "hsfusion.svg")

    def supportsNonFileBasedOutput(self) -> bool:
        return False

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif", "tiff"]

    def defaultRasterFileExtension(self, hasGeometry: bool = True) -> str:
        return "tif"
