"""How much memory one tile may take on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..runners.engine import Engine

UNKNOWN = 4 << 30  # bytes of a machine that does not tell
SHARE = 0.5  # of the main memory, for all tiles that are worked on
SHARE_OF_GPU = 0.8


def memory_of_a_tile(workers: Sequence[Engine]) -> int:
    """Bytes: of the smallest GPU, or each CPU worker's part of the main memory."""
    gpus = [engine.device for engine in workers if engine.device.startswith("cuda")]
    if gpus:
        import torch

        return int(SHARE_OF_GPU * min(torch.cuda.get_device_properties(device).total_memory for device in gpus))
    return int(SHARE * main_memory() / max(1, len(workers)))


def main_memory() -> int:
    """Bytes of the machine, or of what its container may use."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (ValueError, AttributeError):  # Windows
        found = [UNKNOWN]
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(found)
