"""The Toolbox's context menu on a model that the plugin ships: open a copy in the graphical modeler.

QGIS's own Processing plugin, which brings the Toolbox, is imported when it is needed: it may be switched off.
"""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtCore import QCoreApplication


def open_copy_action() -> Any:
    """The entry, as QGIS's Toolbox wants it; ImportError where Processing is switched off."""
    from processing.gui.ContextAction import ContextAction

    class OpenCopy(ContextAction):
        def __init__(self) -> None:
            super().__init__()
            self.name = QCoreApplication.translate("HSFusion", "Open a copy in the graphical modeler...")

        def isEnabled(self) -> bool:
            return is_shipped_model(self.itemData)

        def execute(self) -> Any:
            return open_copy(self.itemData.sourceFilePath())

    return OpenCopy()


def is_shipped_model(item: Any) -> bool:
    """Whether what lies under the mouse is one of our models."""
    ours = isinstance(item, QgsProcessingModelAlgorithm) and item.provider() is not None
    return ours and item.provider().id() == "hsfusion"


def open_copy(path: str) -> Any:
    """The modeler with the model in it. It has no file yet, so saving asks for one and the shipped file stays
    as it is.
    """
    from processing.modeler.ModelerDialog import ModelerDialog

    model = QgsProcessingModelAlgorithm()
    model.fromFile(path)
    dialog = ModelerDialog.create(model)
    dialog.show()
    return dialog


def register() -> list[Any]:
    """Add the entry; returns what `unregister` takes, nothing where Processing is switched off."""
    try:
        from processing.gui.ProviderActions import ProviderContextMenuActions

        actions = [open_copy_action()]
    except ImportError:
        return []
    ProviderContextMenuActions.registerProviderContextMenuActions(actions)
    return actions


def unregister(actions: list[Any]) -> None:
    """Take the entry out again."""
    from processing.gui.ProviderActions import ProviderContextMenuActions

    ProviderContextMenuActions.deregisterProviderContextMenuActions(actions)
