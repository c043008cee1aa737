"""One tile through the subspace model: closed forms, network inputs, the mean estimate or samples, data consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .diffusion.samplers import ddim
from .diffusion.schedules import from_card, subsequence
from .errors import HSFusionError, RunCancelled
from .networks.inputs import (
    channel_of,
    condition_channels,
    conditions,
    pad_components,
    scalar_count,
    scalars,
    target_scale,
)
from .networks.subspace_unet import MULTIPLE, SubspaceUNet
from .observation import gaussian_field
from .scene.closed_forms import maximum_a_posteriori
from .scene.model import CoefficientModel
from .scene.tile import ClosedForms, Place

CONSISTENCY_SPREAD = 0.3  # of the expected spread: how far the data may move the network's estimate; the best of 0.3, 0.6, 1.0 on held-out scenes
STD_PER_ABSOLUTE_ERROR = float(np.sqrt(np.pi / 2))  # of a Gaussian


def build_network(settings: dict[str, Any]) -> SubspaceUNet:
    """The network of a card's `settings`: components, width, depth."""
    components = int(settings["components"])
    return SubspaceUNet(
        components,
        condition_channels(components),
        scalar_count(components),
        channel_of("loc", components),
        channel_of("map", components),
        int(settings["width"]),
        int(settings["depth"]),
    )


