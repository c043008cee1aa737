"""Any Processing algorithm or modeler model that makes a raster of a raster, run on every member."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qgis.core import (
    QgsApplication,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from ...errors import HSFusionError
from ...rasters.reading.metadata import BandInfo
from ...rasters.writing.writer import RasterWriter
from ..run.progress import Progress
from .request import PropagateRequest
from .source import FolderMembers, Members


@contextmanager
def results_of(request: PropagateRequest, members: Members, progress: Progress) -> Iterator[FolderMembers]:
    """The rasters that the request's algorithm makes of the members, kept in a temporary folder for as long as they are
    used.
    """
    algorithm, source, target, parameters = checked_algorithm(request.algorithm_id, request.algorithm_parameters)
    with tempfile.TemporaryDirectory(prefix="hsfusion-members-") as folder:
        files = _files(members, Path(folder), progress.part(0.0, 0.5))
        results = []
        for number, file in enumerate(files):
            progress.check()
            wanted = Path(folder) / f"result_{number + 1:04d}.tif"
            results.append(_run(algorithm, {**parameters, source: str(file), target: str(wanted)}, target))
            progress.part(0.5, 1.0).step((number + 1) / len(files))
        made = FolderMembers.of_files(results, members.about)
        yield made
        for raster in made.rasters:
            raster.close()


def checked_algorithm(name: str, text: str) -> tuple[QgsProcessingAlgorithm, str, str, dict[str, Any]]:
    """The algorithm, the names of its raster input and output, and its other parameters; HSFusionError where it does
    not fit.
    """
    algorithm = QgsApplication.processingRegistry().algorithmById(name)
    if algorithm is None:
        raise HSFusionError(
            f"ALGORITHM: there is no Processing algorithm {name}: give its id, such as native:rastercalc."
        )
    try:
        parameters = json.loads(text) if text.strip() else {}
        if not isinstance(parameters, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise HSFusionError(
            f'ALGORITHM_PARAMETERS is no JSON object such as {{"BAND": 1}} ({error}): correct it.'
        ) from error
    definitions = algorithm.parameterDefinitions()
    names = {definition.name() for definition in definitions}
    unknown = [key for key in parameters if key not in names]
    if unknown:
        raise HSFusionError(
            f"ALGORITHM_PARAMETERS: {name} has no parameter {unknown[0]}: it has {', '.join(sorted(names))}."
        )
    inputs = [
        d.name() for d in definitions if isinstance(d, QgsProcessingParameterRasterLayer) and d.name() not in parameters
    ]
    outputs = [d.name() for d in definitions if isinstance(d, QgsProcessingParameterRasterDestination)]
    if not inputs or not outputs:
        raise HSFusionError(
            f"ALGORITHM: {name} takes no raster or makes none: choose one that makes a raster of a raster."
        )
    return algorithm, inputs[0], outputs[0], parameters


def _run(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], target: str) -> Path:
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    copy = algorithm.create()
    fits, reason = copy.checkParameterValues(parameters, context)
    if not fits:
        raise HSFusionError(f"ALGORITHM: {algorithm.id()} does not take these parameters: {reason}")
    try:
        results, done = copy.run(parameters, context, feedback)
    except QgsProcessingException as error:
        raise HSFusionError(f"ALGORITHM: {algorithm.id()} failed: {error}") from error
    path = Path(str(results.get(target, parameters[target])))
    if not done or not path.is_file():
        said = feedback.textLog().strip().splitlines()[-1:] if hasattr(feedback, "textLog") else []
        raise HSFusionError(f"ALGORITHM: {algorithm.id()} made no raster ({''.join(said) or 'it gave no reason'}).")
    return path


def _files(members: Members, folder: Path, progress: Progress) -> list[Path]:
    """The members as rasters: those of a folder as they are, others written for the while."""
    if isinstance(members, FolderMembers):
        return [Path(raster.path) for raster in members.rasters]
    wavelengths = members.wavelengths
    infos = [
        BandInfo(None if wavelengths is None else float(wavelengths[n]), description=name)
        for n, name in enumerate(members.names)
    ]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                RasterWriter(folder / f"member_{number + 1:04d}.tif", members.grid, infos, role="ALGORITHM")
            )
            for number in range(members.count)
        ]
        for part in members.parts(progress):
            for number, writer in enumerate(writers):
                writer.write(part.row, part.col, np.asarray(part.member(number)))
    return [writer.path for writer in writers]
