"""QUALITY: a byte per pixel of the result that says what is to be known of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....models.listener import Listener
from ....models.scene.quality import LABELS, Flag, Flags, label
from ...rasters.grids.align import Alignment
from ...rasters.reading.metadata import BandInfo
from ...rasters.writing.provenance import write_provenance
from ...rasters.writing.style import write_flag_style
from ...rasters.writing.writer import RasterWriter, Stored
from ..request import FusionRequest
from .tiles import FusedTile

FILLED = 0.1  # share of the interpolation's weight on HSI pixels with predicted entries, from which a pixel is flagged
BEYOND = 0.25  # of the range of the MSI's values that the estimates saw, by which a value may exceed it


@dataclass
class Quality:
    """Makes the flags of tile after tile, and counts them.

    others: what was found for the scene and flags pixels by their place. msi_range (l, 2): lowest and highest value of
    each MSI band at the HSI's resolution, from which the scene's laws were learnt. counts: pixels by value.
    """

    others: tuple[Flags, ...]
    msi_range: np.ndarray
    counts: Counter[int] = field(default_factory=Counter)

    def of(self, fused: FusedTile) -> np.ndarray:
        """Flags of a tile's core: uint8 (rows, cols)."""
        tile = fused.tile
        flags = np.zeros(fused.known.shape, np.uint8)
        for other in self.others:
            flags |= other(*tile.core.axes)
        flags[_filled(fused)] |= Flag.HSI_FILLED
        flags[fused.left_out] |= Flag.MSI_LEFT_OUT
        low, high = self.msi_range.T[:, :, None, None]
        margin = BEYOND * (high - low)
        with np.errstate(invalid="ignore"):
            outside = ((fused.msi < low - margin) | (fused.msi > high + margin)).any(axis=0)
        flags[outside & ~fused.left_out] |= Flag.OUTSIDE_RANGE
        flags[fused.bounded] |= Flag.BOUNDED
        flags[~fused.known] = Flag.NO_SUPPORT  # of what is not there, nothing else is to be said
        for value, count in zip(*np.unique(flags, return_counts=True)):
            self.counts[int(value)] += int(count)
        return flags

    def record(self) -> dict[str, Any]:
        """For provenance: what the bits mean, and the share of the pixels that have each."""
        meaning = {str(int(flag)): text for flag, text in LABELS.items()}
        return {"flags": meaning, "share": {LABELS[flag]: share for flag, share in self.shares().items()}}

    def shares(self) -> dict[Flag, float]:
        """Share of the pixels that have each flag, of those that occur."""
        every = max(sum(self.counts.values()), 1)
        found = {flag: sum(n for value, n in self.counts.items() if value & flag) / every for flag in Flag}
        return {flag: share for flag, share in found.items() if share}


def flag_writer(
    request: FusionRequest,
    alignment: Alignment,
    quality: Quality,
    record: dict[str, Any],
    block: tuple[int, int],
    listener: Listener,
) -> RasterWriter:
    """The QUALITY raster: one band of bytes, which says in its metadata what its bits mean, and has a style of
    its own.
    """

    def finish(path: Path) -> None:
        write_flag_style(path, {value: label(value) for value in sorted(quality.counts)})
        write_provenance(path, record)

    bits = {f"FLAG_{int(flag)}": text for flag, text in LABELS.items()}
    described = BandInfo(description="quality flags: " + ", ".join(f"{int(f)} {text}" for f, text in LABELS.items()))
    return RasterWriter(
        request.quality or "",
        alignment.output_grid,
        [described],
        Stored("Byte", options=request.options, block=block),
        role="QUALITY",
        metadata=bits,
        finish=finish,
        listener=listener,
    )


def _filled(fused: FusedTile) -> np.ndarray:
    """Where predicted entries of the HSI bear on the result, bool (rows, cols)."""
    if not fused.filled.any():
        return np.zeros(fused.known.shape, bool)
    up = fused.tile.place.upsampling(fused.scene.coefficients, fused.tile.core)
    return up(fused.filled.astype(np.float32)) > FILLED
