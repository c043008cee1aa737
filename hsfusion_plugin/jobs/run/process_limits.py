"""Limits that hold for all of this process while a job runs: GDAL's block cache and the threads of linear algebra."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from osgeo import gdal

from ....models.heap import libc

# Bytes; GDAL's own choice is a twentieth of the machine's memory. A tile reads a block once, and of all bands of its
# own the next tile would find
# none but in a cache of dozens of megabytes.
BLOCK_CACHE = 4_000_000
LARGEST_CACHE = 256_000_000  # where rasters in strips need more, see `make_room`
_SETTERS = ("openblas_set_num_threads", "openblas_set_num_threads64_", "scipy_openblas_set_num_threads64_")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE_ARRAY = 1 << 20  # bytes
_lock = threading.Lock()
_running = 0
_restore: list[Callable[[], object]] = []


@contextmanager
def bounded() -> Iterator[None]:
    """Inside, GDAL keeps at most BLOCK_CACHE bytes of blocks, and linear algebra works on one thread: tiles overlap in
    threads of our own, the backend has the other cores, and threads that spin while they wait for a core cost more
    than they give. Jobs at the same time share it.
    """
    global _running
    with _lock:
        _running += 1
        if _running == 1:
            _return_memory()
            _restore[:] = [*_limit_cache(), *_limit_threads()]
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                for undo in _restore:
                    undo()
                _restore.clear()


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


def _limit_cache() -> list[Callable[[], object]]:
    before = gdal.GetCacheMax()
    gdal.SetCacheMax(min(before, BLOCK_CACHE))
    return [lambda: gdal.SetCacheMax(before)]


def _limit_threads() -> list[Callable[[], object]]:
    """OpenBLAS alone can be told while it runs; where numpy uses another library nothing changes."""
    undo: list[Callable[[], object]] = []
    for path in _openblas():
        try:
            library = ctypes.CDLL(path)
        except OSError:  # not a library after all
            continue
        for name in _SETTERS:
            setter, getter = getattr(library, name, None), getattr(library, name.replace("_set_", "_get_"), None)
            if setter is None or getter is None:
                continue
            before = int(getter())
            if before > 1:
                setter(1)
                undo.append(lambda setter=setter, before=before: setter(before))
            break
    return undo


def _openblas() -> list[str]:
    """The OpenBLAS libraries in this process's memory; none where the system does not tell (Windows, macOS)."""
    try:
        loaded = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    paths = {path for path in re.findall(r"(/\S+)", loaded) if re.search(r"openblas|lib(c?blas|lapack)\.so", path)}
    return sorted(paths)
