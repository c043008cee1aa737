"""One tile through the subspace model: closed forms, network inputs, the mean estimate or samples, data consistency."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable

import numpy as np
import torch
from torch import Tensor

from ..cards import check_objective
from ..diffusion.samplers import ddim
from ..diffusion.schedules import from_card, subsequence
from ..errors import HSFusionError
from ..listener import heed, never
from ..networks.grown import grown
from ..networks.inputs import TARGET_LIMIT, conditions, pad_components, scalars, target_scale
from ..networks.subspace_unet import MULTIPLE, Estimate
from ..networks.unfolded import build_network
from ..scene.methods.subspace import ClosedForms, denoised
from ..wire.tile import SAMPLING_STEPS, TileRequest
from .precision import BFLOAT16, FLOAT32
from .tile import Cut, Prepared, TilePixels, network_window, padded
from .weights import check_size

# Of the way from a pair of samples' own middle to the mean estimate: both err, and not alike. More steps help in
# noise and harm clean pairs; half-way is as good on average and loses up to 0.14 dB, this at most 0.06, on held-out
# scenes.
TOWARDS_MEAN = 0.75
# How much farther apart the two samples of a pair are put than the network draws them: its own spread is 0.3 to 0.5 of
# its errors on training scenes.
SPREAD = 2.2
DEFAULT_HALO = 64  # fine pixels around the core that the network works on, where the card does not say
STD_PER_ABSOLUTE_ERROR = float(np.sqrt(np.pi / 2))  # of a Gaussian


class SubspaceRunner:
    """A loaded subspace model on its device; called with one tile, it returns the tile's core."""

    Request = TileRequest

    def __init__(
        self, card: dict[str, Any], state: dict[str, Tensor], device: str = "cpu", precision: str = FLOAT32
    ) -> None:
        """precision: of the network alone; closed forms, data consistency and the sums of samples are float32 in any
        case.

        ModelError where the weights were trained beside other closed forms.
        """
        check_objective(card)
        self.components = int(card["components"])
        self.signals = from_card(card["schedule"])
        self.default_steps = int(card["default_steps"])
        self.error_scale = float(card.get("error_scale", 1.0))
        self.halo = int(card.get("halo", DEFAULT_HALO))
        self.device = torch.device(device)
        check_size(lambda: build_network(card["settings"]), state)
        network = build_network(card["settings"])
        network.load_state_dict(grown(state, network))
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)
        self.precision = precision

    def with_precision(self, precision: str) -> SubspaceRunner:
        """The same network in another precision; the weights are shared."""
        other = copy.copy(self)
        other.precision = precision
        return other

    def __call__(
        self,
        tensors: Mapping[str, np.ndarray],
        request: TileRequest | Mapping[str, Any],
        cancelled: Callable[[], bool] = never,
    ) -> dict[str, np.ndarray]:
        """y (K, h, w), z (l, H, W), y_mask (h, w), z_mask (H, W) and a TileRequest -> x (S, K, rows, cols) and std (K,
        rows, cols).

        std is one standard deviation of the expected error of a coefficient. Raises RunCancelled between steps.
        """
        return self.many([(tensors, request)], cancelled)[0]

    @torch.inference_mode()
    def many(
        self,
        tiles: Sequence[tuple[Mapping[str, np.ndarray], TileRequest | Mapping[str, Any]]],
        cancelled: Callable[[], bool] = never,
    ) -> list[dict[str, np.ndarray]]:
        """Several tiles of equal shapes, steps and samples through the network together; each as `__call__` gives it,
        but for rounding.
        """
        prepared = []
        for tensors, request in tiles:
            heed(cancelled)
            prepared.append(self._prepared(tensors, request))
        results: list[dict[str, np.ndarray]] = [{} for _ in tiles]
        for shape in dict.fromkeys(tile.given.shape for tile in prepared):  # cores of one window may lie differently
            places = [place for place, tile in enumerate(prepared) if tile.given.shape == shape]
            for place, result in zip(places, self._estimate([prepared[place] for place in places], cancelled)):
                results[place] = result
        return results

    def _prepared(self, tensors: Mapping[str, np.ndarray], request: TileRequest | Mapping[str, Any]) -> Prepared:
        job = TileRequest.from_message(request)
        self._check(tensors, job)
        y, z, y_mask, z_mask = (
            torch.from_numpy(np.ascontiguousarray(tensors[n], np.float32)).to(self.device)
            for n in ("y", "z", "y_mask", "z_mask")
        )
        missing = self.components - len(y)
        y = torch.cat([y, y.new_zeros(max(missing, 0), *y.shape[1:])])
        z, quiet = denoised(z, z_mask, job.model, job.place)
        pixels = TilePixels(y, z, y_mask, z_mask, pad_components(quiet, self.components), job.place)
        return self.prepare(job, pixels, pixels.closed_forms())

    def prepare(self, job: TileRequest, pixels: TilePixels, forms: ClosedForms | Cut) -> Prepared:
        """A tile's closed forms as the network takes them.

        The network works on the core and its halo alone, whatever else the tile's window holds for the closed forms and
        the consistency.
        """
        model, base = pixels.model, forms.average
        seen = network_window(job.core, job.place.fine, self.halo)
        part = Cut(forms, seen.inside(job.place.fine))
        # As the network takes it from here on: a second copy in float32 would be a third of a tile's memory.
        given = padded(conditions(part, model, self._dtype, torch.channels_last)[None])
        numbers = torch.from_numpy(scalars(model))[None].to(base)
        return Prepared(job, pixels, len(job.model.y_std), base, target_scale(model, base), given, numbers, seen)

    def _check(self, tensors: Mapping[str, np.ndarray], job: TileRequest) -> None:
        """Raises HSFusionError where tensors and request do not belong together."""
        job.check_tensors(tensors, {"components": self.components})
        fine = job.place.fine
        if fine.rows.start % MULTIPLE or fine.cols.start % MULTIPLE:
            raise HSFusionError(
                f"The tile must start at a multiple of {MULTIPLE} pixels, but it starts at {fine.rows.start}, "
                f"{fine.cols.start}."
            )

    def mean(self, tiles: list[Prepared], cancelled: Callable[[], bool] = never) -> tuple[Tensor, Tensor, Estimate]:
        """The first network's estimate before and after data consistency, and the whole network's (B, K, H', W'):
        residuals, padded.

        Gradients flow through it: scene adaptation trains what this computes.
        """
        given, numbers = _together(tiles)
        heed(cancelled)
        with self._reduced():
            raw = self.network.mean(given, numbers)
        first = _consistent(tiles, raw)
        heed(cancelled)
        with self._reduced():
            return raw, first, self.network(None, numbers.new_zeros(len(tiles)), given, numbers, raw, first)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == BFLOAT16 else torch.float32

    def _reduced(self) -> AbstractContextManager[Any]:
        """Around calls of the network: its convolutions in bfloat16, if that is the precision; else whatever the caller
        has set.
        """
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == BFLOAT16 else nullcontext()

    def _estimate(self, tiles: list[Prepared], cancelled: Callable[[], bool]) -> list[dict[str, np.ndarray]]:
        given, numbers = _together(tiles)
        job = tiles[0].job
        raw, first, estimate = self.mean(tiles, cancelled)

        def denoise(noisy: Tensor, signal: Tensor) -> Tensor:
            heed(cancelled)
            level = signal.reshape(1).to(noisy).expand(len(tiles))
            with self._reduced():
                estimate = self.network(noisy, level, given, numbers, raw, first)
            return _consistent(tiles, estimate.mean)

        steps = max(self.default_steps, SAMPLING_STEPS) if job.samples else self.default_steps
        levels = self.signals[subsequence(len(self.signals) - 1, job.steps or steps)]
        mean = _consistent(tiles, estimate.mean)
        residuals: list[Tensor] = []
        for number in range(0, job.samples, 2):
            start = torch.cat([padded(tile.noise(self.components, number // 2)) for tile in tiles])
            pair = ddim(denoise, start, levels), ddim(denoise, -start, levels)
            middle = 0.5 * (pair[0] + pair[1])
            centre = middle + TOWARDS_MEAN * (mean - middle)
            residuals += [centre + SPREAD * (sample - middle) for sample in pair]
        results = []
        for place, (tile, log_error) in enumerate(zip(tiles, estimate.log_error)):
            error = tile.core(log_error, of_network=True).exp().clamp(max=TARGET_LIMIT)
            std = self.error_scale * STD_PER_ABSOLUTE_ERROR * tile.scale[: tile.found] * error
            drawn = [tile.finished(residual[place]) for residual in residuals[: job.samples] or [mean]]
            results.append({"x": torch.stack(drawn).cpu().numpy(), "std": std.cpu().numpy()})
        return results


def _together(tiles: list[Prepared]) -> tuple[Tensor, Tensor]:
    """What the network sees of several tiles at once."""
    return _joined([tile.given for tile in tiles]), _joined([tile.numbers for tile in tiles])


def _consistent(tiles: list[Prepared], residual: Tensor) -> Tensor:
    if not tiles[0].job.consistency:
        return residual
    return _joined([tile.consistent(one) for tile, one in zip(tiles, residual)])


def _joined(parts: list[Tensor]) -> Tensor:
    """As a batch; of one part without a copy."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]
