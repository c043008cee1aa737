"""HSFUSION_WORK: where runs keep what is not finished, and products what is unpacked."""

from __future__ import annotations

from pathlib import Path

from ..errors import HSFusionError
from .local.logs import cache_folder
from .settings import Settings

OFF = "off"


def expanded(path: str, role: str) -> Path:
    """A path of the user's with `~` as the home folder; HSFusionError where that is nobody's."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise HSFusionError(f"{role} is '{path}', and there is no such user: name a folder.") from None


def work_root() -> Path:
    """The folder of HSFUSION_WORK, else the user's cache; it need not exist yet. HSFusionError where it is no
    folder.
    """
    work = Settings.read().work
    if not work or work == OFF:
        return cache_folder()
    folder = expanded(work, "HSFUSION_WORK")
    first = next((part for part in (folder, *folder.parents) if part.exists()), None)
    if first is not None and not first.is_dir():
        raise HSFusionError(f"HSFUSION_WORK is '{folder}', and '{first}' is a file: name a folder, or `off`.")
    return folder
