"""What estimates are made from: the whole overlap where it is small, else blocks spread over it."""

from __future__ import annotations

import numpy as np

from ....models.heap import give_back
from ....models.observation import Sampling, fine_seen
from ....models.scene.block import Block
from ....models.scene.sensors.placing import FIELD_WINDOW, FIELD_WINDOWS, field_windows, spread
from ....models.scene.window import Place, Window
from ..run.progress import Progress
from .pair import Pair

LARGEST_WHOLE = 192 * 192  # coarse pixels up to which the whole overlap is one block
# MSI values in memory at a time (0.33 GB, of which there are a few copies): a block for the check at reduced resolution
# of 8 bands at ratio 20.
MOST_VALUES = 82_000_000
# coarse pixels per axis; more where the ratio is so large that hardly a pixel would be left of it one scale down
BLOCK = 48
REDUCED = 8
SMALL_BLOCKS, LARGE_BLOCKS = 3, 2  # per axis
REACH = 4  # HSI pixels around a block: room for any PSF of the search


def read_blocks(pair: Pair, sampling: Sampling, progress: Progress, size: int = 0, per_axis: int = 0) -> list[Block]:
    """The whole overlap as one block, or per_axis^2 blocks of size x size HSI pixels spread evenly over a larger one; 0
    = as many as estimates need.

    Where `sampling` holds a displacement, the MSI is read where the HSI's pixels see it, and of a whole overlap the
    HSI's pixels around it too.
    """
    rows, cols = pair.alignment.coarse_shape
    if is_small(pair):
        m = sampling.margin
        windows = [Window(range(-m, rows + m), range(-m, cols + m))]
    else:
        most = MOST_VALUES / (sampling.ratio**2 * len(pair.msi_bands))  # HSI pixels
        size = min(size or max(BLOCK, REDUCED * int(np.ceil(sampling.ratio))), int(most**0.5))
        per_axis = per_axis or (SMALL_BLOCKS if size <= BLOCK else LARGE_BLOCKS)
        windows = [
            Window(range(r.start, r.stop), range(c.start, c.stop))
            for r in spread(rows, size, per_axis)
            for c in spread(cols, size, per_axis)
        ]
        windows = _as_many(windows, max(1, int(most / size**2)))
    blocks = []
    for window in windows:
        progress.check()
        blocks.append(read_block(pair, sampling, window))
    pair.close()  # GDAL keeps blocks of it in memory, and the tiles have handles of their own
    give_back()
    return blocks


def is_small(pair: Pair) -> bool:
    """Whether the whole overlap is one block."""
    rows, cols = pair.alignment.coarse_shape
    values = rows * cols * pair.alignment.ratio**2 * len(pair.msi_bands)
    return rows * cols <= LARGEST_WHOLE and values <= MOST_VALUES


def _as_many(windows: list[tuple[range, range]], most: int) -> list[tuple[range, range]]:
    """At most so many of them, spread over all."""
    if len(windows) <= most:
        return windows
    picks = (np.arange(most) + 0.5) * len(windows) / most
    return [windows[int(pick)] for pick in picks]


def field_blocks(pair: Pair, blocks: list[Block], sampling: Sampling, progress: Progress) -> list[Block]:
    """What a displacement is fitted to: small windows all over the scene, since it may be another everywhere."""
    if is_small(pair):
        whole = blocks if sampling.margin == 0 else read_blocks(pair, sampling, progress)
        return field_windows(whole, sampling)
    return read_blocks(pair, sampling, progress, FIELD_WINDOW, FIELD_WINDOWS)


def read_block(pair: Pair, sampling: Sampling, coarse: Window) -> Block:
    """A window of HSI pixels with the MSI that they see."""
    shape, ratio = pair.alignment.scene_shape, sampling.ratio
    reach = int(np.ceil(REACH * ratio))
    if sampling.displacement is not None:
        fine = Window(*fine_seen(coarse.axes, shape, sampling, reach))
    else:
        seen = Window(*(range(int(axis.start * ratio), int(np.ceil(axis.stop * ratio))) for axis in coarse.axes))
        fine = (seen & Window.whole(shape)).grown(reach, shape)
    y, y_mask = pair.read_hsi(*coarse.axes)
    z, z_mask = pair.read_msi(*fine.axes)
    return Block(y, z, y_mask, z_mask, shape, Place(fine, coarse))
