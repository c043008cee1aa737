"""What of a batch is done: a file in its folder that says of every output by what it was made, and with which
result.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ....models.version import VERSION
from ...rasters.writing.provenance import plain_json
from ...rasters.writing.staging import write_text
from ..request import FusionRequest

NAME = "hsfusion-batch.json"
_WRITTEN_ELSEWHERE = ("OUTPUT", "REPORT", "UNCERTAINTY", "QUALITY", "BACKEND", "TILE_SIZE")  # change no pixel


class Ledger:
    """Read at the beginning, written after every pair. folder: of the batch."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            self._entries = {k: v for k, v in found.items() if isinstance(v, dict) and "key" in v}
        except (OSError, ValueError, AttributeError):
            return

    def done(self, request: FusionRequest) -> dict[str, Any] | None:
        """The results of this very request, if it was finished and its output is there; else None."""
        entry = self._entries.get(Path(request.output).name)
        wanted = [p for p in (request.output, request.report, request.uncertainty, request.quality) if p]
        if entry is None or entry["key"] != key_of(request) or not all(Path(p).is_file() for p in wanted):
            return None
        return dict(entry.get("results", {}))

    def add(self, request: FusionRequest, results: dict[str, Any]) -> None:
        """Note a finished pair."""
        self._entries[Path(request.output).name] = {"key": key_of(request), "results": plain_json(results)}
        write_text(self._path, json.dumps(self._entries, indent=1) + "\n", "OUTPUT_FOLDER")


def key_of(request: FusionRequest) -> str:
    """A hash of all that the result depends on: parameters, the input files as they are now, the version."""
    parameters = {k: v for k, v in request.parameters().items() if k not in _WRITTEN_ELSEWHERE}
    stats = []
    for path in (request.hsi, request.msi, request.mask, request.srf_file, request.model_file):
        try:
            stat = os.stat(path) if path else None
            stats.append([stat.st_size, stat.st_mtime_ns] if stat else None)
        except OSError:  # a GDAL string
            stats.append(None)
    text = json.dumps([VERSION, plain_json(parameters), stats], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
