"""The guard: Wald's protocol on blocks of the scene compares a method with the closed forms where the truth is known.

The closed forms, and what is shipped of them, work on the MSI with its noise filtered, as a model does. Fusion, its
benchmark and whatever else asks "would this be shipped?" call this one function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from statistics import mean

import numpy as np

from ...listener import SILENT, Listener
from ...metrics.hypercomplex import q2n
from ...metrics.radiometric import nrmse
from ...metrics.spectral import sam
from ..block import Block, middle
from ..model import SceneModel
from .agreement import contradicts
from .ranking import TOGETHER, leads, ranked
from .scene import Method, ReducedBlock, ReducedScene
from .wald import LEAST_SIZE, MARGIN_DB, excess_rmse, margin_db

LARGEST_BLOCK = 96  # coarse pixels: a whole scene up to this size is checked as it is
MIDDLE = 64  # ... and the middle of a larger one
WHEN_NOT_TRUSTED = "average"  # of LOC and MAP
_POLL_S = 0.2


@dataclass(frozen=True)
class Scores:
    """At reduced resolution: NRMSE is in units of the bands' spread, SAM in degrees; Q2N is NaN where it is not
    known.
    """

    NRMSE: float
    SAM: float
    Q2N: float


@dataclass(frozen=True)
class Judged:
    """A method and its scores."""

    method: str
    scores: Scores


@dataclass(frozen=True)
class Verdict:
    """scores: method -> RMSE beyond noise at reduced resolution, in the HSI's units; {} where the scene is too small to
    decide.

    residual (L,): RMSE per band of the method that is shipped; leads: criterion -> by how many dB the error of the
    guarded method is smaller than that of the best closed form, `rival`; gain: their mean; margin: by how many dB a
    closed form would have to lead. reason: why a method was shipped that could not be checked.
    """

    shipped: str
    scores: dict[str, float]
    residual: np.ndarray | None
    gain: float
    margin: float = MARGIN_DB
    rival: str = ""
    leads: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def sentence(self, guarded: str) -> str:
        """What the check found, for the log and the report."""
        if not self.scores:
            return (
                f"Not decidable: the scene has fewer than {LEAST_SIZE} x {LEAST_SIZE} HSI pixels in one piece, so "
                f"nothing could be checked at reduced resolution; {self.shipped} was used, {self.reason}."
            )
        errors = ", ".join(f"{name} {value:.4g}" for name, value in sorted(self.scores.items(), key=lambda i: i[1]))
        against = ", ".join(f"{name.upper()} {value:+.2f} dB" for name, value in self.leads.items())
        return (
            f"Checked at reduced resolution (Wald's protocol): {guarded} against {self.rival}, the best closed form: "
            f"{against}. {self._found(guarded)} RMSE beyond noise: {errors}."
        )

    def _found(self, guarded: str) -> str:
        if self.shipped != guarded:
            return f"{self.shipped} is better by each of them, so {self.shipped} was used instead."
        if all(lead >= 0 for lead in self.leads.values()):
            return f"{guarded} was used."
        if all(lead < 0 for lead in self.leads.values()):
            return (
                f"That is too little to tell on a scene of this size (up to {self.margin:.1f} dB); {guarded} was used."
            )
        return f"The criteria disagree, which is no reason to leave {guarded}; it was used."


def decide(
    scene: SceneModel,
    blocks: Sequence[Block],
    guarded: Method,
    wavelengths: np.ndarray | None = None,
    listener: Listener = SILENT,
    trusted: bool = True,
) -> Verdict:
    """Run `guarded` and every closed form one scale down, at the scene's own noise, and keep `guarded` unless a closed
    form is better by RMSE, SAM and Q2n, and by more than the margin in their mean.

    Where the scene is too small to tell, `guarded` is kept if its record is better than that of the closed forms
    (`trusted`), unless it contradicts the pair itself; else the average of LOC and MAP is used. The listener is asked
    often whether the work is to end.
    """
    sampling = scene.coefficients.sampling
    small = [b if max(b.y.shape[-2:]) <= LARGEST_BLOCK else middle(b, MIDDLE, sampling) for b in blocks]
    reduced = ReducedScene.of(scene, small, wavelengths, listener=listener)
    if reduced is None:
        return _without_check(scene, small, guarded, listener, trusted)
    noise = scene.subspace.band_noise
    found: dict[str, _Sums] = {}
    with closing(_every(reduced.blocks, guarded, listener)) as results:
        for block, name, spectra in results:
            found.setdefault(name, _Sums()).add(block, spectra, listener)
    judged = {name: Judged(name, sums.scores(scene.bounds.hsi.std)) for name, sums in found.items()}
    rival = ranked([one for name, one in judged.items() if name != guarded.name], TOGETHER)[0].method
    by = leads(judged[guarded.name].scores, judged[rival].scores)
    margin = margin_db(found[rival].pixels / sampling.ratio**2)
    gain = mean(by.values())
    shipped = rival if gain < -margin and all(lead < 0 for lead in by.values()) else guarded.name
    excess = {name: excess_rmse(sums.mse, noise) for name, sums in found.items()}
    return Verdict(shipped, excess, np.sqrt(found[shipped].mse), gain, margin, rival, by)


def _without_check(
    scene: SceneModel, blocks: Sequence[Block], guarded: Method, listener: Listener, trusted: bool
) -> Verdict:
    if not trusted:
        reason = f"because {guarded.name} has no record of being better than the closed forms"
        return Verdict(WHEN_NOT_TRUSTED, {}, None, 0.0, reason=reason)
    if contradicts(scene, blocks, guarded, WHEN_NOT_TRUSTED, listener):
        reason = f"because {guarded.name} contradicts the HSI or the MSI"
        return Verdict(WHEN_NOT_TRUSTED, {}, None, 0.0, reason=reason)
    return Verdict(guarded.name, {}, None, 0.0, reason="as its record is better than that of the closed forms")


class _Sums:
    """What the scores of a method follow from, block after block."""

    def __init__(self) -> None:
        self._squares: np.ndarray | float = 0.0
        self._angles, self._quality, self._judged_pixels, self.pixels = 0.0, 0.0, 0.0, 0.0

    def add(self, block: ReducedBlock, spectra: np.ndarray, listener: Listener) -> None:
        """A block's spectra (L, H, W)."""
        count = float(block.mask.sum())
        self._squares = self._squares + ((spectra - block.truth)[:, block.mask].astype(np.float64) ** 2).sum(axis=1)
        listener.check()
        self._angles += count * np.nan_to_num(sam(block.truth, spectra, block.mask).mean)
        quality = q2n(block.truth, spectra, block.mask, listener=listener)
        if np.isfinite(quality):
            self._quality, self._judged_pixels = self._quality + count * quality, self._judged_pixels + count
        self.pixels += count
        listener.check()

    @property
    def mse(self) -> np.ndarray:
        """Mean square error of each band (L,)."""
        return np.asarray(self._squares) / self.pixels

    def scores(self, std: np.ndarray) -> Scores:
        """std (L,): spread of the bands."""
        quality = self._quality / self._judged_pixels if self._judged_pixels else float("nan")
        return Scores(nrmse(self.mse, std), self._angles / self.pixels, quality)


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
