"""How much memory a job may plan with."""

from __future__ import annotations

import os

from ...backend.settings import memory_budget
from ...rasters.writing.layout import BLOCK

_UNKNOWN = 4_000_000_000
USUAL_BUDGET = 1_500_000_000  # bytes, of the QGIS process, where the user sets none
LARGEST_TILE = 384  # fine pixels; the backend's memory follows from it, and keeps to the same
SMALLEST_TILE = 64
CLOSED_FORM_TILE = 256
_COPIES = 4.0  # of a tile's full spectra that are alive at a time: two tiles whole, and what makes and compares them
_BESIDE_TILES = 600_000_000  # bytes that QGIS, its libraries and GDAL's cache take


def available_memory() -> int:
    """Bytes that a job may plan with: what can be had without swapping, and no more than the user's budget."""
    budget = memory_budget()
    return min(free_memory(), budget) if budget else free_memory()


def tile_size(bands: int, longest: int) -> int:
    """The tile (fine pixels, a multiple of the outputs' blocks) whose spectra of `bands` bands fit into the user's
    memory budget.

    An output whose `longest` side is hardly longer goes as one tile: it is no larger than another tile with its halo.
    The size does not depend on what happens to be free, so that a run that is done again cuts the scene as before.
    """
    budget = memory_budget() or USUAL_BUDGET
    pixels = max(0.0, budget - _BESIDE_TILES) / (_COPIES * 4 * max(1, bands))
    size = int(min(LARGEST_TILE, max(SMALLEST_TILE, pixels**0.5 // BLOCK * BLOCK)))
    return size + BLOCK if size < longest <= size + BLOCK else size


def free_memory() -> int:
    """Bytes that can be had without swapping; 4 GB where the system does not say (Windows, macOS)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN
