"""Replies in half the bytes: FP16 between 0 and 1 of each component's own range, which FP32 numbers beside the tensor
give back.

Coefficients reach far beyond FP16's largest number and the error of a bare FP16 would follow a component's mean, so
each component (first-but-two axis) is moved and scaled to [-1, 1]; what is lost is below 2.5e-4 of half its range.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

EXTENSION = "hsfusion_half"
_RANGE = ".range"


def halved(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """FP16 tensors of the same names, and for each NAME a NAME.range (2, ...): middle and half range per (row, column)
    plane.
    """
    result: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        if array.ndim < 2 or not array.size or not np.isfinite(array).all():
            result[name] = array
            continue
        low, high = array.min(axis=(-2, -1)), array.max(axis=(-2, -1))
        middle, reach = (low + high) / 2, np.maximum((high - low) / 2, np.float32(1e-30))
        scaled = (array - middle[..., None, None]) / reach[..., None, None]
        result[name] = np.clip(scaled, -1, 1).astype(np.float16)
        result[name + _RANGE] = np.stack([middle, reach]).astype(np.float32)
    return result


def restored(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The FP32 tensors that `halved` was given, to its accuracy; tensors without a range stay as they are."""
    result: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        if name.endswith(_RANGE):
            continue
        ranges = tensors.get(name + _RANGE)
        if ranges is None or ranges.shape != (2, *array.shape[:-2]):
            result[name] = array
            continue
        middle, reach = ranges[..., None, None]
        result[name] = array.astype(np.float32) * reach + middle
    return result
