"""Which bands and pixels two cubes have in common: every number of an evaluation is taken over exactly these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import HSFusionError


@dataclass(frozen=True)
class Common:
    """The common ground of a reference and a fused cube.

    bands: indices of the compared bands, in file order; mask: (H, W), True where every compared band is finite in both.
    bands_total, bands_excluded: of the cubes, and left out (bad, or without a single common pixel). pixels_total,
    pixels_valid: H W, and those compared; pixels_missing: valid in the reference, nodata in the fused cube.
    """

    bands: np.ndarray
    mask: np.ndarray
    bands_total: int
    bands_excluded: int
    pixels_total: int
    pixels_valid: int
    pixels_missing: int


def common_ground(reference: np.ndarray, fused: np.ndarray, bands: Sequence[int] | None = None) -> Common:
    """Bands and pixels that both cubes (L, H, W) have; NaN and infinity are nodata.

    bands: indices to compare (None = all). A band that is nodata everywhere in either cube takes no part; of the
    others, a pixel counts only if it is finite in all of them in both cubes, so that all metrics see the same pixels.
    Raises HSFusionError when the shapes differ or nothing is left.
    """
    reference, fused = np.asarray(reference), np.asarray(fused)
    if reference.ndim != 3 or fused.ndim != 3:
        raise HSFusionError("An evaluation needs two cubes of (bands, rows, columns).")
    if reference.shape != fused.shape:
        raise HSFusionError(
            f"The fused image has {fused.shape[0]} bands of {fused.shape[2]} x {fused.shape[1]} pixels, the reference "
            f"{reference.shape[0]} bands of {reference.shape[2]} x {reference.shape[1]}: they must be the same."
        )
    candidates = np.arange(len(reference)) if bands is None else np.asarray(list(bands), dtype=int)
    mask = np.ones(reference.shape[1:], dtype=bool)
    in_reference = mask.copy()
    used = []
    for band in candidates:
        here = np.isfinite(reference[band])
        both = here & np.isfinite(fused[band])
        if both.any():
            used.append(band)
            mask &= both
            in_reference &= here
    if not mask.any() or not used:
        raise HSFusionError(
            "The reference and the fused image have no valid pixel in common: check nodata, bad bands and the extent."
        )
    return Common(
        bands=np.asarray(used, dtype=int),
        mask=mask,
        bands_total=len(reference),
        bands_excluded=len(reference) - len(used),
        pixels_total=int(mask.size),
        pixels_valid=int(mask.sum()),
        pixels_missing=int((in_reference & ~mask).sum()),
    )


def pixel_mask(reference: np.ndarray, fused: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(H, W) bool: the given mask, or the pixels that are finite in every band of both cubes (L, H, W)."""
    if mask is not None:
        return np.asarray(mask, dtype=bool)
    return common_ground(reference, fused).mask
