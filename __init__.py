"""HSFusion: fusion of hyperspectral with multispectral rasters in QGIS."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """What QGIS calls to load the plugin; `iface` is None in qgis_process."""
    from .hsfusion_plugin.numpy_binding import bind_numpy

    bind_numpy()
    from .hsfusion_plugin.plugin import HSFusionPlugin

    return HSFusionPlugin(iface)
