"""Wald's protocol on the scene itself: both images one scale down, where the HSI is the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..observation import Sampling
from .blocks import Block

LEAST_SIZE = 24  # HSI pixels per axis below which the reduced scene says nothing


def reduced_sampling(sampling: Sampling) -> Sampling:
    """The same ratio and PSF, in pixels, between nested grids."""
    return replace(sampling, shift_y=0.0, shift_x=0.0)


def reduced_block(block: Block, sampling: Sampling) -> Block | None:
    """The block one scale down: its HSI degraded again, its MSI seen through D; None where it is too small.

    The truth of the result is `block.y`, cut to the reduced block's fine window.
    """
    low, support = block.degradation(sampling).masked(block.z, block.z_mask)
    ratio = sampling.ratio
    height, width = (int(int(n // ratio) * ratio + 1e-9) for n in block.y.shape[-2:])
    if min(height, width) < LEAST_SIZE:
        return None
    coarse = int(height // ratio), int(width // ratio)
    shape = (height, width)
    mask = (block.y_mask * (support > 0.98))[:height, :width].astype(np.float32)
    reduced = Block(
        y=np.zeros((len(block.y), *coarse), np.float32),
        z=low[:, :height, :width].astype(np.float32),
        y_mask=np.ones(coarse, np.float32),
        z_mask=mask,
        scene_shape=shape,
        fine_rows=range(height),
        fine_cols=range(width),
        coarse_rows=range(coarse[0]),
        coarse_cols=range(coarse[1]),
    )
    y, y_support = reduced.degradation(reduced_sampling(sampling)).masked(block.y[:, :height, :width], mask)
    return replace(reduced, y=y.astype(np.float32), y_mask=(y_support > 0.98).astype(np.float32))
