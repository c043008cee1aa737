"""How many files the process may have open, which connections are too."""

from __future__ import annotations

import contextlib

WANTED = 65_536
KEPT = 128  # for models, logs and libraries


def files_for_connections() -> int:
    """Connections that the system lets this process have; its own limit is raised as far as it may be."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return WANTED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return max(16, (WANTED if soft == resource.RLIM_INFINITY else soft) - KEPT)
