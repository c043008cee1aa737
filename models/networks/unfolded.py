"""The network of `hsfusion-base`: a mean network, the physics of the pair, and a diffusion network of what both leave.

One step of an unfolded optimisation (Adler and Oktem 2018 learn such steps for other inverse problems): the mean
estimate is made consistent with both images before the second network sees it, so that the second learns only what
neither the data nor the first could say.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .inputs import channel_of, condition_channels, scalar_count
from .subspace_unet import Estimate, SubspaceUNet

GATES = ("loc", "map", "laws", "mixtures")
FIRST_LEVELS, LEVELS = 2, 3


class Unfolded(nn.Module):
    """Residuals are those of the truth from the closed forms' base, in units of their expected spread: (B, K, H, W), H,
    W multiples of 8.
    """

    def __init__(self, components: int, width: int, depth: int) -> None:
        super().__init__()
        self.components = components
        channels, numbers = condition_channels(components), scalar_count(components)
        gates = tuple(channel_of(name, components) for name in GATES)
        self.first = SubspaceUNet(components, channels, numbers, gates, width, depth, FIRST_LEVELS)
        self.second = SubspaceUNet(components, channels + 2 * components, numbers, gates, width, depth, LEVELS)

    def mean(self, conditions: Tensor, scalars: Tensor) -> Tensor:
        """The first network's estimate of the residual, before data consistency."""
        return self.first(None, scalars.new_zeros(len(scalars)), conditions, scalars).mean

    def forward(
        self,
        noisy: Tensor | None,
        signal: Tensor,
        conditions: Tensor,
        scalars: Tensor,
        mean: Tensor,
        consistent: Tensor,
    ) -> Estimate:
        """x0 from `noisy` at signal amplitude `signal` (B,), given the first estimate before (`mean`) and after data
        consistency.

        noisy None: where the signal is 0.
        """
        rest = self.second(noisy, signal, conditions, scalars, consistent, consistent - mean)
        return Estimate(consistent + rest.mean, rest.log_error)


def build_network(settings: dict[str, Any]) -> Unfolded:
    """The network of a card's `settings`: components, width, depth."""
    return Unfolded(int(settings["components"]), int(settings["width"]), int(settings["depth"]))
