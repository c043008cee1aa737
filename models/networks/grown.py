"""Weights of a network that knew fewer closed forms, as those of one that knows more: what is new begins at zero, and
nothing changes by it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .inputs import COMMON_SCALARS
from .unfolded import Unfolded


def grown(state: Mapping[str, Tensor], network: Unfolded) -> dict[str, Tensor]:
    """`state` with zeros for the conditions, scalars and gates that come last in the lists of `network` and that it
    lacks.

    A state that lacks nothing, or that belongs to another kind of network, comes back as it is.
    """
    components, found = network.components, dict(state)
    stem = found.get("first.stem.weight")
    if stem is None or stem.shape[1] % (4 * components):
        return found
    conditions = stem.shape[1] // (4 * components) - 1
    wanted = network.state_dict()
    for part in ("first", "second"):
        for name, axis, place in (
            ("stem.weight", 1, 4 * components * (1 + conditions)),
            ("embed.0.weight", 1, -COMMON_SCALARS),
            ("head.weight", 0, None),
            ("head.bias", 0, None),
        ):
            key = f"{part}.{name}"
            lacking = wanted[key].shape[axis] - found[key].shape[axis]
            found[key] = _inserted(found[key], found[key].shape[axis] if place is None else place, lacking, axis)
    return found


def _inserted(x: Tensor, place: int, count: int, axis: int) -> Tensor:
    """x with `count` zeros along `axis` before `place`."""
    before, after = x.tensor_split([place], dim=axis)
    shape = list(x.shape)
    shape[axis] = max(count, 0)
    return torch.cat([before, x.new_zeros(shape), after], dim=axis)
