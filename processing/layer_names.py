"""Names for the layers that QGIS loads after a run, so that five results in a project can be told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingContext


def name_layers(context: QgsProcessingContext, results: dict[str, Any], names: dict[str, str]) -> None:
    """Give each result that is about to be loaded its name; one that the user, a model or a script named keeps that."""
    for output, name in names.items():
        path = results.get(output)
        if path and context.willLoadLayerOnCompletion(path):
            details = context.layerToLoadOnCompletionDetails(path)
            if not getattr(details, "forceName", False):
                details.name = name


def stem(source: str) -> str:
    """A short name for a raster: its file's, without folder and ending."""
    return Path(source.rsplit(":", 1)[-1].strip('"').split("?")[0]).stem or source
