"""Archives (.zip, .tar, .tar.gz): told by content, checked, and unpacked into a folder that goes away."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .....models.errors import HSFusionError
from .....models.listener import Listener

_ZIP, _GZIP, _TAR_AT, _TAR = b"PK\x03\x04", b"\x1f\x8b", 257, b"ustar"
_CHUNK = 4_000_000  # bytes that are copied at once
_SPARE = 200_000_000  # bytes of the disk that are left free
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError)


def is_archive(path: Path) -> bool:
    """Whether the file begins as an archive does, whatever its name is."""
    try:
        with path.open("rb") as file:
            head = file.read(_TAR_AT + len(_TAR))
    except OSError:
        return False
    return head.startswith((_ZIP, _GZIP)) or head[_TAR_AT:] == _TAR


def unpack(path: Path, folder: Path, role: str, listener: Listener) -> None:
    """Write the files of the archive below `folder`; `listener` may end it.

    HSFusionError: a damaged, incomplete or encrypted archive, a member that would lie outside the folder, no room on
    the disk.
    """
    what = f"{role}: '{path}'"
    try:
        members = _zip_members(path, what) if _begins_with(path, _ZIP) else _tar_members(path, what)
        for name, stream in members:
            target = folder.joinpath(*_safe_parts(name, what))
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(stream, target, what, listener)
    except _DAMAGED as error:
        raise HSFusionError(
            f"{what} cannot be unpacked ({error or type(error).__name__}): the archive is damaged or its download is "
            "incomplete, so get it again."
        ) from error


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _zip_members(path: Path, what: str) -> Iterator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(path) as archive:
        files = [member for member in archive.infolist() if not member.is_dir()]
        for member in files:
            _safe_parts(member.filename, what)
        if any(member.flag_bits & 1 for member in files):
            raise HSFusionError(f"{what} is encrypted: unpack it with its password first, and choose the folder.")
        for member in files:
            with archive.open(member) as stream:
                yield member.filename, stream


def _tar_members(path: Path, what: str) -> Iterator[tuple[str, BinaryIO]]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            _safe_parts(member.name, what)
            if member.issym() or member.islnk():
                raise HSFusionError(
                    f"{what} holds the link '{member.name}', which no product needs: unpack it yourself."
                )
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                with stream:
                    yield member.name, stream


def _safe_parts(name: str, what: str) -> tuple[str, ...]:
    """The parts of a member's path; HSFusionError where it leads out of the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or any(":" in part for part in parts[:1]):
        raise HSFusionError(
            f"{what} holds '{name}', which would be written outside its folder: the archive is not unpacked."
        )
    return parts


def _copy(stream: BinaryIO, target: Path, what: str, listener: Listener) -> None:
    with target.open("wb") as file:
        while data := stream.read(_CHUNK):
            listener.check()
            if shutil.disk_usage(target.parent).free < len(data) + _SPARE:
                raise HSFusionError(
                    f"{what} does not fit on the disk of '{target.parent}': free some space, or name another folder in "
                    "HSFUSION_WORK."
                )
            file.write(data)
