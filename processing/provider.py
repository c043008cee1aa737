"""The Processing provider `hsfusion`."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .adapt import Adapt
from .assess import Assess
from .base import ICONS, tr
from .compare import Compare
from .diagnostics import Diagnostics
from .estimatesensor import EstimateSensor
from .evaluate import Evaluate
from .fuse import Fuse
from .fuseclassical import FuseClassical
from .fusefolder import FuseFolder
from .getmodel import GetModel
from .openproduct import OpenProduct
from .propagate import Propagate
from .register import Register
from .setupbackend import SetupBackend
from .shipped_models import shipped_models
from .simulate import Simulate

ALGORITHMS = (
    Fuse,
    FuseClassical,
    FuseFolder,
    Adapt,
    Simulate,
    Evaluate,
    Assess,
    Compare,
    Propagate,
    EstimateSensor,
    Register,
    OpenProduct,
    SetupBackend,
    GetModel,
    Diagnostics,
)


class HSFusionProvider(QgsProcessingProvider):
    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        registry = QgsApplication.processingRegistry()
        if registry.providerById(self.id()) is not None:
            self._add_models(self.id())
        else:  # a model looks for its steps in the registry, where this provider is about to appear
            registry.providerAdded.connect(self._add_models)

    def _add_models(self, provider_id: str) -> None:
        if provider_id == self.id():
            for model in shipped_models():
                if self.algorithm(model.name()) is None:
                    self.addAlgorithm(model)

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
