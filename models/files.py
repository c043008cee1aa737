"""Files of others: only regular ones are opened, and none is waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """A regular file for reading; OSError where there is none, or what has its name is a folder, a pipe or a device."""
    without_waiting = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | without_waiting))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(None, "it is no regular file", str(path))
    return file


def size_of_own(path: Path) -> int:
    """Bytes of a file that is regular and known by no other name; 0 where there is none."""
    try:
        facts = os.lstat(path)
    except OSError:
        return 0
    return facts.st_size if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 else 0


def new_file(path: Path) -> BinaryIO:
    """A new file for writing in the place of whatever has its name; a link is removed, and never followed."""
    path.unlink(missing_ok=True)
    return open(path, "xb")


def continued_file(path: Path) -> BinaryIO:
    """A file of ours to write on at its end; OSError where a link or something else has its name now."""
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "ab")
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        file.close()
        raise OSError(None, "it is no file of its own", str(path))
    return file
