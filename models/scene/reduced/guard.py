"""The guard: Wald's protocol on blocks of the scene compares a method with the closed forms where the truth is known.

The closed forms, and what is shipped of them, work on the MSI with its noise filtered, as a model does. Fusion, its
benchmark and whatever else asks "would this be shipped?" call this one function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ..block import Block, middle
from ..model import SceneModel
from .scene import Method, ReducedBlock, ReducedScene
from .wald import LEAST_SIZE, MARGIN_DB, excess_rmse, margin_db, verdict

LARGEST_BLOCK = 96  # coarse pixels: a whole scene up to this size is checked as it is
MIDDLE = 64  # ... and the middle of a larger one
WHEN_TOO_SMALL = "average"  # of LOC and MAP
_POLL_S = 0.2


@dataclass(frozen=True)
class Verdict:
    """scores: method -> RMSE beyond noise at reduced resolution, in the HSI's units; {} where the scene is too small to
    decide.

    residual (L,): RMSE per band of the method that is shipped; gain in dB of the guarded method over the best closed
    form; margin in dB by which a closed form would have to lead.
    """

    shipped: str
    scores: dict[str, float]
    residual: np.ndarray | None
    gain: float
    margin: float = MARGIN_DB

    def sentence(self, guarded: str) -> str:
        """What the check found, for the log and the report."""
        if not self.scores:
            return (
                f"Not decidable: the scene has fewer than {LEAST_SIZE} x {LEAST_SIZE} HSI pixels in one piece, so "
                "nothing could be checked "
                f"at reduced resolution; {self.shipped} was used."
            )
        ranked = sorted(self.scores.items(), key=lambda item: item[1])
        errors = ", ".join(f"{name} {value:.4g}" for name, value in ranked)
        if self.gain >= 0:
            found = f"{guarded} is {self.gain:.2f} dB better than the best closed form and was used"
        elif self.shipped == guarded:
            found = (
                f"{guarded} is {-self.gain:.2f} dB worse than the best closed form, which is too little to tell on a "
                "scene of this size "
                f"(up to {self.margin:.1f} dB), and was used"
            )
        else:
            found = f"{guarded} is {-self.gain:.2f} dB worse than {self.shipped}, so {self.shipped} was used instead"
        return f"Checked at reduced resolution (Wald's protocol): {found}. RMSE beyond noise: {errors}."


def decide(
    scene: SceneModel,
    blocks: Sequence[Block],
    guarded: Method,
    wavelengths: np.ndarray | None = None,
    listener: Listener = SILENT,
) -> Verdict:
    """Run `guarded` and every closed form one scale down, at the scene's own noise, and keep `guarded` unless a closed
    form is clearly better.

    Where the scene is too small the average of LOC and MAP is chosen. The listener is asked often whether the work is
    to end.
    """
    sampling = scene.coefficients.sampling
    small = [b if max(b.y.shape[-2:]) <= LARGEST_BLOCK else middle(b, MIDDLE, sampling) for b in blocks]
    reduced = ReducedScene.of(scene, small, wavelengths, listener=listener)
    if reduced is None:
        return Verdict(WHEN_TOO_SMALL, {}, None, 0.0)
    noise = scene.subspace.band_noise
    errors: dict[str, np.ndarray] = {}
    count = sum(float(block.mask.sum()) for block in reduced.blocks)
    with closing(_every(reduced.blocks, guarded, listener)) as results:
        for block, name, spectra in results:
            square = (spectra - block.truth)[:, block.mask].astype(np.float64) ** 2
            errors[name] = errors.get(name, 0.0) + square.sum(axis=1)
            listener.check()
    scores = {name: excess_rmse(e / count, noise) for name, e in errors.items()}
    pixels = count / sampling.ratio**2
    shipped, gain = verdict(scores, guarded.name, pixels)
    return Verdict(shipped, scores, np.sqrt(errors[shipped] / count), gain, margin_db(pixels))


def _every(
    blocks: list[ReducedBlock], guarded: Method, listener: Listener
) -> Iterator[tuple[ReducedBlock, str, np.ndarray]]:
    """Spectra (L, H, W) of each block by each closed form and by `guarded`, which works in a thread meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="hsfusion-guard") as pool:
        asked = deque(pool.submit(block.fused, guarded) for block in blocks)
        try:
            for number, block in enumerate(blocks):
                for name, spectra in block.closed_forms():
                    yield block, name, spectra
                yield block, guarded.name, _result(asked.popleft(), listener)
                listener.step((number + 1) / len(blocks))
        finally:
            for asking in asked:
                asking.cancel()


def _result(asked: Future[np.ndarray], listener: Listener) -> np.ndarray:
    while not wait([asked], timeout=_POLL_S).done:
        listener.check()
    return asked.result()
