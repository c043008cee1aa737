"""The guard: Wald's protocol on blocks of the scene compares a method with the closed forms where the truth is known.

The closed forms, and what is shipped of them, work on the MSI with its noise filtered, as the model does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ....models.scene.block import Block, middle
from ....models.scene.reduced.wald import LEAST_SIZE, MARGIN_DB, excess_rmse, margin_db, verdict
from ..fuse.tiles import result
from ..methods.closed_form import ClosedForm
from ..methods.method import Method
from ..pair.estimates import Estimates
from ..run.progress import Progress
from .scene import Rehearsal, Stage

LARGEST_BLOCK = 96  # coarse pixels: a whole scene up to this size is checked as it is
MIDDLE = 64  # ... and the middle of a larger one


@dataclass(frozen=True)
class Verdict:
    """scores: method -> RMSE beyond noise at reduced resolution, in the HSI's units; {} where the scene is too small to decide.

    residual (L,): RMSE per band of the method that is shipped; gain in dB of the guarded method over the best closed form; margin in dB by
    which a closed form would have to lead.
    """

    shipped: str
    scores: dict[str, float]
    residual: np.ndarray | None
    gain: float
    margin: float = MARGIN_DB

    def closed_form(self, band_std: np.ndarray | None = None) -> ClosedForm:
        """What is shipped instead of the guarded method, as it was checked; band_std (L,): its expected error."""
        return ClosedForm(self.shipped, band_std=band_std, filters=True)

    def sentence(self, guarded: str) -> str:
        """What the check found, for the log and the report."""
        if not self.scores:
            return (
                f"Not decidable: the scene has fewer than {LEAST_SIZE} x {LEAST_SIZE} HSI pixels in one piece, so nothing could be checked "
                f"at reduced resolution; {self.shipped} was used."
            )
        errors = ", ".join(
            f"{name} {value:.4g}" for name, value in sorted(self.scores.items(), key=lambda item: item[1])
        )
        if self.gain >= 0:
            found = f"{guarded} is {self.gain:.2f} dB better than the best closed form and was used"
        elif self.shipped == guarded:
            found = (
                f"{guarded} is {-self.gain:.2f} dB worse than the best closed form, which is too little to tell on a scene of this size "
                f"(up to {self.margin:.1f} dB), and was used"
            )
        else:
            found = f"{guarded} is {-self.gain:.2f} dB worse than {self.shipped}, so {self.shipped} was used instead"
        return f"Checked at reduced resolution (Wald's protocol): {found}. RMSE beyond noise: {errors}."


def decide(estimates: Estimates, guarded: Method, wavelengths: np.ndarray | None, progress: Progress) -> Verdict:
    """Run `guarded` and every closed form one scale down, at the scene's own noise, and keep `guarded` unless a closed form is clearly better.

    Where the scene is too small the average of LOC and MAP is chosen.
    """
    rehearsal = Rehearsal.of(estimates, _small_blocks(estimates), wavelengths, check=progress.check)
    if rehearsal is None:
        return Verdict("average", {}, None, 0.0)
    noise = estimates.scene.subspace.band_noise
    errors: dict[str, np.ndarray] = {}
    count = sum(float(stage.mask.sum()) for stage in rehearsal.stages)
    with closing(_every(rehearsal.stages, guarded, progress)) as results:
        for stage, name, spectra in results:
            square = (spectra - stage.truth)[:, stage.mask].astype(np.float64) ** 2
            errors[name] = errors.get(name, 0.0) + square.sum(axis=1)
            progress.check()
    scores = {name: excess_rmse(e / count, noise) for name, e in errors.items()}
    pixels = count / estimates.sampling.ratio**2
    shipped, gain = verdict(scores, guarded.name, pixels)
    return Verdict(shipped, scores, np.sqrt(errors[shipped] / count), gain, margin_db(pixels))


def _every(stages: list[Stage], guarded: Method, progress: Progress) -> Iterator[tuple[Stage, str, np.ndarray]]:
    """Spectra (L, H, W) of each stage by each closed form and by `guarded`, on which the backend works meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="hsfusion-guard") as pool:
        asked = deque(pool.submit(stage.fused, guarded) for stage in stages)
        try:
            for number, stage in enumerate(stages):
                for name, spectra in stage.closed_forms():
                    yield stage, name, spectra
                yield stage, guarded.name, result(asked.popleft(), progress)
                progress.step((number + 1) / len(stages))
        finally:
            for asking in asked:
                asking.cancel()


def _small_blocks(estimates: Estimates) -> list[Block]:
    """The blocks of the estimates, a large single one cut to its middle."""
    return [
        block if max(block.y.shape[-2:]) <= LARGEST_BLOCK else middle(block, MIDDLE, estimates.sampling)
        for block in estimates.blocks
    ]
