"""How much memory a job may plan with."""

from __future__ import annotations

import os

_UNKNOWN = 4_000_000_000


def available_memory() -> int:
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
