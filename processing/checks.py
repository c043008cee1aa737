"""Checks of parameter values that QGIS makes in words nobody understands, or not at all."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
    QgsProperty,
)

from ..hsfusion_plugin.errors import HSFusionError
from .strings import tr

TIFF = (".tif", ".tiff")


def first_problem(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> str | None:
    """One sentence about the first thing wrong with unknown names, choices, numbers, files or output paths; None if all
    is well.
    """
    definitions = algorithm.parameterDefinitions()
    known = {definition.name() for definition in definitions}
    for name in parameters:
        if name not in known:
            return _suggest(tr("There is no parameter {}").format(name), name, sorted(known))
    for definition in definitions:
        value = parameters.get(definition.name())
        if value is None or value == "" or isinstance(value, QgsProperty):
            continue
        problem = None
        if isinstance(definition, QgsProcessingParameterEnum):
            problem = _choice_problem(definition, value)
        elif isinstance(definition, QgsProcessingParameterNumber):
            problem = _number_problem(definition, value)
        elif isinstance(definition, QgsProcessingParameterFile):
            problem = _file_problem(definition, value)
        elif isinstance(definition, QgsProcessingParameterRasterLayer):
            problem = _raster_problem(definition.name(), value, context)
        if problem:
            return problem
    return _output_problem(algorithm, parameters)


def _is_path(value: Any, context: QgsProcessingContext) -> bool:
    return (
        isinstance(value, str) and bool(value) and QgsProcessingUtils.mapLayerFromString(value, context, False) is None
    )


def _suggest(sentence: str, value: str, options: list[str]) -> str:
    near = difflib.get_close_matches(value, options, 3, 0.5)
    if near:
        return tr("{}; did you mean {}?").format(sentence, tr(" or ").join(near))
    return tr("{}; choose one of {}.").format(sentence, ", ".join(options))


def _choice_problem(definition: QgsProcessingParameterEnum, value: Any) -> str | None:
    if definition.allowMultiple() and isinstance(value, (str, list, tuple)):
        names = value.split(",") if isinstance(value, str) else value
        wrong = [name for name in names if name not in definition.options()]
        if not wrong and names:
            return None
        value = wrong[0] if wrong else "empty"
    elif isinstance(value, str) and value in definition.options():
        return None
    return _suggest(tr("{} cannot be {}").format(definition.name(), value), str(value), definition.options())


def _number_problem(definition: QgsProcessingParameterNumber, value: Any) -> str | None:
    whole = definition.dataType() == QgsProcessingParameterNumber.Type.Integer
    low, high = definition.minimum(), definition.maximum()
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if low <= found <= high and (not whole or found == round(found)):
        return None
    kind = tr("a whole number") if whole else tr("a number")
    limits = ""
    if abs(low) < 1e9 and abs(high) < 1e9:
        limits = tr(" from {:g} to {:g}").format(low, high)
    elif abs(low) < 1e9:
        limits = tr(" of at least {:g}").format(low)
    return tr("{} must be {}{}, not {}.").format(definition.name(), kind, limits, value)


def _file_problem(definition: QgsProcessingParameterFile, value: Any) -> str | None:
    if definition.behavior() == QgsProcessingParameterFile.Behavior.Folder:
        if Path(str(value)).is_file():
            return tr("{} is {}, which is a file: name a folder.").format(definition.name(), value)
        return None
    if Path(str(value)).is_file():
        if definition.checkValueIsAcceptable(value):
            return None
        return tr("{} is {}, which is none of: {}.").format(definition.name(), value, definition.fileFilter())
    return tr("{} is {}, but there is no such file.").format(definition.name(), value)


def _raster_problem(name: str, value: Any, context: QgsProcessingContext) -> str | None:
    """QGIS says of every raster that it cannot open that it was not found."""
    if not _is_path(value, context):
        return None
    from ..hsfusion_plugin.jobs.products.inputs import names_product
    from ..hsfusion_plugin.rasters.reading.raster import Raster

    try:
        if not names_product(value):
            Raster.open(value, name)
    except HSFusionError as error:
        return str(error)
    return None


def _output_problem(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any]) -> str | None:
    """Outputs must be writable and must not fall on an input or on each other."""
    from ..hsfusion_plugin.rasters.writing.staging import check_outputs  # GDAL is not needed to list the algorithms

    inputs = [
        parameters[definition.name()]
        for definition in algorithm.parameterDefinitions()
        if not definition.isDestination() and isinstance(parameters.get(definition.name()), str)
    ]
    outputs: dict[str, Path] = {}
    for definition in algorithm.destinationParameterDefinitions():
        name, path = definition.name(), _destination(parameters.get(definition.name()))
        if path is None:
            continue
        endings = getattr(algorithm, "RASTER_ENDINGS", TIFF)
        if isinstance(definition, QgsProcessingParameterRasterDestination) and path.suffix.lower() not in endings:
            return tr("{} is {}, but only GeoTIFF is written: end its name in .tif.").format(name, path)
        if not isinstance(definition, QgsProcessingParameterFolderDestination):
            outputs[name] = path
    try:
        check_outputs(outputs, inputs)
    except HSFusionError as error:
        return str(error)
    return None


def _destination(value: Any) -> Path | None:
    """The file an output goes to; None if it is left out, temporary or known at run time only."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = value.sink
    if isinstance(value, QgsProperty):
        value = value.staticValue()
    if not isinstance(value, str) or not value or value == QgsProcessing.TEMPORARY_OUTPUT:
        return None
    return Path(value).resolve()
