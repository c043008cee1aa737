"""The backend as QGIS sees it: settings, the local child process, the client that speaks with it or with a server elsewhere."""

from __future__ import annotations

from .client import Client
from .session import open_backend
from .settings import Settings

__all__ = ["Client", "Settings", "open_backend"]
