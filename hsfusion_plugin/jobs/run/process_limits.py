"""Limits that hold for all of this process while a job runs: GDAL's block cache and the threads of linear algebra."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from osgeo import gdal

from ....models.heap import libc
from .linear_algebra import one_thread

# Bytes; GDAL's own choice is a twentieth of the machine's memory. A tile reads a block once, and the next tile would
# find the blocks of all bands only in a cache of dozens of megabytes.
BLOCK_CACHE = 4_000_000
LARGEST_CACHE = 256_000_000  # where rasters in strips need more, see `make_room`
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE_ARRAY = 1 << 20  # bytes
_lock = threading.Lock()
_running = 0
_restore = ExitStack()


@contextmanager
def bounded() -> Iterator[None]:
    """Inside, GDAL keeps at most BLOCK_CACHE bytes of blocks, and linear algebra works on one thread. Jobs at the same
    time share it.
    """
    global _running
    with _lock:
        _running += 1
        if _running == 1:
            _return_memory()
            _limit_cache()
            _restore.enter_context(one_thread())
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _restore.close()


def make_room(strips: int) -> None:
    """Let GDAL's cache hold so many bytes of strips beside its blocks until the job ends: a strip is unpacked whole,
    and goes on into the next tile.
    """
    with _lock:
        if _running:
            gdal.SetCacheMax(max(gdal.GetCacheMax(), min(BLOCK_CACHE + strips, LARGEST_CACHE)))


def _return_memory() -> None:
    """Let glibc give arrays back to the system as soon as they are done with: it would learn from the first large ones
    to keep all later ones, and a long run would hold more and more. For good: it cannot be asked what it did before.
    """
    mallopt = getattr(libc(), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LARGE_ARRAY)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_ARRAY)


def _limit_cache() -> None:
    before = gdal.GetCacheMax()
    gdal.SetCacheMax(min(before, BLOCK_CACHE))
    _restore.callback(gdal.SetCacheMax, before)
