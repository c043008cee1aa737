"""How the processor's cores are shared out among tiles.

Threads that work on one tile wait for each other at every layer, and on a machine that also runs QGIS they mostly spin while they wait: on two
cores two tiles at a time, a thread each, take half the processor's time of one tile with two threads.
"""

from __future__ import annotations

import os

TOGETHER = 2  # tiles at a time, each with memory of its own


def usable_cores() -> int:
    """Cores that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # Windows, macOS
        return os.cpu_count() or 1


def share_out(cores: int, workers: int = 0) -> tuple[int, int]:
    """Tiles worked on at a time and threads for each; `workers` as asked for, 0 = TOGETHER, as far as there are cores."""
    workers = workers or max(1, min(TOGETHER, cores))
    return workers, max(1, cores // workers)
