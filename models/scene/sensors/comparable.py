"""Which pixels of a pair are compared when its geometry is estimated, thinned out where the scene is large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...observation import Sampling
from ...observation.axis import coarse_centres
from ..block import Block, part
from ..subspace.subspace import fit_subspace
from .psf_match import FREE, Matching

MOST_PIXELS = 40_000  # compared HSI pixels beyond which more would only cost time
WINDOW = 24  # HSI pixels, of the windows that a large scene is thinned to
COMPONENTS = 16
MOST_BANDS = 8
WHOLE = 0.995  # share of a PSF on valid MSI pixels


def comparison(blocks: list[Block], sampling: Sampling, reach: float) -> Matching | None:
    """The criterion over the pixels whose PSF, moved by `reach` MSI pixels, lies on valid pixels of the scene; None if
    these are too few.
    """
    blocks = thinned(blocks, sampling)
    pixels = [comparable(block, sampling, reach) for block in blocks]
    kept = [n for n, good in enumerate(pixels) if good.sum() >= 4]
    blocks, pixels = [blocks[n] for n in kept], [pixels[n] for n in kept]
    count = sum(int(good.sum()) for good in pixels)
    if count < 16 * FREE:
        return None
    spectra = np.concatenate([block.y[:, block.y_mask > 0].T for block in blocks])
    subspace = fit_subspace(spectra, max(2, min(COMPONENTS, count // 25)))
    bands = len(blocks[0].z)
    chosen = sorted({int(round(i)) for i in np.linspace(0, bands - 1, min(bands, MOST_BANDS))})
    coefficients = [subspace.project(block.y) for block in blocks]
    return Matching([replace(block, z=block.z[chosen]) for block in blocks], coefficients, pixels, sampling.ratio)


def comparable(block: Block, sampling: Sampling, reach: float) -> np.ndarray:
    """bool (h, w): valid in the HSI, one HSI pixel and `reach` MSI pixels away from the scene's border and from invalid
    MSI pixels.
    """
    ratio = sampling.ratio
    good = block.y_mask > 0
    for turn, coarse, size, shift in (
        ((slice(None), None), block.coarse_rows, block.scene_shape[0], sampling.shift_y),
        ((None, slice(None)), block.coarse_cols, block.scene_shape[1], sampling.shift_x),
    ):
        centre = coarse_centres(coarse, ratio, shift)
        good = good & ((centre >= reach + ratio - 0.5) & (centre <= size - 0.5 - reach - ratio))[turn]
    if not block.z_mask.all():
        width = 1.0 + 2.0 * reach / ratio
        support = block.degradation(replace(sampling, fwhm_y=width, fwhm_x=width, psf="gaussian"))
        good &= support(block.z_mask.astype(np.float32)) > WHOLE
    return good


def thinned(blocks: list[Block], sampling: Sampling) -> list[Block]:
    """The blocks, or windows spread evenly over them where they have more than MOST_PIXELS."""
    if sum(block.y_mask.size for block in blocks) <= MOST_PIXELS:
        return blocks
    windows = [(block, r, c) for block in blocks for r in _parts(block.y.shape[1]) for c in _parts(block.y.shape[2])]
    wanted = max(1, MOST_PIXELS // WINDOW**2)
    return [
        search_part(*windows[i], sampling) for i in sorted({int(i) for i in np.linspace(0, len(windows) - 1, wanted)})
    ]


def _parts(size: int) -> list[slice]:
    starts = np.linspace(0, max(0, size - WINDOW), max(1, size // WINDOW)).astype(int)
    return [slice(int(start), int(start) + WINDOW) for start in starts]


def search_part(block: Block, rows: slice, cols: slice, sampling: Sampling) -> Block:
    """A part of a block, with room in the MSI for the widths and shifts of the search."""
    return part(block, rows, cols, sampling, reach=int(np.ceil(3 * sampling.ratio + 8)))
