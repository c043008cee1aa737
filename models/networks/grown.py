"""Weights of a network that knew fewer closed forms, as those of one that knows more: what is new begins at zero, and nothing changes by it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .inputs import COMMON_SCALARS, CONDITION_NAMES, SCALARS_PER_COMPONENT
from .unfolded import GATES, Unfolded


def grown(state: Mapping[str, Tensor], network: Unfolded) -> dict[str, Tensor]:
    """`state` with zeros for the conditions, scalars and gates that come last in the lists of `network` and that it lacks.

    A state that lacks nothing, or that belongs to another kind of network, comes back as it is.
    """
    components, found = network.components, dict(state)
    stem = found.get("first.stem.weight")
    if stem is None or stem.shape[1] % (4 * components):
        return found
    conditions = stem.shape[1] // (4 * components) - 1
    for part in ("first", "second"):
        for name, after, lacking in (
            ("stem.weight", 4 * components * (1 + conditions), 4 * components * (len(CONDITION_NAMES) - conditions)),
            ("embed.0.weight", -COMMON_SCALARS, _lacking_scalars(found[f"{part}.embed.0.weight"], network)),
        ):
            found[f"{part}.{name}"] = _inserted(found[f"{part}.{name}"], after, lacking, axis=1)
        for name in ("head.weight", "head.bias"):
            old = found[f"{part}.{name}"]
            found[f"{part}.{name}"] = _inserted(old, len(old), 4 * (2 + len(GATES)) * components - len(old), axis=0)
    return found


def _lacking_scalars(weight: Tensor, network: Unfolded) -> int:
    level_features = network.first.embed[0].in_features - SCALARS_PER_COMPONENT * network.components - COMMON_SCALARS
    return SCALARS_PER_COMPONENT * network.components + COMMON_SCALARS + level_features - weight.shape[1]


def _inserted(x: Tensor, place: int, count: int, axis: int) -> Tensor:
    """x with `count` zeros along `axis` before `place`."""
    before, after = x.tensor_split([place], dim=axis)
    shape = list(x.shape)
    shape[axis] = max(count, 0)
    return torch.cat([before, x.new_zeros(shape), after], dim=axis)
