"""Whole files or none: outputs are made in a hidden folder beside their final name and moved there when everything is
well.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ....models.errors import HSFusionError
from ...locks import locked
from ..reading.files_behind import files_behind, identity
from .layout import Layout
from .sidecars import SUFFIXES, raster_is_ours, sidecar_of

LONGEST_NAME = 220  # bytes, so that what is laid beside a file has a name too: file systems take 255
_LOCK = ".lock"
_RASTERS = (".tif", ".tiff")
_YOUNG_S = 1.0  # between making the lock and holding it lies a moment
# GDAL reads these as parts of the raster beside them; those of a raster that is replaced are wrong for the new one.
_NOTES, _OVERVIEWS, _MASK = ".aux.xml", ".ovr", ".msk"
_COMPANIONS = (_NOTES, _OVERVIEWS, _MASK)


def check_outputs(outputs: Mapping[str, str | Path | None], inputs: Sequence[str | Path | None] = ()) -> list[str]:
    """Refuse, before the work, what could not be written after it; outputs: path by role, inputs: whatever the run
    reads.

    Returns sentences on files of others that stay where they are, so that one of ours gets another name. HSFusionError
    as in check_writable, and where two outputs, or an output and what is laid beside another one, have one name.
    """
    targets = {role: Path(path).absolute() for role, path in outputs.items() if path}
    roles: dict[Path, str] = {}
    for role, target in targets.items():
        check_writable(target, role=role, inputs=inputs)
        place = target.parent.resolve() / target.name
        if place in roles:
            raise HSFusionError(f"{roles[place]} and {role} are the same file: give one of them another name.")
        roles[place] = role
    notes = []
    for role, target in targets.items():
        for suffix in SUFFIXES if target.suffix.lower() in _RASTERS else ():
            own = target.with_suffix(suffix)
            taken = roles.get(own.parent.resolve() / own.name)
            if taken:
                raise HSFusionError(
                    f"{taken}: '{own.name}' is what is written beside {role} ('{target.name}'); choose another name."
                )
            if sidecar_of(target, suffix) != own:
                notes.append(
                    f"'{own}' is not ours and stays: what belongs to {role} is '{sidecar_of(target, suffix).name}'."
                )
    return notes


def check_writable(
    path: str | Path, size: int = 0, role: str = "OUTPUT", inputs: Sequence[str | Path | None] = ()
) -> Path:
    """Final path, absolute.

    HSFusionError when its folder is missing, cannot be written or has less than `size` bytes left, and when the path,
    or a file that would go with it, is among the files behind `inputs`, whatever links or names of GDAL's lead there.
    """
    target = Path(path).absolute()
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise HSFusionError(
            f"{role}: the name '{target.name[:40]}...' is too long; give one of at most {LONGEST_NAME} bytes."
        )
    replaced = [target, *(target.with_name(target.name + suffix) for suffix in _COMPANIONS)]
    existing = {key for key in map(identity, replaced) if key is not None}
    if existing and existing & files_behind(inputs):
        raise HSFusionError(
            f"{role}: '{target}' is one of the inputs, or a part of one, and would be lost; choose another name."
        )
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
            f"{role}: '{folder}' has {amount(free)} left and up to {amount(size)} are needed; free some space or "
            "choose another disk."
        )
    return target


def amount(size: float) -> str:
    """Bytes for people: in GB, or in MB where that would be 0.00."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


@contextmanager
def staged(path: str | Path, size: int = 0, role: str = "OUTPUT") -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder; at a clean exit all files there move beside `path`, the
    named one first.

    Any exception, and the end of the interpreter, removes the folder instead; what a killed process left is removed by
    the next one that writes there. Errors as in check_writable.
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
    try:
        _clear_companions(inside, target, role)
        for file in files:
            os.replace(file, _final(file, target))
    except OSError as error:
        raise HSFusionError(
            f"{role}: cannot replace '{target}' ({error.strerror or error}); close the programs that have it open."
        ) from error


def _final(file: Path, target: Path) -> Path:
    """Where a staged file goes; sidecars keep out of the way of other people's."""
    beside = file.name == target.stem + file.suffix and file.suffix in SUFFIXES and file.suffix != target.suffix
    return sidecar_of(target, file.suffix) if beside else target.with_name(file.name)


def _clear_companions(inside: Path, target: Path, role: str) -> None:
    """Keep GDAL from taking what lies beside the old raster for a part of the new one.

    If that raster was ours, its notes, overviews and mask go with it. Those of others stay or get another name;
    overviews that stay are not looked at where the raster has its own.
    """
    found = {suffix: path for suffix in _COMPANIONS if (path := target.with_name(target.name + suffix)).exists()}
    ours = bool(found) and raster_is_ours(target)
    for suffix, path in found.items():
        if ours:
            path.unlink()
        elif suffix == _OVERVIEWS:
            Layout({}, overviews=True).finish(inside, role)
        else:
            path.rename(_unused(path))


def _unused(path: Path) -> Path:
    """A free name for a file that has to make room."""
    names = (path.with_name(f"{path.name}.before{number or ''}") for number in count())
    return next(name for name in names if not name.exists())
