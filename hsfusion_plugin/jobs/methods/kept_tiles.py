"""Finished tiles of a run that has not finished: kept on disk, so that the same run, started again, continues where it
was.

A tile is a pure function of what is sent for it, so its key is the hash of just that: pixels, place, scene model,
parameters, the model's sha256, the version. Whatever changes gives another key, and what was kept is not used.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable, TypeVar

import numpy as np
from osgeo import gdal

from ....models.listener import never
from ....models.version import VERSION
from ....models.wire.full_band import FullBandRequest
from ....models.wire.tile import TileRequest
from ...backend.client.client import Client
from ...backend.settings import Settings
from ...backend.work import work_root
from ..request import FusionRequest
from ..run.progress import Progress

OLDEST_DAYS = 7.0
SPARE_BYTES, SPARE_SHARE = 1_000_000_000, 0.1  # of the disk are left free, whichever is more
_WRITTEN_ONLY = (
    "output",
    "uncertainty",
    "quality",
    "ensemble",
    "report",
    "options",
    "data_type",
    "backend",
)  # change no tile
MARKER = "hsfusion-tiles.txt"
_NAME = re.compile(r"[0-9a-f]{20}")
M = TypeVar("M")
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class TileStore:
    """The tiles of one run in `folder`; threads may share it. A disk that is full ends the keeping, not the run."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.reused, self.kept = 0, 0
        self._warn, self._off = warn, False
        self._lock, self._numbers = threading.Lock(), itertools.count()

    def find(self, key: str, expect: Mapping[str, tuple[int, ...]] | None) -> dict[str, np.ndarray] | None:
        """The kept tensors of a tile, or None; a damaged file is removed."""
        path = self.path(key)
        try:
            with np.load(path, allow_pickle=False) as file:
                tensors = {name: file[name] for name in file.files}
        except FileNotFoundError:
            return None
        except _DAMAGED:
            path.unlink(missing_ok=True)
            return None
        if any(name not in tensors or tensors[name].shape != tuple(shape) for name, shape in (expect or {}).items()):
            return None
        with self._lock:
            self.reused += 1
        return tensors

    def keep(self, key: str, tensors: Mapping[str, np.ndarray]) -> None:
        """Keep a finished tile: the file appears whole or not at all."""
        if self._off:
            return
        part = self.folder / f".part-{os.getpid()}-{next(self._numbers)}"
        try:
            _mark(self.folder)
            disk, size = shutil.disk_usage(self.folder), sum(array.nbytes for array in tensors.values())
            if disk.free < max(SPARE_BYTES, SPARE_SHARE * disk.total) + size:
                raise OSError(0, "its disk is nearly full, HSFUSION_WORK may name a folder on another one")
            with open(part, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
                for name, array in tensors.items():
                    _write(archive, name, np.ascontiguousarray(array))
            os.replace(part, self.path(key))
        except OSError as error:
            self._off = True
            _remove(part)
            self._warn(
                f"Finished tiles can no longer be kept in {self.folder.parent} ({error.strerror or error}): "
                "the run goes on, but if it breaks off these tiles are worked on again."
            )
            return
        with self._lock:
            self.kept += 1

    def remove(self) -> None:
        """Forget the run."""
        if is_ours(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, key: str) -> Path:
        """The file of a tile."""
        return self.folder / f"{key[:40]}.npz"


class KeepingClient:
    """A client that asks the backend only for what the store does not have; without the model's sha256 it keeps
    nothing.
    """

    def __init__(self, client: Client, store: TileStore) -> None:
        self._client, self._store = client, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def infer(
        self,
        model: str,
        tensors: Mapping[str, np.ndarray],
        request: TileRequest | FullBandRequest | Mapping[str, Any],
        cancelled: Callable[[], bool] = never,
        expect: Mapping[str, tuple[int, ...]] | None = None,
    ) -> dict[str, np.ndarray]:
        """As Client.infer."""
        sha256 = self._client.sha256(model)
        if not sha256:
            return self._client.infer(model, tensors, request, cancelled, expect)
        plain = request if isinstance(request, Mapping) else request.to_message()
        key = tile_key(sha256, tensors, {**plain, "replies": getattr(self._client, "replies", "full")})
        found = self._store.find(key, expect)
        if found is None:
            found = self._client.infer(model, tensors, request, cancelled, expect)
            self._store.keep(key, found)
        return found


def tile_key(sha256: str, tensors: Mapping[str, np.ndarray], request: Mapping[str, Any]) -> str:
    """The hash of everything that a tile's result depends on."""
    digest = hashlib.sha256(f"{VERSION} {sha256} {_text(request)}".encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f" {name} {array.dtype.str} {array.shape} ".encode())
        digest.update(memoryview(array).cast("B") if array.size else b"")
    return digest.hexdigest()


@contextmanager
def kept_tiles(method: M, request: FusionRequest, sha256: str, progress: Progress) -> Iterator[M]:
    """`method` (with a `client`), which finds the tiles of this very run that were finished before.

    They are forgotten when the block ends well, else kept. `sha256` is the model's; without it nothing is kept.
    """
    settings = Settings.read()
    if settings.work == "off" or not sha256:
        yield method
        return
    root = work_root() if settings.work else work_root() / "tiles"
    _tidy(root)
    store = TileStore(root / run_name(request, sha256), progress.warn)
    waiting = sum(1 for _ in store.folder.glob("*.npz"))
    if waiting:
        progress.info(f"This run was begun before: {waiting} finished tile(s) of it are at hand in {store.folder}.")
    try:
        yield replace(method, client=KeepingClient(method.client, store))
    except BaseException:
        if store.kept or store.reused:
            progress.info(
                f"{store.kept + store.reused} finished tile(s) are kept in {store.folder}: the same run, started "
                "again, continues from there."
            )
        raise
    if store.reused:
        progress.info(f"{store.reused} finished tile(s) of the earlier run were used again.")
    store.remove()


def run_name(request: FusionRequest, sha256: str) -> str:
    """A name for the run's folder: other inputs or parameters, another model or version, another folder."""
    files = {}
    for role in ("hsi", "msi", "mask", "srf_file", "model_file"):
        path = getattr(request, role)
        files[role] = [path and str(Path(path).resolve()) if path and Path(path).exists() else path, *_facts(path)]
    asked = {name: value for name, value in asdict(request).items() if name not in _WRITTEN_ONLY}
    return hashlib.sha256(f"{VERSION} {sha256} {_text(files)} {_text(asked)}".encode()).hexdigest()[:20]


def _facts(path: str) -> list[int]:
    """Size and time of a file, also one that GDAL alone reaches (/vsizip/, /vsicurl/); [] where there are none."""
    if path and os.path.isfile(path):
        found = os.stat(path)
        return [found.st_size, found.st_mtime_ns]
    found = gdal.VSIStatL(path) if path else None
    return [found.size, found.mtime] if found is not None else []


def _tidy(root: Path) -> None:
    """Remove what nobody came back for."""
    for folder in root.glob("*"):
        try:
            if time.time() - folder.stat().st_mtime > OLDEST_DAYS * 86400 and is_ours(folder):
                shutil.rmtree(folder)
        except OSError:  # another run removes it too
            continue


def is_ours(folder: Path) -> bool:
    """Whether a folder is one that a run made: by its name, by the marker in it, and by nothing else being there."""
    if folder.is_symlink() or not (_NAME.fullmatch(folder.name) and (folder / MARKER).is_file()):
        return False
    return all(f.name == MARKER or f.suffix == ".npz" or f.name.startswith(".part-") for f in folder.iterdir())


def _mark(folder: Path) -> None:
    """Make a run's folder, with the marker by which it may be deleted again."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    if not marker.exists():
        if any(folder.iterdir()):
            raise OSError(0, "a folder of another's has the name that this run's would have")
        marker.write_text(
            "Finished tiles of a run of HSFusion; the folder is deleted when it is not needed.\n", "utf-8"
        )


def _write(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """As numpy.savez, which would copy the array, and leave its file half open on a full disk."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
        member.write(memoryview(array).cast("B") if array.size else b"")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
