"""Fine-tuning of a subspace model on the user's own pair, one scale down, where the HSI is the truth (Wald's protocol).

It trains what the runner computes, data consistency included, with a small learning rate, on crops and flips of the
reduced blocks; cells of the scene are kept from it: some choose the best weights on the way, others judge the outcome,
so that no choice flatters the gain.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import HSFusionError
from ...listener import heed, never
from ...networks.inputs import pad_components, target_scale
from ...networks.subspace_unet import MULTIPLE
from ...observation import coarse_range
from ...runners.subspace import SubspaceRunner
from ...runners.tile import Cut, TilePixels
from ...scene.methods.subspace import ClosedForms, denoised
from ...scene.reduced.examples import Reduced
from ...scene.reduced.held_out import CHOOSE, TEST, TRAIN
from ...scene.window import Place, Window
from ...wire.adaptation import Training
from ...wire.tile import TileRequest
from ..subspace.loop import LEAST_WEIGHT

CROP = 96  # fine pixels
MARGIN = 16  # of a crop, where its cut would be felt
CROPS_PER_STEP = 2
LEARNING_RATE = 5e-5
WARMUP_STEPS = 10
AVERAGING = 0.95
# Of the trained weights in the adapted ones, the original has the rest (Wortsman et al. 2022): what is learnt one
# scale down holds only in part at full resolution. On three training scenes (ratio 2, 35 dB, 15 s of one core) half
# of it gave +0.09, +0.10 and +0.23 dB there, all of it 0.00, -0.05 and +0.36.
ADAPTED_SHARE = 0.5
HUBER = 3.0
ERROR_HEAD_WEIGHT = 0.05
PATIENCE = 8  # looks at the choosing cells without a gain before it ends
LOOKS = 20  # at the choosing cells within the time


@dataclass(frozen=True)
class Moment:
    """How far it is: step, loss (moving mean), gain in dB on the choosing cells of the best weights so far, seconds
    since the start.
    """

    step: int
    loss: float
    gain: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """state: the best adapted weights; gain: theirs over the original in dB on the TEST cells, choosing: on the CHOOSE
    cells; history: Moments.
    """

    state: dict[str, Tensor]
    gain: float
    choosing: float
    steps: int
    seconds: float
    history: list[Moment] = field(default_factory=list)


class Adaptation:
    """One model (card and weights) on the blocks of one pair: the first `judged` of them are looked at to choose and to
    judge, all are trained on.
    """

    def __init__(
        self,
        card: dict[str, Any],
        state: dict[str, Tensor],
        blocks: list[Reduced],
        asked: Training,
        device: str = "cpu",
    ) -> None:
        self.runner = SubspaceRunner(card, state, device)
        self.device = self.runner.device
        self.blocks = [_Prepared(self.runner, block) for block in blocks]
        self.judged, self.noise, self.rng = asked.judged, asked.noise, np.random.default_rng(asked.seed)
        self.gram = torch.from_numpy(np.asarray(asked.gram, np.float32)).to(self.device)
        if not any((block.roles == TRAIN).any() for block in blocks):
            raise HSFusionError("No pixel of the scene is left to learn from: give a larger overlap.")

    def run(self, seconds: float, report: Callable[[Moment], None], cancelled: Callable[[], bool] = never) -> Outcome:
        """Train for about so many seconds, or until the choosing cells no longer gain; RunCancelled between
        two steps.
        """
        original = copy.deepcopy(self.runner.network.state_dict())
        average = copy.deepcopy(original)
        before = self.errors(original, cancelled)
        parameters = list(self.runner.network.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.99))
        best, best_gain, history, mean_loss, step, idle = original, 0.0, [], math.nan, 0, 0
        look, next_look = max(1.0, seconds / LOOKS), max(1.0, seconds / LOOKS)
        best_errors = before
        began = time.monotonic()  # making the optimiser imports half of torch the first time
        while (passed := time.monotonic() - began) < seconds and idle < PATIENCE:
            heed(cancelled)
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP_STEPS) * max(0.02, 1 - passed / seconds)
            optimizer.zero_grad(set_to_none=True)
            value = 0.0
            for _ in range(CROPS_PER_STEP):
                heed(cancelled)
                loss = self._loss() / CROPS_PER_STEP
                loss.backward()
                value += float(loss.detach())
            slope = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
            if not (math.isfinite(value) and math.isfinite(slope)):
                break  # the best weights so far are kept
            optimizer.step()
            step += 1
            mean_loss = value if step == 1 else 0.9 * mean_loss + 0.1 * value
            decay = min(AVERAGING, step / (step + 4))
            with torch.no_grad():
                for name, tensor in self.runner.network.state_dict().items():
                    average[name].lerp_(tensor, 1 - decay)
            if time.monotonic() - began >= next_look or time.monotonic() - began >= seconds:
                candidate = _between(original, average)
                errors = self.errors(candidate, cancelled)
                gain = decibel(before[CHOOSE], errors[CHOOSE])
                idle += 1
                if best is original or gain > best_gain:
                    best, best_gain, best_errors, idle = candidate, gain, errors, 0
                history.append(Moment(step, mean_loss, gain, time.monotonic() - began))
                next_look = time.monotonic() - began + look
            report(Moment(step, mean_loss, best_gain, time.monotonic() - began))
        gain = decibel(before[TEST], best_errors[TEST])
        return Outcome(best, gain, best_gain, step, time.monotonic() - began, history)

    @torch.no_grad()
    def errors(self, state: dict[str, Tensor], cancelled: Callable[[], bool] = never) -> dict[int, float]:
        """RMSE beyond the truth's noise on the CHOOSE and the TEST cells, in the HSI's units, of the network with these
        weights.
        """
        network = self.runner.network
        kept = copy.deepcopy(network.state_dict())
        network.load_state_dict(state)
        sums = {CHOOSE: [0.0, 0], TEST: [0.0, 0]}
        try:
            for prepared in self.blocks[: self.judged]:
                heed(cancelled)
                mean, _ = prepared.estimate()
                apart = (mean - prepared.truth)[: len(self.gram)]
                square = torch.einsum("khw,kj,jhw->hw", apart, self.gram, apart)
                for role, total in sums.items():
                    at = prepared.roles == role
                    total[0] += float(square[at].sum())
                    total[1] += int(at.sum())
        finally:
            network.load_state_dict(kept)
        means = {role: total / max(count, 1) for role, (total, count) in sums.items()}
        return {role: math.sqrt(max(value - self.noise, 0.1 * value)) for role, value in means.items()}

    def _loss(self) -> Tensor:
        """Of a random crop of a random block, flipped: the trainer's Huber and Laplace terms, on what the runner
        returns.
        """
        while True:
            prepared = self.blocks[self.rng.integers(len(self.blocks))]
            part = prepared.flipped(*self.rng.random(2) < 0.5)
            crop = part.crop(self.rng)
            weight = (part.roles[crop.inner] == TRAIN).float()
            if weight.any():
                break
        mean, log_error = crop.estimate()
        scale = target_scale(part.model, mean)
        inner = (slice(None), *crop.local)
        apart = ((mean - part.truth[(slice(None), *crop.outer)]) / scale)[inner]
        log_error = log_error[inner].clamp(-8, 8)
        importance = (
            mean.new_tensor(LEAST_WEIGHT + (1 - LEAST_WEIGHT) * part.model.error_share())[:, None, None] * weight
        )
        huber = F.huber_loss(apart, torch.zeros_like(apart), reduction="none", delta=HUBER)
        likelihood = apart.detach().abs() * (-log_error).exp() + log_error
        total = (importance * huber).sum() + ERROR_HEAD_WEIGHT * (weight * likelihood).sum()
        return total / (weight.sum() * len(apart))


class _Prepared:
    """A reduced block on the device with its closed forms, made once per flip."""

    def __init__(self, runner: SubspaceRunner, block: Reduced) -> None:
        self.runner, self.place = runner, block.place
        z, quiet = denoised(block.z, block.z_mask, block.model, block.place)
        self.model = pad_components(quiet, runner.components)
        missing = runner.components - len(block.y)

        def tensor(image: np.ndarray, components: bool = False) -> Tensor:
            image = np.ascontiguousarray(image, np.float32)
            if components and missing > 0:
                image = np.concatenate([image, np.zeros((missing, *image.shape[1:]), np.float32)])
            return torch.from_numpy(image).to(runner.device)

        self.y, self.truth = tensor(block.y, True), tensor(block.truth, True)
        self.z, self.y_mask, self.z_mask = tensor(z), tensor(block.y_mask), tensor(block.z_mask)
        self.roles = torch.from_numpy(np.ascontiguousarray(block.roles)).to(runner.device)
        self._forms: ClosedForms | None = None
        self._flips: dict[tuple[bool, bool], _Prepared] = {(False, False): self}

    def flipped(self, rows: bool, cols: bool) -> _Prepared:
        """The block seen in a mirror: D is symmetric and the grids of a reduced block are nested, so that nothing else
        changes.
        """
        key = (bool(rows), bool(cols))
        if key not in self._flips:
            axes = [axis for axis, flip in zip((-2, -1), key) if flip]
            other = copy.copy(self)
            for name in ("y", "truth", "z", "y_mask", "z_mask", "roles"):
                setattr(other, name, torch.flip(getattr(self, name), axes))
            other._forms = None
            self._flips[key] = other
        return self._flips[key]

    @property
    def forms(self) -> ClosedForms:
        """All closed forms of the block."""
        if self._forms is None:
            with torch.no_grad():
                self._forms = ClosedForms(self.y, self.z, self.y_mask, self.z_mask, self.model, self.place)
        return self._forms

    def estimate(self) -> tuple[Tensor, Tensor]:
        """The same of the whole block."""
        return self._crop(Window.whole(self.truth.shape[1:])).estimate()

    def crop(self, rng: np.random.Generator) -> _Crop:
        """A random crop of about CROP pixels, or the whole block where that is hardly larger."""
        return self._crop(Window(*(_random_range(rng, n) for n in self.truth.shape[1:])))

    def _crop(self, fine: Window) -> _Crop:
        sampling, shape = self.model.sampling, self.truth.shape[1:]
        count = self.y.shape[1:]
        coarse = [
            coarse_range(axis, size, number, sampling.ratio, 0.0) for axis, size, number in zip(fine.axes, shape, count)
        ]
        return _Crop(self, Place(fine, Window(*coarse)))


@dataclass(frozen=True)
class _Crop:
    """A part of a block with `place` in it."""

    block: _Prepared
    place: Place

    @property
    def outer(self) -> tuple[slice, slice]:
        """The crop as slices of the block."""
        return self.place.fine.inside(self.block.place.fine)

    @property
    def local(self) -> tuple[slice, slice]:
        """What does not feel the cut, as slices of the crop."""
        return tuple(  # type: ignore[return-value]
            slice(0 if r.start == 0 else MARGIN, len(r) if r.stop == size else len(r) - MARGIN)
            for r, size in zip(self.place.fine.axes, self.block.truth.shape[1:])
        )

    @property
    def inner(self) -> tuple[slice, slice]:
        """The same as slices of the block."""
        return tuple(  # type: ignore[return-value]
            slice(r.start + part.start, r.start + part.stop) for r, part in zip(self.place.fine.axes, self.local)
        )

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Mean and log of the expected error in units of `target_scale`, (K, rows, cols) of the crop, as the runner
        makes them.
        """
        block, runner = self.block, self.block.runner
        coarse, fine = self.place.coarse.inside(block.place.coarse), self.outer
        y, z = block.y[(slice(None), *coarse)], block.z[(slice(None), *fine)]
        pixels = TilePixels(y, z, block.y_mask[coarse], block.z_mask[fine], block.model, self.place)
        job = TileRequest(block.model, self.place, self.place.fine)
        tile = runner.prepare(job, pixels, Cut(block.forms, fine))
        _, _, estimate = runner.mean([tile])
        return pixels.agreed(tile.coefficients(estimate.mean[0])), tile.inside(estimate.log_error[0])


def _between(original: dict[str, Tensor], trained: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.lerp(tensor, trained[name], ADAPTED_SHARE) for name, tensor in original.items()}


def decibel(before: float, after: float) -> float:
    """Gain of one RMSE over another."""
    return 20.0 * math.log10(max(before, 1e-30) / max(after, 1e-30))


def _random_range(rng: np.random.Generator, size: int) -> range:
    """CROP pixels at a multiple of the network's, or all where there are hardly more."""
    if size <= CROP + MULTIPLE:
        return range(size)
    start = int(rng.integers(0, (size - CROP) // MULTIPLE + 1)) * MULTIPLE
    return range(start, start + CROP if start + CROP + MULTIPLE <= size else size)
