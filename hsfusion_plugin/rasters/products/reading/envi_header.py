"""ENVI headers: which image they belong to, and what they say."""

from __future__ import annotations

import re
from pathlib import Path

from .source import Source

_ENTRY = re.compile(r"^\s*([^={}\n]+?)\s*=\s*(\{[^}]*\}|[^\n]*)", re.MULTILINE)
_ENDINGS = ("", ".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".cube", ".bin", ".float", ".tif")


def header_of(path: Path) -> Path | None:
    """The header of an image: NAME.hdr or NAME with another ending."""
    for candidate in (path.with_name(path.name + ".hdr"), path.with_suffix(".hdr"), path.with_name(path.name + ".HDR")):
        if candidate != path and candidate.is_file():
            return candidate
    return None


def envi_file(path: Path) -> Path | None:
    """The image that goes with a header, or the image itself if it has one; None for other files."""
    if path.suffix.lower() != ".hdr":
        return path if header_of(path) is not None and _begins_well(header_of(path)) else None
    if not _begins_well(path):
        return None
    stem = path.with_suffix("")
    candidates = [stem.with_name(stem.name + ending) for ending in _ENDINGS]
    return next((file for file in candidates if file.is_file()), None)


def envi_header(source: Source, path: Path) -> dict[str, str]:
    """The header's entries in small letters, lists without braces; {} where there is none."""
    header = header_of(path)
    if header is None:
        return {}
    found = _ENTRY.findall(source.text(header))
    return {key.strip().lower(): value.strip().strip("{}").strip() for key, value in found}


def _begins_well(header: Path) -> bool:
    try:
        with header.open("rb") as file:
            return file.read(4) == b"ENVI"
    except OSError:
        return False
