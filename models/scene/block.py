"""What a scene is estimated from: one or several blocks of both images, small enough for memory, with their place in
the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Callable

import numpy as np

from ..errors import HSFusionError
from ..observation import Degradation, Sampling, Upsampling, fine_seen
from .window import Place, Window

LEAST_SAMPLES = 36  # coarse pixels valid in both images, below which nothing is fitted

WHOLE_SUPPORT = 0.98  # share of a coarse pixel's PSF on valid MSI pixels from which the pixel counts as seen by both


@dataclass(frozen=True)
class Block:
    """y (L, h, w) and z (l, H, W) of one place of a scene, finite; masks are 1 where valid.

    y holds spectra in the HSI's units and z the MSI in its own, or, after `SceneModel.standardised`, coefficients and
    the standardised MSI. The fine window should exceed the coarse one by the PSF's reach, except at the scene's border.
    """

    y: np.ndarray
    z: np.ndarray
    y_mask: np.ndarray
    z_mask: np.ndarray
    scene_shape: tuple[int, int]
    place: Place

    @property
    def fine_rows(self) -> range:
        """Absolute MSI rows."""
        return self.place.fine.rows

    @property
    def fine_cols(self) -> range:
        """Absolute MSI columns."""
        return self.place.fine.cols

    @property
    def coarse_rows(self) -> range:
        """Absolute HSI rows."""
        return self.place.coarse.rows

    @property
    def coarse_cols(self) -> range:
        """Absolute HSI columns."""
        return self.place.coarse.cols

    @property
    def images(self) -> dict[str, np.ndarray]:
        """Both images and their masks by name, as a request carries them."""
        return {"y": self.y, "z": self.z, "y_mask": self.y_mask, "z_mask": self.z_mask}

    def degradation(self, sampling: Sampling) -> Degradation:
        """D from this block's fine window to its coarse one."""
        return Degradation(sampling, self.scene_shape, *self.place.fine.axes, *self.place.coarse.axes)

    def upsampling(self, sampling: Sampling, core: Window | None = None) -> Upsampling:
        """Cubic interpolation from this block's coarse pixels to its fine ones, or to the part `core` of them."""
        return Upsampling(sampling, self.scene_shape, *(core or self.place.fine).axes, *self.place.coarse.axes)

    def interpolated(self, sampling: Sampling, core: Window | None = None) -> np.ndarray:
        """The interpolated HSI (L, rows, cols) of the block or of the part `core`; masked HSI pixels are left out.

        All bands of a tile's halo would be most of its memory, so methods ask for its core.
        """
        return self.upsampling(sampling, core).masked(self.y, self.y_mask)[0]

    def cut(self, place: Place) -> Block:
        """The part of the block that lies in `place`."""
        place = place & self.place
        fine, coarse = place.fine.inside(self.place.fine), place.coarse.inside(self.place.coarse)
        return replace(
            self,
            y=self.y[(slice(None), *coarse)],
            z=self.z[(slice(None), *fine)],
            y_mask=self.y_mask[coarse],
            z_mask=self.z_mask[fine],
            place=place,
        )


def part(block: Block, rows: slice, cols: slice, sampling: Sampling, reach: float | None = None) -> Block:
    """Some coarse rows and columns of a block, with the MSI's pixels as far as `reach` around them (three HSI
    pixels).
    """
    coarse, ratio = block.place.coarse.part(rows, cols), sampling.ratio
    if sampling.displacement is not None:
        spans = fine_seen(coarse.axes, block.scene_shape, sampling, int(np.ceil(reach or 3.5 * ratio)))
        return block.cut(Place(Window(*spans), coarse))
    reach = 3 * ratio if reach is None else reach
    spans = (range(int(axis.start * ratio - reach), int(np.ceil(axis.stop * ratio + reach))) for axis in coarse.axes)
    return block.cut(Place(Window(*spans), coarse))


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
    place = Place(Window.whole((height, width)), Window.whole((h, w)))
    return Block(y, z, y_mask, z_mask, (height, width), place)


def widened(block: Block, margin: int) -> Block:
    """The block with so many HSI pixels around of which nothing is known, for a displacement that needs room."""
    if margin == 0:
        return block
    edge, coarse = ((margin, margin), (margin, margin)), block.place.coarse
    return replace(
        block,
        y=np.pad(block.y, ((0, 0), *edge)),
        y_mask=np.pad(block.y_mask, edge),
        place=replace(block.place, coarse=Window(*(range(a.start - margin, a.stop + margin) for a in coarse.axes))),
    )


@dataclass(frozen=True)
class Samples:
    """Coarse pixels at which both images are valid, over all blocks: spectra (N, L) and the MSI seen through D
    (N, l).
    """

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
    """The blocks themselves, or, where they hold more than `most` coarse pixels, windows of size x size spread over
    them, at least half valid.
    """
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
