"""`hsfusion-benchmark speed --compare`: the other checkout comes and goes, and a slower command is found out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("rasterio")

from hsfusion.models.errors import HSFusionError
from hsfusion.scripts.benchmarking.speed import compare as command
from hsfusion.scripts.benchmarking.speed.checkout import checkout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    place = tmp_path / "repository"
    git = ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "--quiet", str(place)], check=True)
    for text in ("old", "new"):
        (place / "file").write_text(text, encoding="utf-8")
        subprocess.run([*git, "add", "file"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", text], check=True)
    return place


def _worktrees(repository: Path) -> int:
    listed = subprocess.run(
        ["git", "-C", str(repository), "worktree", "list"], check=True, capture_output=True, text=True
    )
    return len(listed.stdout.splitlines())


def test_the_other_commit_is_there_and_then_gone(repository):
    (repository / "file").write_text("not committed", encoding="utf-8")
    with pytest.raises(RuntimeError), checkout(repository, "HEAD~1") as place:
        assert (place / "file").read_text(encoding="utf-8") == "old" and _worktrees(repository) == 2
        (place / "more").write_text("left behind", encoding="utf-8")
        raise RuntimeError
    assert not place.parent.exists() and _worktrees(repository) == 1
    assert (repository / "file").read_text(encoding="utf-8") == "not committed"


@pytest.mark.parametrize("commit", ["0123456789", "--detach", ""])
def test_a_commit_that_is_not_there_is_named(repository, commit):
    with pytest.raises(HSFusionError, match="no such commit"), checkout(repository, commit):
        pass
    assert _worktrees(repository) == 1


def test_a_slower_command_is_found_out_by_its_cpu_time(tmp_path):
    """Two programs in the place of qgis_process, one of which counts twelve times as far."""
    sides = {}
    for name, count in (("old", 1_500), ("new", 18_000)):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ni=0\nwhile [ $i -lt {count} ]; do i=$((i+1)); done\n", encoding="utf-8")
        program.chmod(0o755)
        sides[name] = command.Side(str(program), {})
    found = command._compared("glp-hs", sides["old"], sides["new"], [], tmp_path, 6)
    assert found.cpu.slower and 1.1 < found.cpu.ratio < 12
    assert any("slower by more than 5%" in line for line in command.lines("HEAD", [found], 64, 8))
    same = command._compared("glp-hs", sides["old"], sides["old"], [], tmp_path, 6)
    assert 0.6 < same.cpu.ratio < 1.6


def test_what_cannot_be_compared_is_said():
    with pytest.raises(HSFusionError, match="choose of glp-hs"):
        command.compare("HEAD", ["glp"], 7, 64, 8)
    with pytest.raises(HSFusionError, match="--pairs 6"):
        command.compare("HEAD", ["glp-hs"], 3, 64, 8)


def test_a_failing_run_gives_its_words(tmp_path):
    program = tmp_path / "fails"
    program.write_text("#!/bin/sh\necho The HSI is empty.\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(HSFusionError, match="The HSI is empty"):
        command.Side(str(program), {}).run(["hsfusion:fuse"], command.Times())


def test_a_checkout_gets_only_the_parameters_that_it_knows(tmp_path):
    program = tmp_path / "helps"
    program.write_text("#!/bin/sh\nprintf 'LIGHT: Light\\n\\tGiven DEFECTS before\\n'\n", encoding="utf-8")
    program.chmod(0o755)
    assert command.Side(str(program), {}).known("fuse", ["LIGHT=none", "DEFECTS=none"]) == ["LIGHT=none"]
