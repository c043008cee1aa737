"""Arrays that are too large for memory, on disk: read and written in parts as if they were in memory."""

from __future__ import annotations

import math
import shutil
import tempfile

import numpy as np

from ...errors import HSFusionError

LARGEST_IN_MEMORY = 500_000_000  # bytes of one array
SPARE = 1_000_000_000  # bytes of the disk that are left free


def large_array(shape: tuple[int, ...]) -> np.ndarray:
    """An array of float32, in memory or, beyond LARGEST_IN_MEMORY, in a file without a name that goes with it;
    HSFusionError without room.
    """
    size = 4 * math.prod(shape)
    if size <= LARGEST_IN_MEMORY:
        return np.empty(shape, np.float32)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < size + SPARE:
        raise HSFusionError(
            f"The folder for temporary files, {tempfile.gettempdir()}, has {free / 1e9:.1f} GB left and "
            f"{(size + SPARE) / 1e9:.1f} GB are needed: "
            "free some space, set TMPDIR to another disk, or clip both rasters to the same smaller extent."
        )
    with tempfile.TemporaryFile(prefix="hsfusion-") as file:
        return np.memmap(file, np.float32, "w+", shape=shape)
