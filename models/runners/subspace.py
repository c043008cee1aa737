"""One tile through the subspace model: closed forms, network inputs, the mean estimate or samples, data consistency."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..cards import check_objective
from ..diffusion.samplers import ddim
from ..diffusion.schedules import from_card, subsequence
from ..errors import HSFusionError, RunCancelled
from ..networks.grown import grown
from ..networks.inputs import TARGET_LIMIT, conditions, pad_components, scalars, target_scale
from ..networks.subspace_unet import MULTIPLE, Estimate
from ..networks.unfolded import build_network
from ..observation import gaussian_field
from ..scene.laws.closed_forms import maximum_a_posteriori
from ..scene.methods.subspace import ClosedForms, Place, agreed, denoised
from ..scene.model import CoefficientModel
from ..wire.tile import TileRequest
from .precision import BFLOAT16, FLOAT32
from .weights import check_size

CONSISTENCY_SPREAD = 0.3  # of the expected spread: how far the data may move the network's estimate; the best of 0.3, 0.6, 1.0 on held-out scenes
# Of the way from a pair of samples' own middle to the mean estimate: both err, and not alike. More steps help in noise and harm clean pairs; half-way is
# as good on average and loses up to 0.14 dB, this at most 0.06, on held-out scenes.
TOWARDS_MEAN = 0.75
DEFAULT_HALO = 64  # fine pixels around the core that the network works on, where the card does not say
STD_PER_ABSOLUTE_ERROR = float(np.sqrt(np.pi / 2))  # of a Gaussian


class SubspaceRunner:
    """A loaded subspace model on its device; called with one tile, it returns the tile's core."""

    Request = TileRequest

    def __init__(
        self, card: dict[str, Any], state: dict[str, Tensor], device: str = "cpu", precision: str = FLOAT32
    ) -> None:
        """precision: of the network alone; closed forms, data consistency and the sums of samples are float32 in any case.

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
        cancelled: Callable[[], bool] = lambda: False,
    ) -> dict[str, np.ndarray]:
        """y (K, h, w), z (l, H, W), y_mask (h, w), z_mask (H, W) and a TileRequest -> x (S, K, rows, cols) and std (K, rows, cols).

        std is one standard deviation of the expected error of a coefficient. Raises RunCancelled between steps.
        """
        return self.many([(tensors, request)], cancelled)[0]

    @torch.inference_mode()
    def many(
        self,
        tiles: Sequence[tuple[Mapping[str, np.ndarray], TileRequest | Mapping[str, Any]]],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[dict[str, np.ndarray]]:
        """Several tiles of equal shapes, steps and samples through the network together; each as `__call__` gives it, but for rounding."""
        prepared = []
        for tensors, request in tiles:
            _heed(cancelled)
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
        found = y.shape[0]
        y = torch.cat([y, y.new_zeros(max(self.components - found, 0), *y.shape[1:])])
        z, quiet = denoised(z, z_mask, job.model, job.place)
        model = pad_components(quiet, self.components)
        forms = ClosedForms(y, z, y_mask, z_mask, model, job.place)
        correct = self.consistency(y, z, y_mask, z_mask, model, job.place) if job.consistency else None
        prepared = self.prepare(job, found, forms, model, correct)
        return replace(prepared, agreed=lambda x: agreed(x, z_mask, model, job.place))

    def prepare(
        self,
        job: TileRequest,
        found: int,
        forms: ClosedForms,
        model: CoefficientModel,
        correct: Callable[[Tensor], Tensor] | None,
    ) -> Prepared:
        """A tile's closed forms as the network takes them; `found`: components of the request, `correct`: its data consistency.

        The network works on the core and its halo alone, whatever else the tile's window holds for the closed forms and the consistency.
        """
        base, place = forms.average, job.place
        seen = [
            network_range(core, window, self.halo)
            for core, window in ((job.core_rows, place.fine_rows), (job.core_cols, place.fine_cols))
        ]
        cut = tuple(
            slice(part.start - window.start, part.stop - window.start)
            for part, window in zip(seen, (place.fine_rows, place.fine_cols))
        )
        # As the network takes it from here on: a second copy in float32 would be a third of a tile's memory.
        given = _padded(conditions(Cut(forms, cut), model, self._dtype, torch.channels_last)[None])
        numbers = torch.from_numpy(scalars(model))[None].to(base)
        return Prepared(job, found, base, target_scale(model, base), given, numbers, correct, cut)

    def _check(self, tensors: Mapping[str, np.ndarray], job: TileRequest) -> None:
        """Raises HSFusionError where tensors and request do not belong together."""
        job.check_tensors(tensors, {"components": self.components})
        place = job.place
        if place.fine_rows.start % MULTIPLE or place.fine_cols.start % MULTIPLE:
            raise HSFusionError(
                f"The tile must start at a multiple of {MULTIPLE} pixels, but it starts at {place.fine_rows.start}, {place.fine_cols.start}."
            )

    def consistency(
        self, y: Tensor, z: Tensor, y_mask: Tensor, z_mask: Tensor, model: CoefficientModel, place: Place
    ) -> Callable[[Tensor], Tensor]:
        """Soft, noise-weighted data consistency: the MAP estimate around what the network says."""
        down, _ = place.operators(model)
        spread = CONSISTENCY_SPREAD * model.target_std

        def correct(x: Tensor) -> Tensor:
            return maximum_a_posteriori(
                x, y, z, y_mask, z_mask, down, model.response, model.offset, model.y_std, model.z_std, spread
            ).float()

        return correct

    def mean(
        self, tiles: list[Prepared], cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[Tensor, Tensor, Estimate]:
        """The first network's estimate before and after data consistency, and the whole network's (B, K, H', W'): residuals, padded.

        Gradients flow through it: scene adaptation trains what this computes.
        """
        given, numbers = _together(tiles)
        _heed(cancelled)
        with self._reduced():
            raw = self.network.mean(given, numbers)
        first = _consistent(tiles, raw)
        _heed(cancelled)
        with self._reduced():
            return raw, first, self.network(None, numbers.new_zeros(len(tiles)), given, numbers, raw, first)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == BFLOAT16 else torch.float32

    def _reduced(self) -> AbstractContextManager[Any]:
        """Around calls of the network: its convolutions in bfloat16, if that is the precision; else whatever the caller has set."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == BFLOAT16 else nullcontext()

    def _estimate(self, tiles: list[Prepared], cancelled: Callable[[], bool]) -> list[dict[str, np.ndarray]]:
        given, numbers = _together(tiles)
        job = tiles[0].job
        raw, first, estimate = self.mean(tiles, cancelled)

        def denoise(noisy: Tensor, signal: Tensor) -> Tensor:
            _heed(cancelled)
            level = signal.reshape(1).to(noisy).expand(len(tiles))
            with self._reduced():
                estimate = self.network(noisy, level, given, numbers, raw, first)
            return _consistent(tiles, estimate.mean)

        levels = self.signals[subsequence(len(self.signals) - 1, job.steps or self.default_steps)]
        mean = _consistent(tiles, estimate.mean)
        residuals: list[Tensor] = []
        for number in range(0, job.samples, 2):
            start = torch.cat([_padded(tile.noise(self.components, number // 2)) for tile in tiles])
            pair = ddim(denoise, start, levels), ddim(denoise, -start, levels)
            towards = TOWARDS_MEAN * (mean - 0.5 * (pair[0] + pair[1]))
            residuals += [sample + towards for sample in pair]
        results = []
        for place, (tile, log_error) in enumerate(zip(tiles, estimate.log_error)):
            error = tile.core(log_error, of_network=True).exp().clamp(max=TARGET_LIMIT)
            std = self.error_scale * STD_PER_ABSOLUTE_ERROR * tile.scale[: tile.found] * error
            drawn = [
                tile.core(tile.agreed(tile.added(residual[place]))) for residual in residuals[: job.samples] or [mean]
            ]
            results.append({"x": torch.stack(drawn).cpu().numpy(), "std": std.cpu().numpy()})
        return results


@dataclass(frozen=True)
class Prepared:
    """A tile as the network takes it, and the way back from the network's residual to coefficients.

    found: components that the request has; base (K, H, W) of the window, scale (K, 1, 1); given (1, C, H', W') and numbers (1, S) for the
    network, which works on the part `cut` (rows, columns) of the window, padded to its multiple: H', W'; agreed: coefficients with the detail
    that both images agree on.
    """

    job: TileRequest
    found: int
    base: Tensor
    scale: Tensor
    given: Tensor
    numbers: Tensor
    correct: Callable[[Tensor], Tensor] | None
    cut: tuple[slice, slice]
    agreed: Callable[[Tensor], Tensor] = lambda x: x

    def inside(self, residual: Tensor) -> Tensor:
        """Without the padding."""
        rows, cols = self.cut
        return residual[:, : rows.stop - rows.start, : cols.stop - cols.start]

    def added(self, residual: Tensor) -> Tensor:
        """Coefficients (K, H, W) of a residual (K, H', W'): the closed forms' base with it, alone where the network did not work."""
        part = (slice(None), *self.cut)
        if self.base[part].shape == self.base.shape:
            return self.base + self.scale * self.inside(residual)
        x = self.base.clone()
        x[part] += self.scale * self.inside(residual)
        return x

    def coefficients(self, residual: Tensor) -> Tensor:
        """Of a residual, consistent with both images where that is wanted."""
        x = self.added(residual)
        return x if self.correct is None else self.correct(x)

    def consistent(self, residual: Tensor) -> Tensor:
        """The residual (K, H', W') after data consistency, (1, K, H', W')."""
        part = (slice(None), *self.cut)
        return _padded(((self.coefficients(residual)[part] - self.base[part]) / self.scale)[None])

    def noise(self, components: int, number: int) -> Tensor:
        """What pair `number` of samples begins with: one of them with this field, the other with its mirror image."""
        place, (rows, cols) = self.job.place, self.cut
        field = gaussian_field(self.job.seed, place.fine_rows[rows], place.fine_cols[cols], components, stream=number)
        return torch.from_numpy(field)[None].to(self.base)

    def core(self, x: Tensor, of_network: bool = False) -> Tensor:
        """The components and pixels that were asked for, of a map of the window or of the network's part of it."""
        job, cut = self.job, self.cut if of_network else (slice(0, None), slice(0, None))
        rows, cols = (
            slice(core.start - seen[part].start, core.stop - seen[part].start)
            for core, seen, part in zip((job.core_rows, job.core_cols), (job.place.fine_rows, job.place.fine_cols), cut)
        )
        return x[..., : self.found, rows, cols]


class Cut:
    """Closed forms of a window, cut to a part of it."""

    def __init__(self, forms: ClosedForms, cut: tuple[slice, slice]) -> None:
        self._forms, self._cut = forms, cut

    def __getattr__(self, name: str) -> Tensor:
        return getattr(self._forms, name)[(slice(None), *self._cut)]


def network_range(core: range, window: range, halo: int) -> range:
    """What the network works on along an axis: `core` with `halo` to each side, out to absolute multiples of MULTIPLE, within the window.

    The window begins at such a multiple and ends at one or at the scene's border, so that the pixels are paired alike in every tile.
    """
    first, last = (core.start - halo) // MULTIPLE * MULTIPLE, -(-(core.stop + halo) // MULTIPLE) * MULTIPLE
    return range(max(window.start, first), min(window.stop, last))


def _together(tiles: list[Prepared]) -> tuple[Tensor, Tensor]:
    """What the network sees of several tiles at once."""
    return _joined([tile.given for tile in tiles]), _joined([tile.numbers for tile in tiles])


def _consistent(tiles: list[Prepared], residual: Tensor) -> Tensor:
    if tiles[0].correct is None:
        return residual
    return _joined([tile.consistent(one) for tile, one in zip(tiles, residual)])


def _joined(parts: list[Tensor]) -> Tensor:
    """As a batch; of one part without a copy."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _heed(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise RunCancelled("The run was cancelled.")


def _padded(x: Tensor) -> Tensor:
    """Repeat the last row and column until both sizes are multiples of the network's; only the scene's far border needs it."""
    height, width = x.shape[-2:]
    if not (height % MULTIPLE or width % MULTIPLE):
        return x
    return F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
