"""The version, read from metadata.txt, the one place that says it."""

from __future__ import annotations

import configparser
from pathlib import Path


def _read() -> str:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(__file__).resolve().parent.parent / "metadata.txt", encoding="utf-8")
        return parser.get("general", "version")
    except configparser.Error:
        return "unknown"


VERSION = _read()
"""Read when the code is loaded, so that a plugin replaced on disk under a running QGIS is noticed in the handshake."""
