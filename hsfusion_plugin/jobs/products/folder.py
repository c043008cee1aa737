"""Where products are unpacked and kept: below HSFUSION_WORK, else in the user's cache."""

from __future__ import annotations

from pathlib import Path

from ...backend.work import work_root


def work_folder() -> Path:
    """The folder for products, which need not exist yet."""
    return work_root() / "products"
