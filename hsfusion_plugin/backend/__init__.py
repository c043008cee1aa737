"""The backend as QGIS sees it: settings, the local child process, the client that speaks with it or with a server elsewhere."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"Client": ".client", "Settings": ".settings", "open_backend": ".session"}
__all__ = ["Client", "Settings", "open_backend"]


def __getattr__(name: str) -> Any:
    """Import when asked for: the settings are read when QGIS starts, where the client and what it needs would cost time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
