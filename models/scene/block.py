"""What a scene is estimated from: one or several blocks of both images, small enough for memory, with their place in the scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Callable

import numpy as np

from ..errors import HSFusionError
from ..observation import Degradation, Sampling, fine_seen

LEAST_SAMPLES = 36  # coarse pixels valid in both images, below which nothing is fitted

WHOLE_SUPPORT = 0.98  # share of a coarse pixel's PSF on valid MSI pixels from which the pixel counts as seen by both


@dataclass(frozen=True)
class Block:
    """y (L, h, w) and z (l, H, W) of one place, finite; masks are 1 where valid; ranges are absolute pixel numbers of the scene.

    The fine window should exceed the coarse one by the PSF's reach, except at the scene's border.
    """

    y: np.ndarray
    z: np.ndarray
    y_mask: np.ndarray
    z_mask: np.ndarray
    scene_shape: tuple[int, int]
    fine_rows: range
    fine_cols: range
    coarse_rows: range
    coarse_cols: range

    def degradation(self, sampling: Sampling) -> Degradation:
        """D from this block's fine window to its coarse one."""
        return Degradation(
            sampling, self.scene_shape, self.fine_rows, self.fine_cols, self.coarse_rows, self.coarse_cols
        )


def part(block: Block, rows: slice, cols: slice, sampling: Sampling) -> Block:
    """Some coarse rows and columns of a block, with a fine window that reaches three coarse pixels beyond them where the block does."""
    coarse, ratio = (rows, cols), sampling.ratio
    spans = [
        range(int((low.start + cut.start - 3) * ratio), int(np.ceil((low.start + cut.stop + 3) * ratio)))
        for cut, low in zip(coarse, (block.coarse_rows, block.coarse_cols))
    ]
    if sampling.displacement is not None:
        there = (block.coarse_rows[rows], block.coarse_cols[cols])
        spans = list(fine_seen(there, block.scene_shape, sampling, int(np.ceil(3.5 * ratio))))
    fine = [
        slice(max(high.start, span.start) - high.start, min(high.stop, span.stop) - high.start)
        for span, high in zip(spans, (block.fine_rows, block.fine_cols))
    ]
    return replace(
        block,
        y=block.y[:, coarse[0], coarse[1]],
        y_mask=block.y_mask[coarse[0], coarse[1]],
        z=block.z[:, fine[0], fine[1]],
        z_mask=block.z_mask[fine[0], fine[1]],
        fine_rows=block.fine_rows[fine[0]],
        fine_cols=block.fine_cols[fine[1]],
        coarse_rows=block.coarse_rows[coarse[0]],
        coarse_cols=block.coarse_cols[coarse[1]],
    )


def middle(block: Block, size: int, sampling: Sampling) -> Block:
    """The middle `size` x `size` coarse pixels of a block."""
    starts = [max(0, (length - size) // 2) for length in block.y.shape[-2:]]
    rows, cols = (slice(start, min(start + size, n)) for start, n in zip(starts, block.y.shape[-2:]))
    return part(block, rows, cols, sampling)


def whole_block(
    y: np.ndarray, z: np.ndarray, y_mask: np.ndarray | None = None, z_mask: np.ndarray | None = None
) -> Block:
    """The block that is the whole scene."""
    (h, w), (height, width) = y.shape[-2:], z.shape[-2:]
    y_mask = np.ones((h, w), np.float32) if y_mask is None else y_mask
    z_mask = np.ones((height, width), np.float32) if z_mask is None else z_mask
    return Block(y, z, y_mask, z_mask, (height, width), range(height), range(width), range(h), range(w))


def widened(block: Block, margin: int) -> Block:
    """The block with so many HSI pixels around of which nothing is known, for a displacement that needs room."""
    if margin == 0:
        return block
    edge = ((margin, margin), (margin, margin))
    return replace(
        block,
        y=np.pad(block.y, ((0, 0), *edge)),
        y_mask=np.pad(block.y_mask, edge),
        coarse_rows=range(block.coarse_rows.start - margin, block.coarse_rows.stop + margin),
        coarse_cols=range(block.coarse_cols.start - margin, block.coarse_cols.stop + margin),
    )


@dataclass(frozen=True)
class Samples:
    """Coarse pixels at which both images are valid, over all blocks: spectra (N, L) and the MSI seen through D (N, l)."""

    spectra: np.ndarray
    low: np.ndarray
    valid: list[np.ndarray] = field(default_factory=list)  # per block, bool (h, w)

    def maps(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Values (N, m) of the samples back in their places: one (m, h, w) per block, NaN where invalid."""
        return self.made(values.__getitem__)

    def made(self, values: Callable[[slice], np.ndarray]) -> Iterator[np.ndarray]:
        """The same of values (n, m) that a call makes for some of the N samples at a time."""
        start = 0
        for good in self.valid:
            count = int(good.sum())
            there = values(slice(start, start + count))
            image = np.full((there.shape[1], *good.shape), np.nan)
            image[:, good] = there.T
            yield image
            start += count


def valid_pixels(block: Block, sampling: Sampling) -> np.ndarray:
    """Coarse pixels whose PSF lies almost wholly on valid MSI pixels, bool (h, w)."""
    support = block.degradation(sampling)(block.z_mask.astype(np.float32))
    return (block.y_mask > 0) & (support > WHOLE_SUPPORT)


def windows(blocks: list[Block], sampling: Sampling, most: int, size: int) -> list[Block]:
    """The blocks themselves, or, where they hold more than `most` coarse pixels, windows of size x size spread over them, at least half valid."""
    if sum(block.y[0].size for block in blocks) <= most:
        return blocks
    found = []
    for block in blocks:
        valid = valid_pixels(block, sampling)
        cuts = [[slice(s, s + size) for s in range(0, max(n - size, 0) + 1, size)] for n in valid.shape]
        found += [(block, rows, cols) for rows, cols in product(*cuts) if valid[rows, cols].mean() >= 0.5]
    if not found:
        return blocks
    picks = np.linspace(0, len(found) - 1, min(len(found), max(1, most // size**2))).round().astype(int)
    return [part(*found[pick], sampling) for pick in picks]


def coarse_samples(blocks: list[Block], sampling: Sampling) -> Samples:
    """Both images at the coarse scale; raises HSFusionError where hardly a pixel is valid in both."""
    spectra, low, valid = [], [], []
    for block in blocks:
        good = valid_pixels(block, sampling)
        values, _ = block.degradation(sampling).masked(block.z, block.z_mask)
        spectra.append(block.y[:, good].T)
        low.append(values[:, good].T)
        valid.append(good)
    samples = Samples(np.concatenate(spectra).astype(np.float64), np.concatenate(low).astype(np.float64), valid)
    if len(samples.spectra) < LEAST_SAMPLES:
        raise HSFusionError(
            f"Only {len(samples.spectra)} HSI pixels are valid in both rasters; at least {LEAST_SAMPLES} are needed: "
            "check nodata values, the mask and the overlap."
        )
    return samples
