"""Registration in QGIS; the one desktop entry point."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication


class HSFusionPlugin:
    """Adds the Processing provider; with a desktop it is the same provider."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.provider: Any = None

    def initProcessing(self) -> None:
        """Register the provider; qgis_process calls this and never initGui."""
        from ..processing.provider import HSFusionProvider

        self.provider = HSFusionProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Called by the desktop."""
        self.initProcessing()

    def unload(self) -> None:
        """Take everything back that was registered."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
