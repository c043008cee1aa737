"""Buttons that try something out in the background and say in one sentence what came of it."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

from qgis.PyQt.QtCore import QCoreApplication, Qt, QTimer
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ...models.wire.text import quoted
from ..errors import HSFusionError

Work = tuple[Any, ...]  # a function (cancelled, *arguments) -> text, and its further arguments
LONGEST_LIST = 2000  # characters of model names
_POLL_MS = 100


class Trial(QWidget):
    """A button, and below it what the last try said. `work` is asked on each click, on the main thread."""

    def __init__(self, label: str, work: Callable[[], Work], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._answers: list[str] = []
        self._stop = threading.Event()
        self.button, self.answer = QPushButton(label), QLabel()
        self.answer.setWordWrap(True)
        self.answer.setTextFormat(Qt.TextFormat.PlainText)  # it repeats what a server says
        self.answer.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(self.button)
        self._buttons.addStretch(1)
        layout.addLayout(self._buttons)
        layout.addWidget(self.answer)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._look)
        self.button.clicked.connect(self.start)
        self.destroyed.connect(self._stop.set)

    def add_button(self, label: str, clicked: Callable[[], None]) -> QPushButton:
        """A further button beside the first."""
        button = QPushButton(label)
        button.clicked.connect(lambda: clicked())
        self._buttons.insertWidget(self._buttons.count() - 1, button)
        return button

    def start(self) -> None:
        """Try it, on a thread of its own."""
        try:
            function, *arguments = self._work()
        except HSFusionError as error:
            self.show_text(str(error))
            return
        self.button.setEnabled(False)
        self.show_text(_tr("Trying..."))
        answers, stop = self._answers, self._stop

        def run() -> None:
            try:
                answers.append(function(stop.is_set, *arguments))
            except HSFusionError as error:
                answers.append(str(error))
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")

        threading.Thread(target=run, name="hsfusion-trial", daemon=True).start()
        self._timer.start()

    def show_text(self, text: str) -> None:
        """Say something below the button."""
        self.answer.setText(text)
        self.answer.setVisible(True)

    def _look(self) -> None:
        if self._answers:
            self._timer.stop()
            self.show_text(self._answers.pop())
            self.button.setEnabled(True)


def try_interpreter(cancelled: Callable[[], bool], python: str) -> str:
    """What the interpreter has (empty = the one that would be found); HSFusionError if it cannot run the backend."""
    from ..backend.client.errors import NoBackend
    from ..backend.environment.pythons import inspect
    from ..backend.local.interpreter import find_python
    from ..backend.settings import Settings

    try:
        found = inspect(find_python(Settings(python=python)), cancelled)
    except NoBackend as error:
        return _tr("It cannot be used: {}.").format(error.reason)
    return _tr("It works: {}, Python {}, torch {}, device {}.").format(
        found.python, found.version, found.versions.get("torch", "?"), found.device
    )


def try_endpoint(cancelled: Callable[[], bool], endpoint: str, token: str) -> str:
    """What the server at the endpoint says of itself; HSFusionError if it does not answer or refuses."""
    from ..backend.client.client import Client

    if not endpoint:
        return _tr("No endpoint is given.")
    began = time.monotonic()
    client = Client(endpoint, token, patience_s=5.0)
    server = client.server(cancelled)
    answered = time.monotonic() - began
    names = ", ".join(str(model["name"]) for model in client.models(cancelled)) or _tr("none")
    ours = server.get("hsfusion")
    device = quoted(ours.get("device", "?")) if isinstance(ours, dict) else "?"
    return _tr("It answers in {:.0f} ms: {} {}, device {}, models: {}.").format(
        1000 * answered, quoted(server.get("name")), quoted(server.get("version")), device, names[:LONGEST_LIST]
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("HSFusion", text)
