"""The files on disk behind the name of a raster: directly, through GDAL's prefixes, or as sources of a virtual
raster.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..gdal_calls import collected_errors, open_dataset

_SEPARATORS = re.compile(r"""[:,|"'?&{}<>]|(?<=vsi)\w+/""")
_DEEPEST = 8  # virtual rasters of virtual rasters
_LONGEST = 1000
Identity = tuple[int, int]  # of a file, the same through every link


def identity(path: str | Path) -> Identity | None:
    """Device and number of a file, links followed; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def files_behind(names: Iterable[str | Path | None]) -> set[Identity]:
    """Every file that a run reads when it is given these names: rasters, their sidecars, and what they are made of."""
    found: set[Identity] = set()
    todo = [(str(name), 0) for name in names if name]
    seen: set[str] = set()
    while todo:
        name, depth = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        found.update(filter(None, map(identity, _named(name))))
        if depth < _DEEPEST:
            todo += [(file, depth + 1) for file in _files_of_raster(name)]
    return found


def _named(name: str) -> set[str]:
    """Files whose path is the name or stands in it, as in GTIFF_DIR:1:x.tif, /vsisubfile/0_99,x.tif or
    /vsizip/x.zip/y.tif.
    """
    if len(name) > _LONGEST:  # a virtual raster as text, whose sources GDAL lists
        return set()
    cuts = sorted({0, len(name), *(p for m in _SEPARATORS.finditer(name) for p in m.span())})
    parts = {name[a:b] for i, a in enumerate(cuts) for b in cuts[i + 1 :]}
    parts |= {part.lstrip("/") for part in parts} | {f"/{part.lstrip('/')}" for part in parts if part.startswith("//")}
    return {file for file in map(_file, parts) if file}


def _file(text: str) -> str | None:
    """The text, or what it begins with, as the path of a file that exists."""
    try:
        path = Path(text)
        return next((str(p) for p in (path, *path.parents) if p.is_file()), None)
    except (OSError, ValueError):
        return None


def _files_of_raster(name: str) -> list[str]:
    if os.path.isdir(name):
        return []
    dataset, _ = open_dataset(name)
    with collected_errors():
        return list((dataset.GetFileList() if dataset is not None else None) or [])
    return []
