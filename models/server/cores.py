"""How the processor's cores are shared out among tiles.

One tile at a time on all cores: two at a time, with half the threads each, make a whole run 2 % faster (two cores, a
megapixel, QGIS writing beside them), for twice the memory. It holds where threads that wait for each other sleep, which
the plugin sees to (GOMP_SPINCOUNT).
"""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # Windows, macOS
        return os.cpu_count() or 1


def share_out(cores: int, workers: int = 0) -> tuple[int, int]:
    """Tiles worked on at a time and threads for each; `workers` as asked for, 0 = one."""
    workers = workers or 1
    return workers, max(1, cores // workers)
