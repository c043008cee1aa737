"""QGIS's feedback as the progress of a job."""

from __future__ import annotations

from qgis.core import QgsProcessingFeedback

from ..hsfusion_plugin.jobs.progress import Progress


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
