"""One tile through a full-band model, the papers' own form: fixed windows of the training size, sampled each on its
own, and blended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..diffusion.objectives import Residual, make_denoiser
from ..diffusion.schedules import from_card
from ..errors import HSFusionError
from ..listener import heed, never
from ..networks.ddpm_fus import DDPMFus
from ..networks.ddrf import DDRF, SelfConditioned
from ..networks.hsr_diff import CDFormer
from ..observation import gaussian_field
from ..scene.tiles.fixed_windows import Windows
from ..scene.window import Window
from ..wire.full_band import FullBandRequest
from .sampling import SamplingPlan
from .weights import check_size

NETWORKS: dict[str, type[nn.Module]] = {"ddpm-fus": DDPMFus, "hsr-diff": CDFormer, "ddrf": DDRF}
PIXELS_AT_ONCE = {
    "cpu": 1 << 14,
    "cuda": 1 << 18,
}  # fine pixels of the windows in one batch: memory, and how soon a cancel is heard
STREAMS = 1 << 16  # of noise per step: more than there are samples
LEAST_SUPPORT = 0.5  # share of the interpolation's weight on valid HSI pixels


class FullBandRunner:
    """A loaded full-band model on its device; called with one tile, it returns the tile's core."""

    Request = FullBandRequest

    def __init__(self, card: dict[str, Any], state: dict[str, Tensor], device: str = "cpu") -> None:
        self.device = torch.device(device)
        try:
            self.bands, self.msi_bands = int(card["bands"]), int(card["msi_bands"])
            self.windows = Windows(int(card["window"]), int(card["overlap"]))
            self.plan = SamplingPlan.of_card(card)
            self.residual = bool(card.get("residual", False))
            self.residual_scale = float(card.get("residual_scale", 1.0))
            settings = {"hsi_bands": self.bands, "msi_bands": self.msi_bands, **card["settings"]}
            check_size(lambda: NETWORKS[card["architecture"]](**settings), state)
            network = NETWORKS[card["architecture"]](**settings)
            network.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in state.items()})
            objective, scale_input = card["objective"], bool(card.get("scale_input", False))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise HSFusionError(
                f"The model's card does not fit its weights ({' '.join(str(error).split())[:200]}): copy or download "
                "the model again."
            ) from error
        if self.windows.size % network.multiple:
            raise HSFusionError(
                f"The model's window must be a multiple of {network.multiple} pixels, but it is {self.windows.size}: "
                "copy or download the model again."
            )
        self.network = network.eval().to(self.device)
        self.denoiser = make_denoiser(objective, self.network, from_card(card["schedule"]), scale_input)

    @torch.inference_mode()
    def __call__(
        self,
        tensors: Mapping[str, np.ndarray],
        request: FullBandRequest | Mapping[str, Any],
        cancelled: Callable[[], bool] = never,
    ) -> dict[str, np.ndarray]:
        """y (L, h, w), z (l, H, W), y_mask (h, w), z_mask (H, W) in the rasters' units and a FullBandRequest -> x (L,
        rows, cols).

        With two samples or more x is their mean, and std (L, rows, cols) their standard deviation, blended as they are.
        Raises RunCancelled between steps.
        """
        job = FullBandRequest.from_message(request)
        self._check(tensors, job)
        y, z, y_mask, z_mask = (
            torch.from_numpy(np.ascontiguousarray(tensors[n], np.float32)).to(self.device)
            for n in ("y", "z", "y_mask", "z_mask")
        )
        offset, scale = (z.new_tensor(values)[:, None, None] for values in (job.msi_offset, job.msi_scale))
        y, z = y / job.hsi_scale, (z - offset) / scale
        core = torch.zeros(self.bands, *job.core.shape, device=self.device)
        spread = torch.zeros_like(core) if job.samples > 1 else None
        by_row, by_col = (self.windows.weights(length) for length in job.scene_shape)
        for places in self._batches(job):
            given = [self._conditions(y, z, y_mask, z_mask, job, *place) for place in places]
            hsi_up, msi = (torch.stack(parts) for parts in zip(*given))
            mean, std = self._estimate(hsi_up, msi, places, job, cancelled)
            for number, (top, left) in enumerate(places):
                window = self.windows.window(top, left)
                shared = window & job.core
                into, (of_rows, of_cols) = (slice(None), *shared.inside(job.core)), shared.inside(window)
                weight = np.outer(by_row[top][of_rows], by_col[left][of_cols])
                weight = core.new_tensor(weight) * job.hsi_scale
                core[into] += weight * mean[number, :, of_rows, of_cols]
                if spread is not None and std is not None:
                    spread[into] += weight * std[number, :, of_rows, of_cols]
        found = {"x": core.cpu().numpy()}
        return found if spread is None else {**found, "std": spread.cpu().numpy()}

    def _check(self, tensors: Mapping[str, np.ndarray], job: FullBandRequest) -> None:
        """Raises HSFusionError where tensors, request and model do not belong together."""
        job.check_tensors(tensors, {"bands": self.bands, "msi_bands": self.msi_bands})
        needed = self.windows.place(job.core, job.scene_shape, job.sampling)
        for name, seen in vars(job.place).items():
            if getattr(needed, name) not in seen:
                raise HSFusionError(
                    f"The tile's {name} window must hold all that its core needs: plugin and backend must be of the "
                    "same version."
                )
        if {job.msi_scale.shape, job.msi_offset.shape} != {(self.msi_bands,)}:
            raise HSFusionError("The tile's scales must be one for the HSI and one per MSI band, with as many offsets.")

    def _batches(self, job: FullBandRequest) -> Iterator[list[tuple[int, int]]]:
        """(row, col) of the windows that touch the core, as many at once as are worked on together."""
        places = [
            (row, col)
            for row in self.windows.touching(job.core.rows, job.scene_shape[0])
            for col in self.windows.touching(job.core.cols, job.scene_shape[1])
        ]
        count = max(1, PIXELS_AT_ONCE.get(self.device.type, PIXELS_AT_ONCE["cpu"]) // self.windows.size**2)
        for start in range(0, len(places), count):
            yield places[start : start + count]

    def _conditions(
        self, y: Tensor, z: Tensor, y_mask: Tensor, z_mask: Tensor, job: FullBandRequest, top: int, left: int
    ) -> tuple[Tensor, Tensor]:
        """up(Y) (L, size, size) and Z (l, size, size) of one window; unknown pixels have the window's mean, a short
        scene is mirrored.
        """
        place = job.place
        window = self.windows.window(top, left) & Window.whole(job.scene_shape)
        hsi_up, support = place.upsampling(job, window).masked(y, y_mask)
        at = window.inside(place.fine)
        parts = (_filled(hsi_up, support >= LEAST_SUPPORT), _filled(z[(slice(None), *at)], z_mask[at] > 0))
        return parts if window.shape == (self.windows.size, self.windows.size) else tuple(map(self._mirrored, parts))

    def _mirrored(self, image: Tensor) -> Tensor:
        """(C, H, W) -> (C, size, size)."""
        for axis in (1, 2):
            index = np.mod(np.arange(self.windows.size), 2 * image.shape[axis])
            index = np.where(index >= image.shape[axis], 2 * image.shape[axis] - 1 - index, index)
            image = image.index_select(axis, torch.from_numpy(index).to(image.device))
        return image

    def _estimate(
        self,
        hsi_up: Tensor,
        msi: Tensor,
        places: list[tuple[int, int]],
        job: FullBandRequest,
        cancelled: Callable[[], bool],
    ) -> tuple[Tensor, Tensor | None]:
        """Mean (B, L, size, size) of the samples and, of two or more, their standard deviation."""
        base = Residual(hsi_up if self.residual else None, self.residual_scale)
        bound: dict[str, Any] = {"msi": msi, "hsi_up": hsi_up}
        if isinstance(self.network, CDFormer):
            heed(cancelled)
            bound["features"] = self.network.encode(msi, hsi_up)  # knows no level: once for all steps and samples
        mean, square = torch.zeros_like(hsi_up), torch.zeros_like(hsi_up)
        for sample in range(job.samples):
            denoise = partial(self.denoiser, **bound)
            denoise = SelfConditioned(denoise) if isinstance(self.network, DDRF) else denoise

            def step(x: Tensor, level: Tensor, denoise: Callable[..., Tensor] = denoise) -> Tensor:
                heed(cancelled)
                return denoise(x, level)

            start, fresh = self._noise(places, job.seed, sample), partial(self._fresh, places, job.seed, sample)
            found = self.plan.draw(step, start, base, fresh, job.sampler, job.steps)
            apart = found - mean
            mean = mean + apart / (sample + 1)
            square = square + apart * (found - mean)
        return mean, (square / (job.samples - 1)).sqrt() if job.samples > 1 else None

    def _fresh(self, places: list[tuple[int, int]], seed: int, sample: int, step: int) -> Tensor:
        """The noise that a sampler adds after a step."""
        return self._noise(places, seed, sample + STREAMS * (step + 1))

    def _noise(self, places: list[tuple[int, int]], seed: int, stream: int) -> Tensor:
        """(B, L, size, size), a function of the absolute position."""
        size = self.windows.size
        fields = [
            gaussian_field(seed, range(top, top + size), range(left, left + size), self.bands, stream)
            for top, left in places
        ]
        return torch.from_numpy(np.stack(fields)).to(self.device)


def _filled(image: Tensor, known: Tensor) -> Tensor:
    """(C, H, W) with the mean of the known pixels where nothing is known; 0 where nothing is at all."""
    if bool(known.all()):
        return image
    mean = (image * known).sum(dim=(1, 2), keepdim=True) / known.sum().clamp_min(1)
    return torch.where(known, image, mean)
