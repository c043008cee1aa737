"""hsfusion:compare: which method is best on the user's own pair, by Wald's protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....models.metrics.pooled import Compared, PooledScores, pooled_scores
from ....models.scene.methods.names import UNSUPERVISED
from ....models.scene.reduced.ranking import TOGETHER, others, ranked
from ....models.scene.reduced.scene import ReducedScene
from ....models.scene.reduced.wald import LEAST_SIZE, MARGIN_DB, excess_rmse
from ...errors import Cancelled, HSFusionError
from ...rasters.writing.colour import colour_bands
from ...rasters.writing.staging import check_outputs
from ...reports import pick_pixels
from ..evaluate.table import check_table_name
from ..methods.classical import FULL_BAND
from ..methods.closed_form import CLOSED_FORMS, ClosedForm
from ..pair.blocks import read_blocks
from ..pair.estimates import Estimates, estimate, nominal_response
from ..pair.pair import Pair
from ..request import MINUTES, ModelRequest
from ..run.memory import available_memory
from ..run.peak import PeakMemory
from ..run.progress import Progress
from .models import Models, open_models
from .report import write_report, write_table

CALIBRATION = "interpolation"  # always compared, never recommended
TABLES = (".csv", ".json", ".tex")
BLOCK, BLOCKS_PER_AXIS = 128, 2  # HSI pixels and blocks of a scene that is too large to be compared as a whole


@dataclass(frozen=True)
class ComparisonRequest(ModelRequest):
    """The parameters of `hsfusion:compare`: a pair, and the names of the methods to rank on it."""

    methods: tuple[str, ...] = ()
    criterion: str = TOGETHER
    minutes: float = MINUTES
    report: str | None = None
    table: str | None = None

    def left_out(self) -> tuple[str, ...]:
        return ("extent", "model", "model_file", "consistency", "steps", "samples", "interpolate_bands", "uncertainty")


@dataclass(frozen=True)
class Row:
    """One method: its scores, or the reason why there are none.

    excess: RMSE beyond the HSI's own noise, in its units; seconds: for the compared pixels; memory: bytes of this
    process at the peak, beyond what it held before; images: the fused picture's
    bands of the first stage; error (H, W): RMSE over bands there; spectra (N, L): at the chosen pixels.
    """

    method: str
    scores: PooledScores | None = None
    excess: float = float("nan")
    seconds: float = float("nan")
    memory: float = float("nan")
    reason: str = ""
    image: np.ndarray | None = None
    error: np.ndarray | None = None
    spectra: np.ndarray | None = None


@dataclass(frozen=True)
class Comparison:
    """rows: ranked, those without scores last; best: a name that fuse takes as MODEL; criterion: of CRITERIA;
    ceiling_db: PSNR at which the error is the HSI's own noise.

    share: of the HSI's pixels in the overlap that were compared; growth: how many times more pixels the whole fused
    scene has; peak: of PSNR; layers: bands of the pictures; models: sha256 and backend by name; pixels: (row, column)
    of the spectra in the first stage.
    """

    rows: list[Row]
    best: str
    criterion: str
    ceiling_db: float
    peak: float
    share: float
    growth: float
    pixels_compared: int
    blocks: int
    truth: np.ndarray
    truth_mask: np.ndarray
    truth_spectra: np.ndarray
    layers: list[int]
    pixels: list[tuple[int, int]]
    models: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """What was found, for log and report."""
        worked = [row for row in self.rows if row.scores is not None and row.method != CALIBRATION]
        first = worked[0].scores
        text = f"{self.best} is best at reduced resolution ({first.PSNR:.2f} dB, SAM {first.SAM:.2f} degrees)"
        if len(worked) > 1:
            ahead = first.PSNR - worked[1].scores.PSNR
            text += f", {abs(ahead):.2f} dB {'before' if ahead >= 0 else 'behind'} {worked[1].method}, the second"
            if abs(ahead) <= MARGIN_DB:
                text += f", which is too little to tell the two apart (up to {MARGIN_DB:g} dB)"
        disagree = [f"by {name.upper()} {method}" for name, method in others(worked, self.best).items()]
        return f"{text}. {'The criteria disagree: best is ' + ', '.join(disagree) + '.' if disagree else ''}".rstrip()


def run(request: ComparisonRequest, progress: Progress) -> dict[str, Any]:
    """Compare, and write what is asked for; returns the outputs by name. Raises HSFusionError, Cancelled."""
    inputs = [request.hsi, request.msi, request.mask, request.srf_file]
    check_outputs({"REPORT": request.report, "TABLE": request.table}, inputs)
    if request.table:
        check_table_name(request.table, TABLES)
    pair = Pair.open(request, progress)
    estimates = estimate(pair, request, progress.part(0.0, 0.25))
    pair = estimates.pair
    found = compare(pair, estimates, request, progress.part(0.25, 0.97))
    progress.info(found.sentence())
    progress.phase("Writing")
    if request.table:
        write_table(request.table, found, pair, request.parameters())
    if request.report:
        write_report(request.report, request.parameters(), found, pair, estimates)
    progress.step(1.0)
    files = {"REPORT": request.report, "TABLE": request.table}
    return {"BEST": found.best, **{name: path for name, path in files.items() if path}}


def compare(pair: Pair, estimates: Estimates, request: ComparisonRequest, progress: Progress) -> Comparison:
    """Every method of the request, and interpolation, on the scene one scale down; a method that fails is a row with
    its reason.
    """
    progress.phase("Reducing the scene")
    blocks = estimates.blocks
    if len(blocks) > 1:
        blocks = read_blocks(pair, estimates.sampling, progress, BLOCK, BLOCKS_PER_AXIS)
    reduced = ReducedScene.of(estimates.scene, blocks, pair.wavelengths, nominal_response(pair, request), progress)
    if reduced is None:
        raise HSFusionError(
            f"The scene is too small to compare methods at reduced resolution, which takes {LEAST_SIZE} x {LEAST_SIZE} "
            "HSI pixels in one piece "
            "and more where the ratio is large: fuse with MODEL auto, or with MODEL average where no backend runs."
        )
    stage = _Compared(pair, estimates, reduced, progress)
    names = list(dict.fromkeys(request.methods))
    models = [name for name in names if name not in (*CLOSED_FORMS, *FULL_BAND, CALIBRATION)]
    rows = []
    with open_models(models, request, pair, progress) as opened:
        for number, name in enumerate([CALIBRATION, *(name for name in names if name != CALIBRATION)]):
            progress.phase(f"Comparing: {name}")
            part = progress.part(number / (len(names) + 1), (number + 1) / (len(names) + 1))
            fuse = _method(name, reduced, opened, part)
            rows.append(stage.row(name, fuse))
            part.step(1.0)
            if rows[-1].reason:
                progress.warn(f"{name} could not be compared: {rows[-1].reason}")
            else:
                progress.info(f"{name}: {rows[-1].scores.PSNR:.2f} dB, {rows[-1].seconds:.1f} s.")
        return stage.comparison(ranked(rows, request.criterion), request.criterion, opened.about)


Fuse = Callable[[], list[np.ndarray]]


def _method(name: str, reduced: ReducedScene, models: Models, progress: Progress) -> Fuse:
    """What gives the fused spectra of each stage."""

    def each(fused: Callable[[Any], np.ndarray], of: ReducedScene) -> list[np.ndarray]:
        found = []
        for number, block in enumerate(of.blocks):
            found.append(fused(block))
            progress.advance((number + 1) / len(of.blocks))
        return found

    if name == CALIBRATION:
        return lambda: each(lambda block: block.interpolated(), reduced)
    if name in FULL_BAND:
        return lambda: reduced.full_band(name, progress)
    if name in CLOSED_FORMS:
        return lambda: each(lambda block: block.fused(ClosedForm(name)), reduced)

    def model() -> list[np.ndarray]:
        if name in UNSUPERVISED:  # at full resolution it would be trained on the very pixels that judge it
            seen = [block.block for block in reduced.blocks]
            fitted = models.method(name).fitted(seen, reduced.scene)
            return each(lambda block: block.fused(fitted), reduced)
        method = models.method(name).fitted(reduced.full_blocks, reduced.full)
        return each(lambda block: block.fused(method), reduced.with_components(method.components, progress))

    return model


class _Compared:
    """What every method is compared with, and the rows that come of it."""

    def __init__(self, pair: Pair, estimates: Estimates, reduced: ReducedScene, progress: Progress) -> None:
        self._pair, self._estimates, self._stages, self._progress = pair, estimates, reduced.blocks, progress
        self.layers = [pair.hsi_bands.index(b) for b in colour_bands(pair.hsi, pair.hsi_bands)]
        self.peak = max(float(stage.truth[:, stage.mask].max()) for stage in self._stages)
        self.shown = max(self._stages, key=lambda stage: stage.mask.sum())
        brightness = np.where(self.shown.mask, self.shown.truth.mean(axis=0), np.nan)
        self.pixels = pick_pixels(brightness, (0.1, 0.5, 0.9))
        self._noise = estimates.scene.subspace.band_noise

    def row(self, name: str, fuse: Fuse) -> Row:
        """A method's scores, or why it has none."""
        began = time.monotonic()
        try:
            with PeakMemory() as peak:
                fused = fuse()
            seconds = time.monotonic() - began
        except Cancelled:
            raise
        except HSFusionError as error:
            return Row(name, reason=str(error))
        except MemoryError:
            free = f"{available_memory() / 1e9:.1f} GB are free"
            return Row(name, reason=f"The computer ran out of memory ({free}): close other programs.")
        except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
            self._progress.debug(f"{name}: {type(error).__name__}: {error}")
            return Row(name, reason=f"It does not work on this pair ({type(error).__name__}: {error}).")
        return self._scored(name, fused, seconds, peak.bytes)

    def _scored(self, name: str, fused: list[np.ndarray], seconds: float, memory: float) -> Row:
        compared = [Compared(stage.truth, cube, stage.mask) for stage, cube in zip(self._stages, fused)]
        if not all(np.isfinite(block.fused[:, block.mask]).all() for block in compared):
            return Row(name, reason="It gave values that are not numbers on this pair.")
        scores = pooled_scores(compared, self._estimates.sampling.ratio, self.peak)
        cube = fused[self._stages.index(self.shown)]
        square = np.square(cube - self.shown.truth, dtype=np.float64).mean(axis=0)
        return Row(
            name,
            scores,
            excess_rmse(scores.rmse_bands**2, self._noise),
            seconds,
            memory,
            image=np.where(self.shown.mask, cube[self.layers], np.nan).astype(np.float32),
            error=np.where(self.shown.mask, np.sqrt(square), np.nan),
            spectra=np.stack([cube[:, row, col] for row, col in self.pixels]),
        )

    def comparison(self, rows: list[Row], criterion: str, models: dict[str, Any]) -> Comparison:
        """Everything together; HSFusionError where no method has a score."""
        worked = [row for row in rows if row.scores is not None and row.method != CALIBRATION]
        if not worked:
            reasons = [row.reason for row in rows if row.reason]
            raise HSFusionError(
                f"No method could be compared: {reasons[0]}"
                if reasons
                else "METHODS names no method: name at least one."
            )
        alignment, warnings = self._pair.alignment, []
        calibration = next((row for row in rows if row.method == CALIBRATION and row.scores is not None), None)
        if calibration is not None and calibration.scores.PSNR > worked[0].scores.PSNR:
            warnings.append(
                "Plain interpolation is better than every method at reduced resolution: the two rasters may not show "
                "the same ground, or lie apart."
            )
        pixels = worked[0].scores.pixels
        coarse, fine = (a * b for a, b in (alignment.coarse_shape, alignment.scene_shape))
        shown = self.shown
        return Comparison(
            rows=rows,
            best=worked[0].method,
            criterion=criterion,
            ceiling_db=float(10 * np.log10(self.peak**2 / max(float(np.mean(self._noise**2)), 1e-30))),
            peak=self.peak,
            share=pixels / coarse,
            growth=fine / pixels,
            pixels_compared=pixels,
            blocks=len(self._stages),
            truth=np.where(shown.mask, shown.truth[self.layers], np.nan).astype(np.float32),
            truth_mask=shown.mask,
            truth_spectra=np.stack([shown.truth[:, row, col] for row, col in self.pixels]),
            layers=self.layers,
            pixels=self.pixels,
            models=models,
            warnings=warnings,
        )
