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
    pixels_valid: H W, and those compared; pixels_missing: valid in the reference, nodata in the fused cube; maximum:
    of the reference over the compared bands and pixels.
    """

    bands: np.ndarray
    mask: np.ndarray
    bands_total: int
    bands_excluded: int
    pixels_total: int
    pixels_valid: int
    pixels_missing: int
    maximum: float


def common_ground(reference: np.ndarray, fused: np.ndarray, bands: Sequence[int] | None = None) -> Common:
    """Bands and pixels that both cubes (L, H, W) have; NaN and infinity are nodata.

    bands: indices to compare (None = all). A band that is nodata everywhere in either cube takes no part; of the
    others, a pixel counts only if it is finite in all of them in both cubes, so that all metrics see the same pixels.
    Raises HSFusionError when the shapes differ or nothing is left.
    """
    reference, fused = np.asarray(reference), np.asarray(fused)
    check_shapes(reference.shape, fused.shape)
    ground = Ground(reference.shape, bands)
    ground.add((slice(None), slice(None)), reference, fused)
    return ground.common()


def check_shapes(reference: Sequence[int], fused: Sequence[int]) -> None:
    """HSFusionError unless both are the same (L, H, W)."""
    if len(reference) != 3 or len(fused) != 3:
        raise HSFusionError("An evaluation needs two cubes of (bands, rows, columns).")
    if tuple(reference) != tuple(fused):
        raise HSFusionError(
            f"The fused image has {fused[0]} bands of {fused[2]} x {fused[1]} pixels, the reference "
            f"{reference[0]} bands of {reference[2]} x {reference[1]}: they must be the same."
        )


@dataclass(frozen=True)
class _Seen:
    """One block: which bands have a common pixel in it, their maxima, and where the reference has the others.

    Bands without a common pixel here count only if they have one elsewhere; those alike in the reference share a mask.
    """

    place: tuple[slice, slice]
    seen: np.ndarray
    highest: np.ndarray
    others: list[tuple[list[int], np.ndarray]]


class Ground:
    """What two cubes (L, H, W) have in common, and the reference's maximum there, found block by block."""

    def __init__(self, shape: Sequence[int], bands: Sequence[int] | None = None) -> None:
        self._candidates = np.arange(shape[0]) if bands is None else np.asarray(list(bands), dtype=int)
        self._total = int(shape[0])
        self._mask = np.zeros(tuple(shape[1:]), dtype=bool)
        self._in_reference = self._mask.copy()
        self._blocks: list[_Seen] = []

    def add(self, place: tuple[slice, slice], reference: np.ndarray, fused: np.ndarray) -> None:
        """Take in the block at a place, (L, h, w) of all bands of both cubes."""
        mask = np.ones(reference.shape[1:], dtype=bool)
        here = mask.copy()
        count = len(self._candidates)
        block = _Seen(place, np.zeros(count, dtype=bool), np.full(count, -np.inf), [])
        for number, band in enumerate(self._candidates):
            finite = np.isfinite(reference[band])
            both = finite & np.isfinite(fused[band])
            block.seen[number] = both.any()
            if block.seen[number]:
                mask &= both
                here &= finite
            elif block.others and np.array_equal(block.others[-1][1], finite):
                block.others[-1][0].append(number)
            else:
                block.others.append(([number], finite))
        self._mask[place], self._in_reference[place] = mask, here
        if mask.any():
            for number in np.flatnonzero(block.seen):
                values = reference[self._candidates[number]]
                block.highest[number] = values.max(initial=-np.inf, where=mask)
        self._blocks.append(block)

    def common(self) -> Common:
        """The common ground of all blocks; HSFusionError where nothing is left."""
        used = np.any([block.seen for block in self._blocks], axis=0)
        maximum = -np.inf
        for block in self._blocks:
            for numbers, finite in block.others:
                if used[numbers].any():
                    self._in_reference[block.place] &= finite
            if (used & ~block.seen).any():
                self._mask[block.place] = False
            else:
                maximum = max(maximum, float(block.highest.max(initial=-np.inf)))
        if not (used.any() and self._mask.any()):
            raise HSFusionError(
                "The reference and the fused image have no valid pixel in common: check nodata, bad bands and the "
                "extent."
            )
        return Common(
            bands=self._candidates[used],
            mask=self._mask,
            bands_total=self._total,
            bands_excluded=self._total - int(used.sum()),
            pixels_total=int(self._mask.size),
            pixels_valid=int(self._mask.sum()),
            pixels_missing=int((self._in_reference & ~self._mask).sum()),
            maximum=maximum,
        )


def pixel_mask(reference: np.ndarray, fused: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(H, W) bool: the given mask, or the pixels that are finite in every band of both cubes (L, H, W)."""
    if mask is not None:
        return np.asarray(mask, dtype=bool)
    return common_ground(reference, fused).mask
