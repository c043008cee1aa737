"""The folder of the backend's environment: where it is by default, whether it may be used, and how it is replaced."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ....models.errors import HSFusionError
from ...locks import locked
from ..local.logs import log_folder
from ..models_store.places import data_folder
from ..settings import PLUGIN_FOLDER

MARK = "hsfusion-environment.json"  # only what holds it is ever replaced


def default_folder() -> Path:
    """Where the environment goes unless the user says otherwise: the user's data folder, which an upgrade of the plugin
    leaves alone.
    """
    return data_folder() / "backend"


def check_folder(folder: Path) -> None:
    """HSFusionError unless `folder` is new, empty or an environment of ours, outside the plugin, and can be written."""
    if PLUGIN_FOLDER in (folder.resolve(), *folder.resolve().parents):
        raise HSFusionError(f"FOLDER {folder} lies in the plugin, which the next upgrade wipes: choose another one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [entry.name for entry in folder.iterdir()]
        probe = folder / ".hsfusion-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HSFusionError(f"FOLDER {folder} cannot be written ({error.strerror}): choose another one.") from error
    if others and MARK not in others:
        what = "is an environment that HSFusion did not make" if "pyvenv.cfg" in others else "holds other files"
        remedy = ", or give its interpreter as INTERPRETER" if "pyvenv.cfg" in others else ""
        raise HSFusionError(f"FOLDER {folder} {what}: choose a new or empty one{remedy}.")


def check_disk(folder: Path, needed_gb: float) -> None:
    """HSFusionError if less than `needed_gb` GB are left on the disk of `folder`."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed_gb:
        raise HSFusionError(
            f"The disk of {folder} has {free:.1f} GB left and the backend needs {needed_gb:g} GB while it is "
            "installed: "
            "free some space, or choose a FOLDER on another disk."
        )


@contextmanager
def replacing(folder: Path) -> Iterator[None]:
    """An empty `folder` inside the block; what was there before comes back if the block fails, unless it was unfinished
    too.
    """
    aside = folder.with_name(f"{folder.name}.old")
    try:
        whole = '"complete"' in (folder / MARK).read_text(encoding="utf-8") if (folder / MARK).is_file() else False
        if whole:
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        else:
            _empty(folder)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise HSFusionError(
            f"The old environment in {folder} cannot be replaced ({error.strerror}): close other programs that use it, "
            "or choose another FOLDER."
        ) from error
    try:
        yield
    except BaseException:
        if whole:
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
        raise
    if whole:
        shutil.rmtree(aside, ignore_errors=True)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """HSFusionError if another set-up works on `folder`; the lock ends with the process, however that ends."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    with locked(log_folder() / f"setup-{name}.lock") as free:
        if not free:
            raise HSFusionError(f"Another set-up is at work in {folder}: wait until it is done.")
        yield
