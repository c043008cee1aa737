"""How much memory a job may plan with."""

from __future__ import annotations

import os

from ..backend.settings import memory_budget

_UNKNOWN = 4_000_000_000
LARGEST_TILE = 384  # fine pixels; larger ones waste less on their borders, but gain nothing more
SMALLEST_TILE = 64
_COPIES = 6.0  # of a tile's full spectra that are alive at a time, in all threads together


def available_memory() -> int:
    """Bytes that a job may plan with: what can be had without swapping, and no more than the user's budget."""
    budget = memory_budget()
    return min(free_memory(), budget) if budget else free_memory()


def tile_size(bands: int, workers: int = 2) -> int:
    """The tile (fine pixels, a multiple of 64) whose spectra of `bands` bands fit into the user's memory budget with `workers` at a time.

    It does not depend on what happens to be free, so that a run that is done again cuts the scene as before.
    """
    budget = memory_budget()
    if not budget:
        return LARGEST_TILE
    pixels = 0.5 * budget / (_COPIES * 4 * max(1, bands) * (workers + 1))
    return int(min(LARGEST_TILE, max(SMALLEST_TILE, pixels**0.5 // 64 * 64)))


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
