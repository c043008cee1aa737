"""The layers that QGIS makes of results after a run: their names, and the style that lies beside each raster."""

from __future__ import annotations

import re
from typing import Any

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
)
from qgis.PyQt import sip


class SidecarStyle(QgsProcessingLayerPostProcessorInterface):
    """Applies `<stem>.qml`: Processing itself opens results without it, unlike everything else in QGIS."""

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        if isinstance(layer, QgsRasterLayer):
            layer.loadDefaultStyle()
            layer.triggerRepaint()


_KEPT: list[SidecarStyle] = []  # the context deletes them with itself, but nobody keeps Python from doing so before


def _style() -> SidecarStyle:
    _KEPT[:] = [style for style in _KEPT if not sip.isdeleted(style)]
    _KEPT.append(SidecarStyle())
    return _KEPT[-1]


def prepare_layers(context: QgsProcessingContext, results: dict[str, Any], names: dict[str, str]) -> None:
    """Give each result that is about to be loaded its style and, if `names` has one, its name.

    A layer that the user, a model or a script named keeps that name.
    """
    for output, path in results.items():
        if not isinstance(path, str) or not context.willLoadLayerOnCompletion(path):
            continue
        details = context.layerToLoadOnCompletionDetails(path)
        if details.postProcessor() is None:
            details.setPostProcessor(_style())
        if output in names and not getattr(details, "forceName", False):
            details.name = names[output]


def stem(source: str) -> str:
    """A short name for a raster: its file's, without folder and ending."""
    last = re.split(r"[\\/:]", source.split("?")[0])[-1].strip('"')
    return last.rsplit(".", 1)[0] or source
