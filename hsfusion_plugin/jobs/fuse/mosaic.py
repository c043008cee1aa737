"""A fusion in windows that any number of processes work on: each is kept as a file, and one process joins them. No QGIS
needed, GDAL only.

The windows are the tiles of `fuse` and `fuseclassical`, pure functions of their surroundings and of the scene model,
which is fitted once.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ....models.cards import ModelInfo, beats_closed_forms
from ....models.scene.methods.classical import fit_full_band
from ....models.scene.methods.names import TILED
from ....models.scene.model import SceneModel
from ....models.scene.reduced.guard import decide
from ....models.scene.sensors.light.correction import Light
from ....models.scene.tiles.plan import Tile, plan_tiles
from ....models.scene.window import Window
from ....models.version import VERSION
from ...errors import HSFusionError
from ...rasters.writing.provenance import write_provenance
from ...rasters.writing.staging import check_outputs
from ...rasters.writing.writer import RasterWriter, Stored, stored_scale
from ..methods.classical import Classical
from ..methods.closed_form import CLOSED_FORMS, ClosedForm
from ..methods.kept_tiles import TileStore, is_ours, run_name
from ..methods.method import Method
from ..pair.estimates import Estimates, estimate
from ..pair.pair import Pair
from ..request import FusionRequest
from ..run.progress import Progress
from .consistency import Consistency
from .tiles import fused_tiles

WINDOW = 512  # fine pixels, two blocks of the output
METHODS = (*CLOSED_FORMS, *TILED)


@dataclass(frozen=True)
class Mosaic:
    """What every process needs: the request, the scene model and the method, None for the model `request.model`, which
    each loads itself.

    largest: of the values that may come out; light: as every process reads the pair; about: what provenance says of
    estimates and guard; sha256: the model's.
    """

    request: FusionRequest
    scene: SceneModel
    method: Method | None
    largest: float
    light: Light | None
    about: dict[str, Any]
    sha256: str = ""

    @property
    def name(self) -> str:
        """What made the pixels."""
        return self.request.model if self.method is None else self.method.name

    def tiles(self, pair: Pair, method: Method) -> list[Tile]:
        """The windows, in the order of their numbers."""
        output = Window(pair.alignment.output_rows, pair.alignment.output_cols)
        size = self.request.tile_size or WINDOW
        return plan_tiles(output, self.scene.coefficients, size, method.halo, method.multiple)


def prepare(
    request: FusionRequest,
    pair: Pair,
    progress: Progress,
    model: Method | None = None,
    file: ModelInfo | None = None,
) -> Mosaic:
    """Fit the scene as the algorithms do, and choose the method: `request.method` of METHODS, or `model`, which the
    guard may replace.

    file: the model's, whose card tells the guard of its record.
    """
    if model is None and request.method not in METHODS:
        raise HSFusionError(
            f"METHOD is {request.method}, which does not work in windows: choose {', '.join(METHODS)}, or give MODEL."
        )
    for role in ("uncertainty", "quality", "report"):
        if getattr(request, role):
            raise HSFusionError(f"{role.upper()} is not made of a mosaic: leave it out.")
    check_outputs({"OUTPUT": request.output}, [request.hsi, request.msi, request.mask, request.srf_file])
    components = model.components if model is not None else ClosedForm("average").components
    estimates = estimate(pair, request, progress, components)
    largest, light = 1.1 * estimates.largest, estimates.pair.light
    about: dict[str, Any] = {"psf_source": estimates.psf_source, "shift_source": estimates.shift_source}
    if model is None:
        return Mosaic(request, estimates.scene, _method(request.method or "", estimates), largest, light, about)
    if request.guard:
        known = estimates.scene, estimates.blocks
        verdict = decide(*known, model, pair.wavelengths, progress, beats_closed_forms(file.card if file else {}))
        progress.info(verdict.sentence(model.name))
        about["guard"] = {"shipped": verdict.shipped, "gain_db": verdict.gain, "rmse": verdict.scores}
        if verdict.shipped != model.name:
            return Mosaic(request, estimates.scene, ClosedForm(verdict.shipped, filters=True), largest, light, about)
    return Mosaic(request, estimates.scene, None, largest, light, about, file.sha256 if file else "")


def _method(name: str, estimates: Estimates) -> Method:
    if name in CLOSED_FORMS:
        return ClosedForm(name)

    def whole() -> Any:  # asked for by the methods that METHODS leaves out
        raise HSFusionError(f"{name} needs the whole scene at once.")

    found = fit_full_band(name, estimates.blocks, estimates.scene, whole)
    return Classical(name, found, found.halo)


class Windows:
    """The finished windows of one run, kept beside the output as a run of `fuse` keeps its tiles; another run's are not
    used.

    sha256: of the model that makes them, "" for a closed form.
    """

    def __init__(self, request: FusionRequest, sha256: str = "") -> None:
        output = Path(request.output).absolute()
        self.folder = output.with_name(f".{output.name}.windows")
        self._store = TileStore(self.folder / run_name(request, sha256), _not_kept)

    def open(self, progress: Progress) -> None:
        """Remove windows of runs with other inputs, parameters, model or version."""
        for other in self.folder.glob("*"):
            if other != self._store.folder and is_ours(other):
                progress.warn("Windows of a run with other inputs, parameters or another model are removed.")
                shutil.rmtree(other, ignore_errors=True)

    def path(self, number: int) -> Path:
        """The file of a window."""
        return self._store.path(str(number))

    def finished(self, count: int) -> list[int]:
        """Numbers of the windows that are there."""
        return [number for number in range(count) if self.path(number).is_file()]

    def keep(self, number: int, values: np.ndarray, sums: np.ndarray) -> None:
        """Write a window, whole or not at all; HSFusionError where that cannot be."""
        self._store.keep(str(number), {"values": values, "sums": sums})

    def load(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Values (L, rows, cols) and the sums of its consistency; HSFusionError where the file is damaged."""
        found = self._store.find(str(number), None)
        if found is None or set(found) != {"values", "sums"}:
            raise HSFusionError(
                f"The window {self.path(number)} was damaged and is removed: run again, finished windows are kept."
            )
        return found["values"], found["sums"]

    def remove(self) -> None:
        """Forget the windows."""
        self._store.remove()
        with contextlib.suppress(OSError):  # there is something else in it
            self.folder.rmdir()


