"""Several processes train one network: torchrun with two gloo processes that end with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.weights import read_card
from hsfusion.models.training.distributed import World, digest

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "name": "tiny", "architecture": "ddpm-fus", "settings": {"width": 8, "levels": 2}, "train": ["one"], "test": ["one"],  # noqa: E501
    "bands": {"count": 8, "first": 450, "last": 850}, "msi": {"centres": [500, 700], "widths": [100, 100]},
    "stages": [{"size": 16, "batch": 4, "steps": 4}], "learning_rate": 1.0e-3, "validations": 1,
}  # fmt: skip
PROGRAM = """
import sys, torch
from pathlib import Path
from hsfusion.scripts.training.run import open_run
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.training.distributed import digest, join_world, leave_world
torch.set_num_threads(1)
folder = Path(sys.argv[1])
world = join_world("cpu")
run = open_run(load_config(folder / "tiny.yaml"), folder, 0, "cpu", world)
run.trainer.run(folder / "checkpoint", lambda progress: None, lambda step: None)
(folder / f"{world.rank}.txt").write_text(digest(run.trainer.network.state_dict()) + digest(run.trainer.average))
leave_world(world)
import os
sys.stdout.flush()
os._exit(0)  # as scripts/train.py ends: torch's own threads now and then abort a process at its end
"""


def test_a_batch_is_shared_evenly():
    assert World(0, 4).share(8) == 2
    with pytest.raises(HSFusionError, match="cannot be divided among 3 processes"):
        World(0, 3).share(8)


def test_a_digest_sees_every_bit():
    a = {"x": torch.zeros(3), "y": torch.ones(2)}
    assert digest(a) == digest(dict(reversed(list(a.items())))) != digest({**a, "y": torch.tensor([1.0, 1.0 + 2**-23])})


@pytest.fixture
def folder(tmp_path, make_scene) -> Path:
    """A scene and a configuration for it."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(tmp_path / "one.tif", "w", driver="GTiff", height=40, width=40, count=8, dtype="float32") as out:
        out.write(make_scene(8, 40, 40))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return tmp_path


def torchrun(processes: int, *arguments) -> None:
    """`torchrun --nproc-per-node N ARGUMENTS`, from the root."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_end_bit_equal_and_one_writes_the_model(folder):
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    torchrun(2, folder / "program.py", folder)
    digests = [(folder / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert digests[0] == digests[1]
    torchrun(2, "scripts/train.py", folder / "tiny.yaml", "--data", folder, "--out", folder / "out", "--device", "cpu")
    assert read_card(folder / "out" / "tiny.safetensors")["training"]["steps"] == 4
