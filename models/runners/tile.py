"""A tile on the device: its pixels with the model of its scene, and what the network makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.subspace_unet import MULTIPLE
from ..observation import gaussian_field
from ..scene.laws.observation import Observation
from ..scene.methods.subspace import ClosedForms, agreed
from ..scene.model import CoefficientModel
from ..scene.window import Place, Window
from ..wire.tile import TileRequest

CONSISTENCY_SPREAD = 0.3  # of the expected spread: how far the data may move the network's estimate (held-out scenes)


@dataclass(frozen=True)
class TilePixels:
    """y (K, h, w), z (l, H, W) and masks of a place; `model` knows that the noise of z was filtered."""

    y: Tensor
    z: Tensor
    y_mask: Tensor
    z_mask: Tensor
    model: CoefficientModel
    place: Place

    def closed_forms(self) -> ClosedForms:
        """All closed forms of these pixels."""
        return ClosedForms(self.y, self.z, self.y_mask, self.z_mask, self.model, self.place)

    def consistent(self, x: Tensor) -> Tensor:
        """Soft, noise-weighted data consistency: the MAP estimate around coefficients x (K, H, W)."""
        down = self.place.degradation(self.model)
        seen = Observation(self.y, self.z, self.y_mask, self.z_mask, down, self.model)
        return seen.map(x, CONSISTENCY_SPREAD * self.model.target_std).float()

    def agreed(self, x: Tensor) -> Tensor:
        """Coefficients with as much of their detail as both images agree on."""
        return agreed(x, self.z_mask, self.model, self.place)


@dataclass(frozen=True)
class Prepared:
    """A tile as the network takes it, and the way back from the network's residual to coefficients.

    found: components that the request has; base (K, H, W) of the fine window, scale (K, 1, 1); given (1, C, H', W') and
    numbers (1, S) for the network, which works on the window `seen`, padded to its multiple: H', W'.
    """

    job: TileRequest
    pixels: TilePixels
    found: int
    base: Tensor
    scale: Tensor
    given: Tensor
    numbers: Tensor
    seen: Window

    @property
    def cut(self) -> tuple[slice, slice]:
        """What the network works on, as slices of the fine window."""
        return self.seen.inside(self.job.place.fine)

    def inside(self, residual: Tensor) -> Tensor:
        """Without the padding."""
        height, width = self.seen.shape
        return residual[:, :height, :width]

    def added(self, residual: Tensor) -> Tensor:
        """Coefficients (K, H, W) of a residual (K, H', W'): the closed forms' base with it, alone where the network did
        not work.
        """
        if self.seen == self.job.place.fine:
            return self.base + self.scale * self.inside(residual)
        x = self.base.clone()
        x[(slice(None), *self.cut)] += self.scale * self.inside(residual)
        return x

    def coefficients(self, residual: Tensor) -> Tensor:
        """Of a residual, consistent with both images where that is wanted."""
        x = self.added(residual)
        return self.pixels.consistent(x) if self.job.consistency else x

    def consistent(self, residual: Tensor) -> Tensor:
        """The residual (K, H', W') after data consistency, (1, K, H', W')."""
        part = (slice(None), *self.cut)
        return padded(((self.coefficients(residual)[part] - self.base[part]) / self.scale)[None])

    def finished(self, residual: Tensor) -> Tensor:
        """Coefficients (found, rows, cols) of the core, with the detail that both images agree on."""
        return self.core(self.pixels.agreed(self.added(residual)))

    def noise(self, components: int, number: int) -> Tensor:
        """What pair `number` of samples begins with: one of them with this field, the other with its mirror image."""
        field = gaussian_field(self.job.seed, *self.seen.axes, components, stream=number)
        return torch.from_numpy(field)[None].to(self.base)

    def core(self, x: Tensor, of_network: bool = False) -> Tensor:
        """The components and pixels that were asked for, of a map of the fine window or of the network's part of it."""
        window = self.seen if of_network else self.job.place.fine
        return x[(..., slice(self.found), *self.job.core.inside(window))]


class Cut:
    """Closed forms of a window, cut to a part of it."""

    def __init__(self, forms: ClosedForms, cut: tuple[slice, slice]) -> None:
        self._forms, self._cut = forms, cut

    def __getattr__(self, name: str) -> Tensor:
        return getattr(self._forms, name)[(slice(None), *self._cut)]


def network_window(core: Window, window: Window, halo: int) -> Window:
    """What the network works on: `core` with `halo` to each side, out to absolute multiples of MULTIPLE, within the
    window.

    The window begins at such a multiple and ends at one or at the scene's border, so that the pixels are paired alike
    in every tile.
    """
    return Window(
        *(
            range(
                max(outer.start, (inner.start - halo) // MULTIPLE * MULTIPLE),
                min(outer.stop, -(-(inner.stop + halo) // MULTIPLE) * MULTIPLE),
            )
            for inner, outer in zip(core.axes, window.axes)
        )
    )


def padded(x: Tensor) -> Tensor:
    """Repeat the last row and column until both sizes are multiples of the network's; only the scene's far border needs
    it.
    """
    height, width = x.shape[-2:]
    if not (height % MULTIPLE or width % MULTIPLE):
        return x
    return F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
