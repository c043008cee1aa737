"""The list of models that can be had: names, pinned addresses, sizes and hashes, as a YAML file.

models:
  - name: hsfusion-large            # the file is NAME.safetensors
    url: https://host/path/hsfusion-large.safetensors
    sha256: <64 hexadecimal digits>
    size: 61234567                  # bytes
    licence: CC-BY-4.0
    about: One sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ....models import plain_yaml
from ....models.cards import LARGEST_FILE, SUFFIX
from ....models.files import open_regular
from ...paths import RESOURCES
from ..client.errors import HSFusionError

BUNDLED = RESOURCES / "models.yaml"
_LONGEST = 1_000_000  # bytes of a manifest
LONGEST_URL = 2000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Entry:
    """One model of a manifest; size in bytes, `licence` and `about` may be empty."""

    name: str
    url: str
    sha256: str
    size: int
    licence: str = ""
    about: str = ""

    @property
    def file_name(self) -> str:
        """Name of the model's file."""
        return self.name + SUFFIX

    @property
    def sentence(self) -> str:
        """For a list: name, size, licence, what it is."""
        return f"{self.name} ({self.size / 1e6:.1f} MB, licence {self.licence or 'not stated'}) {self.about}".rstrip()


def read_manifest(path: Path) -> list[Entry]:
    """The entries of a manifest in its order; HSFusionError that names the first one that is not as it should be."""
    try:
        with open_regular(path) as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise HSFusionError(f"MANIFEST {path} is larger than a list of models: choose another file.")
        content = plain_yaml.loaded(text.decode("utf-8"))
    except OSError as error:
        raise HSFusionError(f"MANIFEST {path} cannot be read ({error.strerror}): choose another file.") from error
    except ValueError as error:
        raise HSFusionError(f"MANIFEST {path} cannot be used ({error}): mend it or choose another file.") from error
    listed = content.get("models") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise HSFusionError(f"MANIFEST {path} has no list `models`: mend it or choose another file.")
    entries = [_entry(item, number, path) for number, item in enumerate(listed, 1)]
    seen: set[str] = set()
    for name in (entry.name.lower() for entry in entries):
        if name in seen:
            raise HSFusionError(f"MANIFEST {path} lists {name} more than once: leave one of them.")
        seen.add(name)
    return entries


def find_entry(name: str, entries: list[Entry], path: Path) -> Entry:
    """The entry of this name; HSFusionError with the names there are."""
    for entry in entries:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in entries) or "none"
    raise HSFusionError(f"MANIFEST {path} has no model called {name} (it lists: {names}): choose one of these.")


def _entry(item: Any, number: int, path: Path) -> Entry:
    given = item if isinstance(item, dict) else {}
    name, url, digest, size = (given.get(key) for key in ("name", "url", "sha256", "size"))
    wrong = None
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        wrong = "a name of letters, digits, '.', '_' and '-'"
    elif not (isinstance(url, str) and _is_https(url)):
        wrong = "an https address as url, without user name or password"
    elif not (isinstance(digest, str) and re.fullmatch(r"[0-9a-fA-F]{64}", digest)):
        wrong = "64 hexadecimal digits as sha256"
    elif not (isinstance(size, int) and not isinstance(size, bool) and 0 < size <= LARGEST_FILE):
        wrong = "a number of bytes as size"
    if wrong:
        raise HSFusionError(f"MANIFEST {path}: model {number} needs {wrong}.")
    about, licence = (" ".join(str(given.get(key) or "").split()) for key in ("about", "licence"))
    return Entry(name, url, digest.lower(), size, licence, about)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (
        url.isascii()
        and url.isprintable()
        and len(url) <= LONGEST_URL
        and parts.scheme == "https"
        and bool(parts.hostname)
        and not (parts.username or parts.password)
    )
