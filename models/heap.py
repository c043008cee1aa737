"""The C library's heap: what has been freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys


def libc() -> ctypes.CDLL | None:
    """The C library, where it may be glibc."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def give_back() -> None:
    """Return to the system what glibc keeps of freed memory: some milliseconds, so for between two tiles or phases, and
    never needed.
    """
    trim = getattr(libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)
