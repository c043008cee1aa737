"""What becomes of `hsfusion:fuse` when somebody or something is killed in the middle of a tile, with a real model at
work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
from hsfusion.hsfusion_plugin.backend.settings import Settings
from hsfusion.hsfusion_plugin.rasters.writing.staging import write_text

pytestmark = [pytest.mark.slow, pytest.mark.backend]
ROOT = Path(__file__).resolve().parents[2]
MAKE_MODEL = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
from pathlib import Path
from hsfusion.models.runners.subspace import build_network
from hsfusion.models.training.subspace.card import make_card
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.runners.weights import save_model
config = load_config(Path(sys.argv[1]) / "resources" / "configs" / "hsfusion-base.yaml")
card = make_card(config, 0, 0.0, [])
save_model(Path(sys.argv[2]) / "untrained.safetensors", build_network(card["settings"]).state_dict(), card)
"""


@pytest.fixture(scope="module")
def pair(qgis_process, sample, tmp_path_factory) -> dict[str, str]:
    """Parameters of a fusion that takes far longer than these tests, of a model without training."""
    folder = tmp_path_factory.mktemp("faults")
    subprocess.run([str(find_python(Settings())), "-I", "-c", MAKE_MODEL, str(ROOT), str(folder)], check=True)
    hsi, msi = str(folder / "hsi.tif"), str(folder / "msi.tif")
    qgis_process("hsfusion:simulate", REFERENCE=sample, RATIO=4, SENSOR="Sentinel-2A", OUTPUT_HSI=hsi, OUTPUT_MSI=msi)
    model = str(folder / "untrained.safetensors")
    return {"HSI": hsi, "MSI": msi, "MODEL_FILE": model, "GUARD": "false", "SAMPLES": "64", "STEPS": "20"}


def children(pid: int) -> list[int]:
    """The Python processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().rsplit(")", 1)
        except OSError:
            continue
        if int(rest.split()[1]) == pid and "python" in name:
            found.append(int(stat.parent.name))
    return found


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def log_of(pid: int) -> Path:
    return Path(os.readlink(f"/proc/{pid}/fd/2"))


def wait_for(condition, seconds: float = 90.0):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return result


def begin(qgis_process, pair, output: Path):
    """A run that is within its first tile, and the child that works on it."""
    output.parent.mkdir()
    process = qgis_process.start("hsfusion:fuse", OUTPUT=output, **pair)
    try:
        child = wait_for(lambda: children(process.pid))[0]
        wait_for(lambda: "loaded untrained" in log_of(child).read_text())
        wait_for(
            lambda: list(output.parent.glob(".hsfusion-*/*"))
        )  # the model is loaded before the estimates are there
        time.sleep(1.2)  # a younger lock may be one that is about to be held
    except BaseException:
        process.kill()
        raise
    return process, child


@pytest.mark.parametrize(
    ("blow", "code", "words"),
    [(signal.SIGINT, 1, "cancelled"), (signal.SIGTERM, 1, "cancelled"), (signal.SIGKILL, -signal.SIGKILL, "")],
)
def test_nothing_is_left_behind(qgis_process, pair, tmp_path, blow, code, words):
    output = tmp_path / "out" / "fused.tif"
    process, child = begin(qgis_process, pair, output)
    try:
        begun = time.monotonic()
        os.kill(process.pid, blow)
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - begun < 2.0
    finally:
        process.kill()
    assert process.returncode == code
    assert words in out + err
    wait_for(lambda: not running(child), 3.0)
    assert not output.exists()
    if blow == signal.SIGKILL:  # nobody could; the next run that writes there does
        write_text(output.with_name("other.txt"), "")
        output.with_name("other.txt").unlink()
    assert list(output.parent.iterdir()) == []


def test_a_child_that_dies_is_started_again(qgis_process, pair, tmp_path):
    output = tmp_path / "out" / "fused.tif"
    process, child = begin(qgis_process, pair, output)
    try:
        for blow in (signal.SIGKILL, signal.SIGSEGV):
            os.kill(child, blow)
            child = wait_for(lambda dead=child: [pid for pid in children(process.pid) if pid != dead])[0]
            wait_for(lambda alive=child: "loaded untrained" in log_of(alive).read_text())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and "cancelled" in out + err
    wait_for(lambda: not running(child), 3.0)
    assert list(output.parent.iterdir()) == []
