"""The child's log files: one per start, in the user's cache folder, the newest twenty are kept."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

KEPT = 20


def log_folder() -> Path:
    """The folder for logs, made if need be: in the user's cache, or a temporary one where that cannot be written."""
    folder = cache_folder() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="hsfusion-logs-"))


def cache_folder() -> Path:
    """HSFusion's place in the platform's cache folder, which need not exist yet."""
    home = Path(os.path.expanduser("~"))
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "hsfusion"


def new_log(kind: str = "backend") -> Path:
    """The path of a new log file; older ones of its kind beyond the newest twenty are removed."""
    folder = log_folder()
    for old in sorted(folder.glob(f"{kind}-*.log"))[: -KEPT + 1]:
        try:
            old.unlink()
        except OSError:  # another QGIS on Windows still writes it
            continue
    return folder / time.strftime(f"{kind}-%Y%m%d-%H%M%S-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.log")


def tail(path: Path, lines: int = 30) -> str:
    """The last lines of a log, for the debug info."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""
