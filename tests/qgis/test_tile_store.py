"""Finished tiles outlive a run that broke off, and serve the same run only."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.jobs.methods import kept_tiles as tile_store
from hsfusion.hsfusion_plugin.jobs.methods.kept_tiles import TileStore, kept_tiles, tile_key
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.writing.staging import amount, check_writable
from hsfusion.models.errors import HSFusionError

TILE = {"y": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}


class Counting:
    """A client that doubles y and counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def sha256(self, model: str) -> str:
        return "a" * 64 if model == "m" else ""

    def infer(self, model, tensors, request, cancelled=None, expect=None):
        self.asked += 1
        return {"x": 2 * tensors["y"]}


class Heard(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.info = self.warn = self.lines.append


@dataclass(frozen=True)
class Method:
    """What has a client."""

    client: Counting


@contextmanager
def kept(request, counting, sha256="a" * 64, progress=None):
    with kept_tiles(Method(counting), request, sha256, progress or Progress()) as method:
        yield method.client


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tile_store, "SPARE_SHARE", 0.0)
    monkeypatch.setattr(tile_store, "SPARE_BYTES", 0)
    monkeypatch.setenv("HSFUSION_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def request_(tmp_path) -> FusionRequest:
    for name in ("hsi", "msi"):
        (tmp_path / name).write_bytes(b"pixels")
    return FusionRequest(hsi=str(tmp_path / "hsi"), msi=str(tmp_path / "msi"), output=str(tmp_path / "out.tif"))


def ask(client, number: int, model: str = "m"):
    return client.infer(model, TILE, {"place": number}, expect={"x": (1, 2, 3)})["x"]


def broken_run(request, counting, tiles: int = 3) -> None:
    with pytest.raises(RuntimeError), kept(request, counting) as client:
        for number in range(tiles):
            ask(client, number)
        raise RuntimeError("the server died")


def test_a_run_that_broke_off_continues_and_then_leaves_nothing(request_, work):
    counting, heard = Counting(), Heard()
    broken_run(request_, counting)
    with kept(request_, counting, progress=heard) as client:
        for number in range(5):
            np.testing.assert_array_equal(ask(client, number), 2 * TILE["y"])
    assert counting.asked == 5, "three before, two now"
    assert "3 finished tile(s) of it are at hand" in heard.lines[0] and "were used again" in heard.lines[-1]
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("change", ["input", "parameter", "model", "pixels"])
def test_what_changed_is_worked_on_again(request_, work, change):
    counting, sha256 = Counting(), "a" * 64
    broken_run(request_, counting)
    tile = TILE
    if change == "input":
        os.utime(request_.hsi, ns=(1, 1))
    elif change == "parameter":
        request_ = replace(request_, samples=2)
    elif change == "model":
        counting.sha256, sha256 = lambda model: "b" * 64, "b" * 64
    else:  # a GDAL string whose file nobody can look at
        tile = {"y": TILE["y"] + 1}
    with kept(request_, counting, sha256) as client:
        client.infer("m", tile, {"place": 0})
    assert counting.asked == 4


def test_what_only_concerns_the_file_written_does_not_count(request_, work):
    counting = Counting()
    broken_run(request_, counting)
    other = replace(request_, output=request_.output + "2", options="COMPRESS=LZW", data_type="Int16", backend="remote")
    with kept(other, counting) as client:
        ask(client, 0)
    assert counting.asked == 3


def test_the_key_holds_all_that_matters():
    base = tile_key("a", TILE, {"seed": 1})
    assert base == tile_key("a", {"y": TILE["y"].copy()}, {"seed": 1})
    others = [
        tile_key("b", TILE, {"seed": 1}),
        tile_key("a", TILE, {"seed": 2}),
        tile_key("a", {"y": TILE["y"].reshape(1, 3, 2)}, {"seed": 1}),
        tile_key("a", {"z": TILE["y"]}, {"seed": 1}),
        tile_key("a", {"y": TILE["y"].astype(np.float64)}, {"seed": 1}),
    ]
    assert len({base, *others}) == 6


def test_damaged_files_and_other_shapes_are_not_used(tmp_path):
    store = TileStore(tmp_path / "run", pytest.fail)
    store.keep("k" * 64, {"x": np.ones((2, 300), np.float32)})
    (path,) = store.folder.glob("*.npz")
    whole = path.read_bytes()
    assert store.find("k" * 64, {"x": (2, 300)})["x"].sum() == 600
    assert store.find("k" * 64, {"x": (1, 300)}) is None and store.find("l" * 64, None) is None
    for damaged in (b"", whole[: len(whole) // 2], whole[:400] + b"\1" + whole[401:]):
        path.write_bytes(damaged)
        assert store.find("k" * 64, {"x": (2, 300)}) is None and not path.exists()


def test_a_full_disk_ends_the_keeping_and_not_the_run(request_, work, monkeypatch):
    monkeypatch.setattr(tile_store, "SPARE_BYTES", 10**18)
    heard, counting = Heard(), Counting()
    with kept(request_, counting, progress=heard) as client:
        for number in range(3):
            ask(client, number)
        (run,) = work.iterdir()
        assert [f.name for f in run.iterdir()] in ([], [tile_store.MARKER])
    assert [line for line in heard.lines if "its disk is nearly full" in line] == heard.lines


def test_a_file_that_cannot_be_written_whole_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    warned: list[str] = []
    store = TileStore(tmp_path / "run", warned.append)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        for key in "kl":
            store.keep(key * 64, {"x": np.ones((20, 3000), np.float32), "std": np.ones((20, 3000), np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(warned) == 1 and "can no longer be kept" in warned[0]
    assert [f.name for f in store.folder.iterdir()] == [tile_store.MARKER] and store.kept == 0


def test_off_and_without_a_hash_nothing_is_kept(request_, work, monkeypatch):
    counting = Counting()
    monkeypatch.setenv("HSFUSION_WORK", "off")
    broken_run(request_, counting)
    monkeypatch.setenv("HSFUSION_WORK", str(work))
    with kept(request_, counting, "") as client:
        ask(client, 0)
    with kept(request_, counting) as client:
        ask(client, 0, "a server that tells no hash")
    assert not work.exists() and counting.asked == 5


def test_what_nobody_came_back_for_is_removed_and_the_rest_is_not(request_, work):
    """A folder goes only if a run of ours made it: its name, the marker, and nothing else in it."""
    root, ours, marker = work, "0123456789abcdef0123", tile_store.MARKER
    places = {
        ours: ("tile.npz", marker),
        "1" * 20: ("tile.npz",),  # somebody's arrays in a folder of such a name
        "2" * 20: ("tile.npz", marker, "thesis.doc"),
        "3" * 20: (),  # empty
        "arrays": ("tile.npz", marker),  # a copy that somebody keeps
        "empty": (),
        "4" * 20: ("tile.npz", marker),  # young
    }
    for name, contents in places.items():
        (root / name).mkdir(parents=True)
        for content in contents:
            (root / name / content).touch()
        if not name.startswith("4"):
            past = time.time() - (tile_store.OLDEST_DAYS + 1) * 86400
            os.utime(root / name, (past, past))
    (root / ("5" * 20)).symlink_to(root / ours)
    with kept(request_, Counting()):
        pass
    assert {path.name for path in root.iterdir()} == {*places, "5" * 20} - {ours}


def test_a_finished_run_takes_only_its_own_folder_along(request_, work):
    counting = Counting()
    with kept(request_, counting) as client:
        ask(client, 0)
        (folder,) = work.iterdir()
        (folder / "notes.txt").touch()
    assert folder.is_dir(), "somebody has put a file there"


def test_a_request_may_be_an_object(request_, work):
    class Request:
        def __init__(self, seed):
            self.seed = seed

        def to_message(self):
            return {"seed": self.seed}

    counting = Counting()
    with pytest.raises(ZeroDivisionError), kept(request_, counting) as client:
        for seed in (1, 2, 1):
            client.infer("m", {"y": np.ones(2, np.float32)}, Request(seed))
        raise ZeroDivisionError
    assert counting.asked == 2


@pytest.mark.parametrize(
    ("place", "words"), [("{file}", "is a file"), ("{file}/below", "is a file"), ("~nobody-at-all/x", "no such user")]
)
def test_a_work_folder_that_is_none_is_said(request_, tmp_path, monkeypatch, place, words):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HSFUSION_WORK", place.format(file=tmp_path / "file"))
    with pytest.raises(HSFusionError, match=words), kept(request_, Counting()):
        pass


def test_a_name_that_is_too_long_is_said_before_the_work(tmp_path):
    with pytest.raises(HSFusionError, match="too long; give one of at most"):
        check_writable(tmp_path / ("x" * 250 + ".tif"))
    assert amount(3e5) == "0.30 MB" and amount(2.5e9) == "2.50 GB"
