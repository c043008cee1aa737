"""Raster > HSFusion: the dialogs of the Toolbox, with what the project holds filled in."""

from __future__ import annotations

from typing import Any, Callable

from qgis.core import Qgis, QgsProject
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from ..errors import HSFusionError
from ..paths import RESOURCES
from .preview import extent_text, likely_pair, preview_extent

TITLE = "HSFusion"


def tr(text: str) -> str:
    """`text` in the user's language."""
    return QCoreApplication.translate("HSFusion", text)


class Menu:
    """The entries; `remove` takes them out again."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._menu = iface.rasterMenu().addMenu(QIcon(str(RESOURCES / "icons" / "hsfusion.svg")), TITLE)
        self._menu.setToolTipsVisible(True)
        self._add(tr("Fuse rasters..."), self.fuse, tr("The two most likely layers of the project are filled in."))
        self._add(
            tr("Preview on the map canvas..."),
            self.preview,
            tr("Fuses only the middle of what the map canvas shows; the pixels are those of the whole run."),
        )
        self._add(tr("Options..."), self.options, tr("Backend, device, model folders."))

    def remove(self) -> None:
        """Take the entries out of the menu."""
        self._iface.rasterMenu().removeAction(self._menu.menuAction())
        self._menu.deleteLater()

    def fuse(self) -> None:
        """The dialog of `fuse`, or of `fuseclassical` where there is no backend."""
        pair = likely_pair(QgsProject.instance().mapLayers().values())
        self._show({} if pair is None else {"HSI": pair[0].id(), "MSI": pair[1].id()})

    def preview(self) -> None:
        """The same on the part that the canvas shows."""
        pair, canvas = likely_pair(QgsProject.instance().mapLayers().values()), self._iface.mapCanvas()
        if pair is None:
            self._say(tr("Load a hyperspectral raster and a finer multispectral one that overlaps it first."))
            return
        hsi, msi = pair
        try:
            extent = preview_extent(canvas.extent(), canvas.mapSettings().destinationCrs(), hsi, msi)
        except HSFusionError as error:
            self._say(str(error))
            return
        self._show({"HSI": hsi.id(), "MSI": msi.id(), "EXTENT": extent_text(extent, msi.crs())})

    def options(self) -> None:
        """QGIS's options, on our page."""
        self._iface.showOptionsDialog(self._iface.mainWindow(), TITLE)

    def _add(self, label: str, run: Callable[[], None], tip: str) -> None:
        action = self._menu.addAction(label)
        action.setToolTip(tip)
        action.triggered.connect(lambda *_: run())

    def _show(self, parameters: dict[str, Any]) -> None:
        from qgis import processing

        if not backend_there():
            parameters["METHOD"] = "average"
        name = "hsfusion:fuseclassical" if "METHOD" in parameters else "hsfusion:fuse"
        dialog = processing.createAlgorithmDialog(name, parameters)
        if dialog is None:
            self._say(tr("Enable the Processing plugin first."))
            return
        dialog.show()

    def _say(self, text: str) -> None:
        self._iface.messageBar().pushMessage(TITLE, text, Qgis.MessageLevel.Warning)


def backend_there() -> bool:
    """Whether an endpoint is set or an interpreter is found, without starting it."""
    from ..backend.client.errors import NoBackend
    from ..backend.local.interpreter import find_python
    from ..backend.local.session import backend_kind
    from ..backend.settings import Settings

    try:
        settings = Settings.read()
        return backend_kind(settings) == "remote" or bool(find_python(settings))
    except (NoBackend, HSFusionError):
        return False
