"""Settings > Options > HSFusion: the backend's settings, as Settings.read() finds them."""

from __future__ import annotations

import os

from qgis.gui import QgsAuthConfigSelect, QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..backend.local.interpreter import python_in
from ..backend.settings import KINDS, PLUGIN_FOLDER, REPLIES, SAVED, overridden, save, saved_values, token_of
from ..paths import RESOURCES
from .trials import Trial, try_endpoint, try_interpreter

ICON = RESOURCES / "icons" / "hsfusion.svg"


def tr(text: str) -> str:
    """`text` in the user's language."""
    return QCoreApplication.translate("HSFusion", text)


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page when the options dialog opens."""

    def __init__(self) -> None:
        super().__init__("HSFusion", QIcon(str(ICON)))

    def createWidget(self, parent: QWidget | None = None) -> QgsOptionsPageWidget:
        """The page, as QGIS asks for it."""
        return OptionsPage(parent)


class OptionsPage(QgsOptionsPageWidget):
    """One field per saved setting; a field whose environment variable is set cannot be changed, and says so."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.backend, self.device = QComboBox(), QComboBox()
        self.backend.addItem(tr("auto (remote where an endpoint is set, else local)"), "auto")
        self.backend.addItem(tr("local (a process of its own on this computer)"), "local")
        self.backend.addItem(tr("remote (the endpoint)"), "remote")
        self.python = QgsFileWidget()
        self.python.setDialogTitle(tr("Python of the backend"))
        self.python.lineEdit().setPlaceholderText(tr("None yet: set the backend up, or name a Python that has torch"))
        if python_in(PLUGIN_FOLDER / ".venv").is_file():
            self.python.lineEdit().setPlaceholderText(str(python_in(PLUGIN_FOLDER / ".venv")))
        self.device.setEditable(True)
        self.device.addItems(["auto", "cpu", "cuda:0", "cuda:1"])
        self.endpoint, self.authcfg = QLineEdit(), QgsAuthConfigSelect()
        self.endpoint.setPlaceholderText("https://gpu.example.org:8000")
        self.models = QPlainTextEdit()
        self.models.setPlaceholderText(tr("One folder or model file a line; the bundled model needs none"))
        self.models.setMaximumHeight(4 * self.fontMetrics().height())
        self.memory = QDoubleSpinBox()
        self.memory.setDecimals(1)
        self.memory.setRange(0.0, 100000.0)
        self.memory.setSuffix(" GB")
        self.memory.setSpecialValueText(tr("automatic (what is free)"))
        self.work = QLineEdit()
        self.work.setPlaceholderText(tr("Your cache folder; 'off' keeps nothing"))
        self.replies = QComboBox()
        self.replies.addItem(tr("full precision (FP32)"), "full")
        self.replies.addItem(tr("half the bytes (FP16), for slow networks"), "half")
        self.fields = {name: getattr(self, name) for name in SAVED}
        self.python_trial = Trial(tr("Test the interpreter"), lambda: (try_interpreter, self._effective("python")))
        self.setup = self.python_trial.add_button(tr("Set up the backend..."), self.open_setup)
        self.getmodel = self.python_trial.add_button(
            tr("Get a model..."), lambda: self._run_dialog("hsfusion:getmodel")
        )
        self.endpoint_trial = Trial(
            tr("Test the endpoint"),
            lambda: (try_endpoint, self._effective("endpoint"), token_of(self.authcfg.configId())),
        )
        layout = QVBoxLayout(self)
        general = self._box(layout, tr("Backend"))
        self._row(general, tr("Runs are sent to"), "backend")
        self._row(general, tr("Memory that a run may use"), "memory")
        self._row(general, tr("Folder for finished tiles of a run"), "work")
        local = self._box(layout, tr("Local backend"))
        self._row(local, tr("Python interpreter"), "python")
        self._row(local, tr("Device"), "device")
        self._row(local, tr("Model folders"), "models")
        local.addRow(self.python_trial)
        remote = self._box(layout, tr("Remote backend"))
        self._row(remote, tr("Endpoint"), "endpoint")
        self._row(remote, tr("Authentication"), "authcfg")
        self._row(remote, tr("Replies"), "replies")
        remote.addRow(self.endpoint_trial)
        layout.addStretch(1)
        self._fill()

    def apply(self) -> None:
        """Keep what was changed; called by QGIS when the dialog is accepted."""
        before = saved_values()
        values = {name: self._value(name) for name in self.fields if not overridden(name)}
        save(**{name: value for name, value in values.items() if value != before[name]})

    def open_setup(self) -> None:
        """The dialog of hsfusion:setupbackend; the interpreter that it finds is shown here afterwards."""
        before = saved_values()["python"]
        self._run_dialog("hsfusion:setupbackend")
        after = saved_values()["python"]
        if after != before and not overridden("python"):
            self.python.setFilePath(after)

    def _run_dialog(self, algorithm: str) -> None:
        from qgis import processing

        dialog = processing.createAlgorithmDialog(algorithm, {})
        if dialog is None:
            self.python_trial.show_text(tr("Enable the Processing plugin first."))
            return
        dialog.setParent(self.window(), dialog.windowFlags())
        dialog.exec()

    def _box(self, layout: QVBoxLayout, title: str) -> QFormLayout:
        box = QGroupBox(title)
        layout.addWidget(box)
        form = QFormLayout(box)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        return form

    def _row(self, form: QFormLayout, label: str, name: str) -> None:
        field, variable = self.fields[name], overridden(name)
        form.addRow(label, field)
        if variable is None:
            return
        field.setEnabled(False)
        shown = tr("a token") if name == "authcfg" else os.environ[variable]
        note = QLabel(tr("{} is set and wins: {}").format(variable, shown))
        note.setObjectName(f"wins_{name}")
        note.setWordWrap(True)
        note.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        form.addRow("", note)

    def _fill(self) -> None:
        kept = saved_values()
        self.backend.setCurrentIndex(KINDS.index(kept["backend"]) if kept["backend"] in KINDS else 0)
        self.python.setFilePath(kept["python"])
        self.device.setCurrentText(kept["device"] or "auto")
        self.endpoint.setText(kept["endpoint"])
        self.authcfg.setConfigId(kept["authcfg"])
        self.models.setPlainText("\n".join(part for part in kept["models"].split(os.pathsep) if part))
        try:
            self.memory.setValue(float(kept["memory"] or 0))
        except ValueError:  # a value that somebody wrote into the file
            self.memory.setValue(0.0)
        self.work.setText(kept["work"])
        self.replies.setCurrentIndex(REPLIES.index(kept["replies"]) if kept["replies"] in REPLIES else 0)

    def _value(self, name: str) -> str:
        """A field as it is saved; empty for the default."""
        if name == "backend":
            kind = self.backend.currentData()
            return "" if kind == "auto" else kind
        if name == "device":
            device = self.device.currentText().strip()
            return "" if device == "auto" else device
        if name == "models":
            lines = (line.strip() for line in self.models.toPlainText().splitlines())
            return os.pathsep.join(line for line in lines if line)
        if name == "memory":
            return f"{self.memory.value():g}" if self.memory.value() else ""
        if name == "replies":
            kind = self.replies.currentData()
            return "" if kind == "full" else kind
        read = {
            "python": self.python.filePath,
            "endpoint": self.endpoint.text,
            "authcfg": self.authcfg.configId,
            "work": self.work.text,
        }
        return read[name]().strip()

    def _effective(self, name: str) -> str:
        variable = overridden(name)
        return os.environ[variable] if variable else self._value(name)
