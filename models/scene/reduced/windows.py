"""Parts of a block: full-band methods interpolate to the core of a tile only, since all bands of its halo would be most of the memory."""

from __future__ import annotations

import numpy as np

from ...observation import Sampling, Upsampling
from ..block import Block


def inner(block: Block, rows: range, cols: range) -> tuple[slice, slice]:
    """The fine pixels rows x cols (absolute) as slices of the block's fine window."""
    return (
        slice(rows.start - block.fine_rows.start, rows.stop - block.fine_rows.start),
        slice(cols.start - block.fine_cols.start, cols.stop - block.fine_cols.start),
    )


def upsampling(block: Block, sampling: Sampling, rows: range, cols: range) -> Upsampling:
    """Cubic interpolation from the block's coarse pixels to the fine pixels rows x cols."""
    return Upsampling(sampling, block.scene_shape, rows, cols, block.coarse_rows, block.coarse_cols)


def interpolated(block: Block, sampling: Sampling, rows: range, cols: range) -> np.ndarray:
    """up(Y) (L, rows, cols), masked HSI pixels left out."""
    return upsampling(block, sampling, rows, cols).masked(block.y, block.y_mask)[0]
