"""Two rasters on their shared grid, read window by window as the metrics ask for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import HSFusionError
from ...rasters.reading.raster import Raster
from ..run.memory import available_memory
from .shared_grid import SharedGrid

LARGEST_PICTURE = 1024  # pixels per side of a picture in the report
MAPS = 48  # bytes per pixel: maps of angle, error and brightness, masks, and what is sorted for the report
BLOCKS = 700_000_000  # bytes of the blocks at work, of either cube and of what is made of them


@dataclass(frozen=True)
class SharedCube:
    """One raster as a cube (L, H, W) of the bands `index` of its file, on the shared grid."""

    raster: Raster
    rows: range
    cols: range
    index: np.ndarray
    unscale: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, H, W)."""
        return len(self.index), len(self.rows), len(self.cols)

    def window(self, rows: slice, cols: slice, bands: np.ndarray | None = None) -> np.ndarray:
        """float32 (L, rows, cols), NaN = nodata."""
        chosen = self.index if bands is None else self.index[bands]
        return self.raster.read(self.rows[rows], self.cols[cols], chosen, unscale=self.unscale)

    def picture(self, bands: list[int]) -> np.ndarray:
        """(bands, rows, cols) for a report, thinned out to at most LARGEST_PICTURE pixels per side."""
        step = -(-max(len(self.rows), len(self.cols)) // LARGEST_PICTURE)
        lines = [
            self.window(slice(row, row + 1), slice(None), np.asarray(bands))[:, 0, ::step]
            for row in range(0, len(self.rows), step)
        ]
        return np.stack(lines, axis=1)


@dataclass(frozen=True)
class SharedPair:
    """Reference and fused raster in the same `unit`, their bands the indices `index` of the files."""

    reference: SharedCube
    fused: SharedCube
    index: np.ndarray
    unit: str

    @staticmethod
    def of(reference: Raster, fused: Raster, grid: SharedGrid) -> SharedPair:
        """The bands that are bad in neither raster; HSFusionError where there is none, or too little memory."""
        index = np.flatnonzero(~(reference.bad | fused.bad))
        if index.size == 0:
            raise HSFusionError("Every band is marked bad in REFERENCE or FUSED, so there is nothing to compare.")
        rows, cols = grid.shape
        needed = rows * cols * MAPS + BLOCKS
        if needed > available_memory():
            raise HSFusionError(
                f"Comparing {cols} x {rows} pixels needs {needed / 1e9:.1f} GB of memory and "
                f"{available_memory() / 1e9:.1f} GB are free: clip both rasters to the same smaller extent."
            )
        scales = [[(raster.bands[i].scale, raster.bands[i].offset) for i in index] for raster in (reference, fused)]
        unscale = scales[0] != scales[1]
        cubes = (
            SharedCube(raster, *place, index, unscale)
            for raster, place in ((reference, grid.reference), (fused, grid.fused))
        )
        return SharedPair(*cubes, index, "physical units" if unscale else "raster units")
