"""Registration in QGIS; the one desktop entry point."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication

from ..hsfusion_plugin import translation


class HSFusionPlugin:
    """Adds the Processing provider, and on the desktop the options page and a menu."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.translator = translation.install()
        self.provider: Any = None
        self.options: Any = None
        self.menu: Any = None
        self.actions: list[Any] = []

    def initProcessing(self) -> None:
        """Register the provider; qgis_process calls this and never initGui."""
        from ..processing.provider import HSFusionProvider

        self.provider = HSFusionProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Called by the desktop."""
        self.initProcessing()
        from .gui.options import OptionsFactory

        self.options = OptionsFactory()
        self.iface.registerOptionsWidgetFactory(self.options)
        from .gui import modeler
        from .gui.menu import Menu

        self.menu = Menu(self.iface)
        self.actions = modeler.register()

    def unload(self) -> None:
        """Take everything back that was registered."""
        if self.actions:
            from .gui import modeler

            modeler.unregister(self.actions)
            self.actions = []
        if self.menu is not None:
            self.menu.remove()
            self.menu = None
        if self.options is not None:
            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        translation.remove(self.translator)
        self.translator = None