@dataclass(frozen=True)
class TileRequest:
    """What a tile needs beside its pixels; JSON both ways. `core_rows`, `core_cols` are the absolute fine pixels wanted back."""

    model: CoefficientModel
    place: Place
    core_rows: range
    core_cols: range
    seed: int = 0
    steps: int = 1
    samples: int = 0
    consistency: bool = True

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> TileRequest:
        """Raises HSFusionError naming what is missing or malformed."""
        try:
            place = Place(
                *(range(*map(int, plain["place"][n])) for n in ("fine_rows", "fine_cols", "coarse_rows", "coarse_cols"))
            )
            return cls(
                CoefficientModel.from_dict(plain["model"]),
                place,
                range(*map(int, plain["core_rows"])),
                range(*map(int, plain["core_cols"])),
                int(plain.get("seed", 0)),
                int(plain.get("steps", 1)),
                int(plain.get("samples", 0)),
                bool(plain.get("consistency", True)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HSFusionError(
                f"The tile request is malformed ({error!r}): plugin and backend must be of the same version."
            ) from error


class SubspaceRunner:
    """A loaded subspace model on its device; called with one tile, it returns the tile's core."""

    def __init__(self, card: dict[str, Any], state: dict[str, Tensor], device: str = "cpu") -> None:
        self.components = int(card["components"])
        self.signals = from_card(card["schedule"])
        self.default_steps = int(card["default_steps"])
        self.error_scale = float(card.get("error_scale", 1.0))
        self.device = torch.device(device)
        network = build_network(card["settings"])
        network.load_state_dict(state)
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(
        self, tensors: dict[str, np.ndarray], request: dict[str, Any], cancelled: Callable[[], bool] = lambda: False
    ) -> dict[str, np.ndarray]:
        """y (K, h, w), z (l, H, W), y_mask (h, w), z_mask (H, W) and a TileRequest -> x (S, K, rows, cols) and std (K, rows, cols).

        std is one standard deviation of the expected error of a coefficient. Raises RunCancelled between steps.
        """
        job = TileRequest.from_dict(request)
        self._check(tensors, job)
        y, z, y_mask, z_mask = (
            torch.from_numpy(np.ascontiguousarray(tensors[n], np.float32)).to(self.device)
            for n in ("y", "z", "y_mask", "z_mask")
        )
        found = y.shape[0]
        y = torch.cat([y, y.new_zeros(max(self.components - found, 0), *y.shape[1:])])
        model = pad_components(job.model, self.components)
        forms = ClosedForms(y, z, y_mask, z_mask, model, job.place)
        correct = self._consistency(y, z, y_mask, z_mask, model, job.place) if job.consistency else None
        mean, std, samples = self._estimate(forms, model, job, correct, cancelled)
        rows = slice(job.core_rows.start - job.place.fine_rows.start, job.core_rows.stop - job.place.fine_rows.start)
        cols = slice(job.core_cols.start - job.place.fine_cols.start, job.core_cols.stop - job.place.fine_cols.start)
        x = torch.stack(samples or [mean])[:, :found, rows, cols]
        return {"x": x.cpu().numpy(), "std": std[:found, rows, cols].cpu().numpy()}

    def _check(self, tensors: dict[str, np.ndarray], job: TileRequest) -> None:
        """Raises HSFusionError where tensors and request do not belong together."""
        place, model = job.place, job.model
        fine, coarse = (len(place.fine_rows), len(place.fine_cols)), (len(place.coarse_rows), len(place.coarse_cols))
        components, bands = len(model.y_std), len(model.z_std)
        for name, shape in {"y": (components, *coarse), "z": (bands, *fine), "y_mask": coarse, "z_mask": fine}.items():
            found = tensors[name].shape if name in tensors else "missing"
            if found != shape:
                raise HSFusionError(
                    f"The tile's tensor {name} must have the shape {shape}, but it is {found}: plugin and backend must be of the same version."
                )
        if components > self.components:
            raise HSFusionError(
                f"The tile has {components} components and the model {self.components}: fit the scene with the model's number."
            )
        if place.fine_rows.start % MULTIPLE or place.fine_cols.start % MULTIPLE:
            raise HSFusionError(
                f"The tile must start at a multiple of {MULTIPLE} pixels, but it starts at {place.fine_rows.start}, {place.fine_cols.start}."
            )
        for core, seen in ((job.core_rows, place.fine_rows), (job.core_cols, place.fine_cols)):
            if not seen.start <= core.start < core.stop <= seen.stop:
                raise HSFusionError(
                    f"The tile's core {core.start} to {core.stop} does not lie in its window {seen.start} to {seen.stop}."
                )

    def _consistency(
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

    def _estimate(
        self,
        forms: ClosedForms,
        model: CoefficientModel,
        job: TileRequest,
        correct: Callable[[Tensor], Tensor] | None,
        cancelled: Callable[[], bool],
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        given = _padded(conditions(forms, model)[None]).to(memory_format=torch.channels_last)
        numbers = torch.from_numpy(scalars(model))[None].to(given)
        base, scale = forms.average, target_scale(model, forms.glp)
        height, width = base.shape[-2:]

        def to_coefficients(residual: Tensor) -> Tensor:
            x = base + scale * residual[0, :, :height, :width]
            return x if correct is None else correct(x)

        def denoise(noisy: Tensor, signal: Tensor) -> Tensor:
            if cancelled():
                raise RunCancelled("The run was cancelled.")
            estimate = self.network(noisy, signal.reshape(1).to(noisy), given, numbers).mean
            if correct is None:
                return estimate
            corrected = (to_coefficients(estimate) - base) / scale
            return _padded(corrected[None])

        if cancelled():
            raise RunCancelled("The run was cancelled.")
        silent = given.new_zeros(1, self.components, *given.shape[-2:])
        estimate = self.network(silent, given.new_zeros(1), given, numbers)
        mean = to_coefficients(estimate.mean)
        std = self.error_scale * STD_PER_ABSOLUTE_ERROR * scale * estimate.log_error[0, :, :height, :width].exp()
        samples: list[Tensor] = []
        levels = self.signals[subsequence(len(self.signals) - 1, job.steps or self.default_steps)]
        for number in range(job.samples):
            noise = gaussian_field(job.seed, job.place.fine_rows, job.place.fine_cols, self.components, stream=number)
            start = _padded(torch.from_numpy(noise)[None].to(given))
            residual = ddim(denoise, start, levels)
            samples.append(base + scale * residual[0, :, :height, :width])
        return mean, std, samples


def _padded(x: Tensor) -> Tensor:
    """Repeat the last row and column until both sizes are multiples of the network's; only the scene's far border needs it."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
