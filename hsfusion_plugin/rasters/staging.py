"""Whole files or none: outputs are made in a hidden folder beside their final name and moved there when everything is well."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...models.errors import HSFusionError
from ..locks import locked

_LOCK = ".lock"
_YOUNG_S = 1.0  # between making the lock and holding it lies a moment
_COMPANIONS = (".aux.xml", ".ovr", ".msk")  # GDAL's notes on a raster, wrong once the raster is another one


def check_writable(
    path: str | Path, size: int = 0, role: str = "OUTPUT", inputs: Sequence[str | Path | None] = ()
) -> Path:
    """Final path, absolute.

    HSFusionError when its folder is missing, cannot be written or has less than `size` bytes left, and when the path is one of `inputs`.
    """
    target = Path(path).absolute()
    if any(given and target.resolve() == Path(given).resolve() for given in inputs):
        raise HSFusionError(f"{role}: '{target}' is one of the inputs and would be lost; choose another name.")
    folder = target.parent
    if not folder.is_dir():
        raise HSFusionError(f"{role}: the folder '{folder}' does not exist; create it or choose another one.")
    if target.is_dir():
        raise HSFusionError(f"{role}: '{target}' is a folder; give the name of a file.")
    if target.exists() and not os.access(target, os.W_OK):
        raise HSFusionError(f"{role}: '{target}' exists and is write-protected; choose another name.")
    try:
        with tempfile.TemporaryFile(prefix=".hsfusion-", dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise HSFusionError(
            f"{role}: cannot write in '{folder}' ({error.strerror or error}); choose another folder."
        ) from error
    if free < size:
        raise HSFusionError(
            f"{role}: '{folder}' has {free / 1e9:.2f} GB left and up to {size / 1e9:.2f} GB are needed; free some space or choose another disk."
        )
    return target


@contextmanager
def staged(path: str | Path, size: int = 0, role: str = "OUTPUT") -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder; at a clean exit all files there move beside `path`, the named one first.

    Any exception, and the end of the interpreter, removes the folder instead; what a killed process left is removed by the next one that
    writes there. Errors as in check_writable.
    """
    target = check_writable(path, size, role)
    remove_left_overs(target.parent)
    try:
        folder = tempfile.TemporaryDirectory(prefix=".hsfusion-", dir=target.parent)
    except OSError as error:
        raise HSFusionError(
            f"{role}: cannot write in '{target.parent}' ({error.strerror or error}); choose another folder."
        ) from error
    with folder, locked(Path(folder.name) / _LOCK):
        inside = Path(folder.name) / target.name
        yield inside
        _publish(inside, target, role)


def remove_left_overs(folder: Path) -> None:
    """Remove the temporary folders of processes that were killed; those of living ones are locked."""
    for lock in folder.glob(f".hsfusion-*/{_LOCK}"):
        try:
            if time.time() - lock.stat().st_mtime < _YOUNG_S:
                continue
            with locked(lock) as left_over:
                pass
            if left_over:
                shutil.rmtree(lock.parent)
        except OSError:  # another process removes it too, or it is not ours to remove
            continue


def write_text(path: str | Path, text: str, role: str = "OUTPUT") -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with staged(path, len(text), role) as inside:
        inside.write_text(text, encoding="utf-8")


def _publish(inside: Path, target: Path, role: str) -> None:
    files = sorted(
        (file for file in inside.parent.iterdir() if file.name != _LOCK), key=lambda file: (file != inside, file.name)
    )
    if not files or files[0] != inside:
        raise HSFusionError(f"{role}: '{target}' was not written.")
    for suffix in _COMPANIONS:
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    try:
        for file in files:
            os.replace(file, target.with_name(file.name))
    except OSError as error:
        raise HSFusionError(
            f"{role}: cannot replace '{target}' ({error.strerror or error}); close the programs that have it open."
        ) from error