def _not_kept(sentence: str) -> None:
    """A window that cannot be kept is lost: what joins them would wait for it."""
    raise HSFusionError(sentence)


class Worker:
    """Fuses windows of a mosaic into files; `make_model` gives the method where the mosaic names a model."""

    def __init__(self, mosaic: Mosaic, make_model: Callable[[Mosaic], Method]) -> None:
        self.mosaic = mosaic
        self.method = mosaic.method or make_model(mosaic)
        self.pair = replace(Pair.open(mosaic.request, Progress()), light=mosaic.light)
        self.tiles = mosaic.tiles(self.pair, self.method)
        self.windows = Windows(mosaic.request, mosaic.sha256)

    def fuse(self, number: int) -> None:
        """Make one window."""
        consistency = Consistency(self.mosaic.scene)
        (tile,) = fused_tiles(self.pair, self.mosaic.scene, self.method, [self.tiles[number]], Progress())
        consistency.add(tile)
        self.windows.keep(number, tile.values, consistency.sums)


def join(mosaic: Mosaic, pair: Pair, tiles: list[Tile], numbers: Iterable[int], record: dict[str, Any]) -> Consistency:
    """Write the output from windows, in the order in which `numbers` gives them; it appears when all are in it."""
    request, alignment, windows = mosaic.request, pair.alignment, Windows(mosaic.request, mosaic.sha256)
    rows, cols = alignment.output_rows, alignment.output_cols
    bands = [replace(info, bad=number not in pair.hsi_bands) for number, info in enumerate(pair.hsi.bands)]
    consistency = Consistency(mosaic.scene)
    with RasterWriter(
        request.output,
        alignment.output_grid,
        bands,
        Stored(request.data_type, stored_scale(mosaic.largest), options=request.options),
        finish=lambda path: write_provenance(path, record),
    ) as writer:
        for number in numbers:
            values, sums = windows.load(number)
            whole = np.full((pair.hsi.count, *values.shape[1:]), np.nan, np.float32)
            whole[pair.hsi_bands] = values
            tile = tiles[number]
            writer.write(tile.core.rows.start - rows.start, tile.core.cols.start - cols.start, whole)
            consistency.take(sums)
        record["consistency_db"] = {"hsi": consistency.hsi_db, "msi": consistency.msi_db}
    return consistency


def record_of(mosaic: Mosaic, pair: Pair) -> dict[str, Any]:
    """How the result comes to be, for its provenance."""
    sampling = mosaic.scene.coefficients.sampling
    return {
        "version": VERSION,
        "method": mosaic.name,
        "parameters": mosaic.request.parameters(),
        "ratio": sampling.ratio,
        "psf": {"fwhm_y": sampling.fwhm_y, "fwhm_x": sampling.fwhm_x, "unit": "HSI pixels"},
        "phase_and_shift": {"y": sampling.shift_y, "x": sampling.shift_x, "unit": "MSI pixels"},
        "hsi_bands": [band + 1 for band in pair.hsi_bands],
        **mosaic.about,
    }
