"""The line of PRODUCT in the dialog: a text with a button for a file or archive and one for a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from processing.gui.wrappers import WidgetWrapper
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QToolButton, QWidget


def tr(text: str) -> str:
    """In the user's language."""
    return QCoreApplication.translate("HSFusion", text)


class ProductWidget(WidgetWrapper):
    """Named as a class in the parameter's metadata, from which Processing makes it for dialog, batch and modeler."""

    def createWidget(self) -> QWidget:
        self._line = QLineEdit()
        self._line.textChanged.connect(lambda: self.widgetValueHasChanged.emit(self))
        whole = QWidget()
        layout = QHBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        for text, choose in ((tr("File…"), self._choose_file), (tr("Folder…"), self._choose_folder)):
            button = QToolButton()
            button.setText(text)
            button.clicked.connect(choose)
            layout.addWidget(button)
        return whole

    def setValue(self, value: Any) -> None:
        self._line.setText("" if value is None else str(value))

    def value(self) -> str:
        return self._line.text().strip()

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(None, tr("Product"), self._place())
        if path:
            self._line.setText(path)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(None, tr("Folder of the product"), self._place())
        if path:
            self._line.setText(path)

    def _place(self) -> str:
        given = self.value()
        return str(Path(given).parent) if given else ""
