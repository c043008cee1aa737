"""Where products are unpacked and kept: below HSFUSION_WORK, else in the user's cache."""

from __future__ import annotations

from pathlib import Path

from ...backend.local.logs import cache_folder
from ...backend.settings import Settings


def work_folder() -> Path:
    """The folder for products, which need not exist yet."""
    work = Settings.read().work
    root = Path(work).expanduser() if work and work != "off" else cache_folder()
    return root / "products"
