"""What the tests with foreign servers share: their interpreters, a real tile with its right answer, a pair of rasters,
`qgis_process`.

scripts/dev/test-interop makes the interpreters and runs all this inside a network namespace.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.models.observation import Degradation, Sampling, coarse_shape
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.tiles.plan import Tile
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.wire.tile import TileRequest

ROOT = Path(__file__).resolve().parents[2]
MODEL = "hsfusion-base"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is left out of other runs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("extra")


def interpreter(name: str) -> str:
    """The Python of build/interop/NAME."""
    python = ROOT / "build" / "interop" / name / "bin" / "python"
    if not python.is_file():
        pytest.fail(f"{python} is missing: run these tests with scripts/dev/test-interop")
    return str(python)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Served:
    """A server that is ready: a client of it, its process and its log."""

    client: Client
    process: subprocess.Popen
    log: Path


@contextlib.contextmanager
def serving(
    environment: str,
    script: str,
    *options: str,
    folder: Path,
    token: str | None = None,
    ready: str = f"/v2/models/{MODEL}/ready",
) -> Iterator[Served]:
    """A script of scripts/ in the interpreter of an environment of build/interop ("" = this one), ended afterwards."""
    port, log = free_port(), folder / f"{Path(script).stem}.log"
    python = interpreter(environment) if environment else sys.executable
    command = [python, str(ROOT / "scripts" / script), "--device", "cpu"]
    command += ["--http_port" if environment == "kserve" else "--port", str(port), *options]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("HSFUSION_")}
    if token:
        variables["HSFUSION_TOKEN"] = token
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=variables, cwd=ROOT)
    try:
        client = Client(f"http://127.0.0.1:{port}", token)
        end = time.monotonic() + 900
        while not (client.ready() and _answers(client, ready)):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{script} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.3)
        yield Served(client, process, log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """`serving`, with its log in a folder of the tests' own."""
    return functools.partial(serving, folder=tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def python_of():
    """The interpreter of an environment of build/interop."""
    return interpreter


def _answers(client: Client, path: str) -> bool:
    try:
        return client._transport.call("GET", path, lambda: False, read_s=10).status_code == 200
    except requests.RequestException:
        return False


@dataclass(frozen=True)
class RealTile:
    """A tile as the plugin sends it: tensors, request, the shapes that come back, and what this machine's
    engine says.
    """

    tensors: dict[str, np.ndarray]
    request: dict[str, Any]
    expect: dict[str, tuple[int, ...]]
    answer: dict[str, np.ndarray]
    sha256: str


@pytest.fixture(scope="session")
def engine():
    """The engine in this process."""
    from hsfusion.models.runners.engine import Engine

    return Engine([ROOT / "resources" / "models"], "cpu")


@pytest.fixture(scope="session")
def tile(engine, make_scene) -> RealTile:
    """64 x 64 pixels of a synthetic scene with 30 bands, one sample of one step."""
    truth, sampling = make_scene(30, 64, 64), Sampling(4.0, 1.1, 1.1)
    random = np.random.default_rng(0)
    hsi = (Degradation.whole(sampling, (64, 64))(truth) + random.normal(0, 8, (30, 16, 16))).astype(np.float32)
    msi = (truth[[3, 9, 16, 24]] + random.normal(0, 8, (4, 64, 64))).astype(np.float32)
    scene = fit_scene([whole_block(hsi, msi)], sampling)
    rows, cols = coarse_shape((64, 64), 4.0)
    place = Place(Window.whole((64, 64)), Window.whole((rows, cols)))
    one = Tile(Window(range(8, 48), range(16, 64)), place)
    tensors = {
        "y": scene.subspace.project(hsi).astype(np.float32),
        "z": scene.standardise(msi),
        "y_mask": np.ones((rows, cols), np.float32),
        "z_mask": np.ones((64, 64), np.float32),
    }
    request = TileRequest.of(scene.coefficients, one, seed=7, steps=1, samples=1).to_message()
    answer = engine.infer(MODEL, tensors, request)
    return RealTile(
        tensors,
        request,
        {n: a.shape for n, a in answer.items()},
        answer,
        next(m.sha256 for m in engine.models() if m.name == MODEL),
    )


@pytest.fixture(scope="session")
def compare(tile):
    """compare(client, name): the tile through a client equals this machine's engine; prints what it took."""

    def check(client: Client, name: str) -> None:
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            reply = client.infer(MODEL, tile.tensors, tile.request, expect=tile.expect)
            seconds.append(time.monotonic() - began)
        apart = max(float(np.abs(reply[n] - a).max() / np.abs(a).max()) for n, a in tile.answer.items())
        sent, got = (sum(a.nbytes for a in t.values()) / 1e6 for t in (tile.tensors, reply))
        print(
            f"\n{name}: {sent:.2f} MB there, {got:.2f} MB back, {min(seconds):.3f} s; "
            f"largest difference {apart:.1e} of the largest value"
        )
        assert apart <= 1e-5

    return check


class QgisProcess:
    """`qgis_process` in the profile that scripts/setup made."""

    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process") or "qgis_process"

    def __call__(self, algorithm: str, env: dict[str, str] | None = None, **parameters: Any) -> dict[str, Any]:
        """The outputs of a run that must succeed."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("HSFUSION_")}
        environment.update(QGIS_CUSTOM_CONFIG_PATH=str(ROOT / "build" / "qgis"), **(env or {}))
        done = subprocess.run(
            [self.program, "--json", "run", algorithm, "--", *(f"{n}={v}" for n, v in parameters.items())],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
        return json.loads(done.stdout[done.stdout.find("{") :])["results"]


@pytest.fixture(scope="session")
def qgis_process() -> QgisProcess:
    return QgisProcess()


@pytest.fixture(scope="session")
def pair(qgis_process, tmp_path_factory) -> dict[str, str]:
    """HSI and MSI made from the bundled scene, and the local backend's result FUSED; the run's parameters."""
    folder = tmp_path_factory.mktemp("pair")
    made = {"OUTPUT_HSI": folder / "hsi.tif", "OUTPUT_MSI": folder / "msi.tif"}
    reference = ROOT / "resources" / "sample" / "indian_pines.tif"
    qgis_process("hsfusion:simulate", REFERENCE=reference, RATIO=4, SENSOR="Sentinel-2A", **made)
    wanted = {"HSI": made["OUTPUT_HSI"], "MSI": made["OUTPUT_MSI"], "GUARD": "false", "TILE_SIZE": 64, "STEPS": 1}
    local = {"HSFUSION_PYTHON": str(ROOT / ".venv" / "bin" / "python"), "HSFUSION_DEVICE": "cpu"}
    qgis_process("hsfusion:fuse", local, **wanted, BACKEND="local", OUTPUT=folder / "local.tif")
    return {**{n: str(v) for n, v in wanted.items()}, "FUSED": str(folder / "local.tif")}


@pytest.fixture
def through_qgis(qgis_process, pair, tmp_path):
    """through_qgis(endpoint, token): `hsfusion:fuse` at this endpoint gives the pixels that the local backend gives;
    its provenance.
    """
    import rasterio

    def check(endpoint: str, token: str = "") -> dict[str, Any]:
        output = tmp_path / "remote.tif"
        wanted = {name: value for name, value in pair.items() if name != "FUSED"}
        remote = {"HSFUSION_ENDPOINT": endpoint, "HSFUSION_TOKEN": token}
        qgis_process("hsfusion:fuse", remote, **wanted, BACKEND="remote", OUTPUT=output)
        with rasterio.open(output) as found, rasterio.open(pair["FUSED"]) as local:
            a, b = found.read(), local.read()
        np.testing.assert_allclose(a, b, atol=1e-5 * float(np.nanmax(b)))
        return json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))

    return check
