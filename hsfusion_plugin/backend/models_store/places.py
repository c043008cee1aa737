"""Folders of the user's own that upgrades of the plugin leave alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder() -> Path:
    """The user's data folder for HSFusion, as the platform wants it; it need not exist."""
    home = Path.home()
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "hsfusion"


def fetched_models() -> Path:
    """Where `hsfusion:getmodel` puts models unless the user says otherwise; every run looks there."""
    return data_folder() / "models"
