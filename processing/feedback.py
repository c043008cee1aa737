"""QGIS's feedback as the progress of a job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qgis.core import QgsApplication, QgsProcessingFeedback

from ..hsfusion_plugin.jobs.run.progress import Progress


class FeedbackProgress(Progress):
    """Passes everything on to a QgsProcessingFeedback."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        super().__init__()
        self._feedback = feedback

    def info(self, text: str) -> None:
        self._feedback.pushInfo(text)

    def warn(self, text: str) -> None:
        self._feedback.pushWarning(text)

    def debug(self, text: str) -> None:
        self._feedback.pushDebugInfo(text)

    def cancelled(self) -> bool:
        return self._feedback.isCanceled()

    def _show(self, fraction: float, text: str | None) -> None:
        if text is not None:
            self._feedback.setProgressText(text)
        self._feedback.setProgress(100.0 * fraction)


@contextmanager
def interruptible(feedback: QgsProcessingFeedback) -> Iterator[None]:
    """Ctrl+C and termination cancel the run in qgis_process.

    With --json QGIS itself swallows the first, and the second would leave the unfinished files behind.
    """
    if QgsApplication.platform() != "qgis_process" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(number: int, frame: Any) -> None:
        feedback.cancel()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the last where a terminal can be closed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), cancel)
    yield  # the process ends with the run, so what was there before need not come back
