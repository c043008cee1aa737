"""Nothing unbounded in the server: a real process, attacked by one who knows the token and by one who does not."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.models.runners.precision import made_up_tile
from hsfusion.models.wire import protocol

FAKE_SERVE = Path(__file__).resolve().with_name("_fake_serve.py")
TOKEN = "token-of-this-test"
MODEL = "hsfusion-base"
MIB = 1 << 20
BOUNDS = ["--tile-mib", "300", "--samples", "8", "--tile-seconds", "100", "--head-seconds", "1", "--body-seconds", "2"]
BOUNDS += ["--connections", "60", "--request-mib", "8", "--house-mib", "24"]


class Served:
    """A running server: its address, its process, its log."""

    def __init__(self, process: subprocess.Popen, port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.base = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes that the process has, or has had at most (VmHWM)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))

    def healthy(self, within_s: float = 2.0) -> bool:
        """Whether it answers."""
        return requests.get(self.base + "/v2/health/ready", timeout=within_s).status_code == 200

    def infer(self, model, tensors, details, **parameters):
        """One request, as it comes back."""
        parameters["hsfusion"] = details if isinstance(details, str) else json.dumps(details)
        body, length = protocol.encode_request(tensors, parameters)
        headers = {protocol.HEAD_LENGTH: str(length)}
        return self.session.post(f"{self.base}/v2/models/{model}/infer", data=body, headers=headers, timeout=60)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def serving(folder: Path, models: Path, *arguments: str, secure: bool = False):
    """A server with its log in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-I", str(FAKE_SERVE), "--device", "cpu", "--models", str(models)]
    log = folder / "server.log"
    with log.open("wb") as file:
        environment = {**os.environ, "HSFUSION_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([*command, "--port", str(port), *arguments], env=environment, stderr=file)
    server = Served(process, port, log)
    try:
        end = time.monotonic() + 120
        while not (_listens(port) if secure else Client(server.base).ready()):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory, model_folder):
    with serving(tmp_path_factory.mktemp("server"), model_folder, *BOUNDS, "--load", MODEL) as found:
        end = time.monotonic() + 60
        while f"loaded {MODEL}" not in found.log.read_text() and time.monotonic() < end:
            time.sleep(0.2)
        yield found


@pytest.fixture(scope="module")
def tile():
    """Tensors and message of a tile that the bundled model takes."""
    tensors, request, _, _ = made_up_tile(12)
    return tensors, json.loads(json.dumps(request.to_message()))


def changed(message: dict, where: str, value) -> dict:
    message = copy.deepcopy(message)
    *path, last = where.split(".")
    inner = message
    for name in path:
        inner = inner[name]
    inner[last] = value
    return message


def test_an_honest_tile_passes(server, tile):
    tensors, message = tile
    reply = server.infer(MODEL, tensors, message)
    assert reply.status_code == 200, reply.text
    x = protocol.decode_reply(reply.content, int(reply.headers[protocol.HEAD_LENGTH])).tensors["x"]
    assert x.shape == (1, 12, 96, 96) and np.isfinite(x).all()


@pytest.mark.parametrize(
    ("where", "value", "status"),
    [
        ("model.sampling.ratio", 1e6, 422),
        ("model.sampling.fwhm_y", 1e6, 422),
        ("model.sampling.ratio", 999.0, 413),
        ("samples", 10**6, 413),
        ("samples", 9, 413),
        ("steps", 10_001, 422),
        ("model.y_std", [1.0] * 11, 422),
        ("model.kernel.weights", [[1.0] * 12], 422),
        ("place.fine.rows", [0, 10**9], 422),
        ("model.scene_shape", [0, 96], 422),
        ("seed", 2**70, 422),
    ],
)
def test_a_small_request_cannot_ask_for_much(server, tile, where, value, status):
    tensors, message = tile
    message = changed(message, where, value)
    if value == 999.0:
        message["model"]["sampling"]["fwhm_y"] = 99.0
    before, began = server.memory("VmHWM"), time.monotonic()
    reply = server.infer(MODEL, tensors, message)
    assert reply.status_code == status, reply.text[:300]
    assert server.memory("VmHWM") - before < 200 * MIB
    assert time.monotonic() - began < 5
    assert server.healthy()


def test_tensors_without_bytes_but_with_sides(server, tile):
    tensors, message = tile
    before = server.memory("VmHWM")
    reply = server.infer(MODEL, {**tensors, "y": np.zeros((12, 10**8, 0), np.float32)}, message)
    assert reply.status_code == 422 and server.memory("VmHWM") - before < 50 * MIB


def test_numbers_that_are_not_finite_are_refused(server, tile):
    tensors, message = tile
    for bad in (np.nan, np.inf):
        z = tensors["z"].copy()
        z[0, 0, 0] = bad
        reply = server.infer(MODEL, {**tensors, "z": z}, message)
        assert reply.status_code == 422 and "not finite" in reply.json()["error"]


def test_a_large_tile_is_refused_before_it_is_computed_and_the_client_knows_it_beforehand(server, tile):
    told = server.session.get(server.base + "/v2", timeout=60).json()["hsfusion"]["limits"]
    assert told["memory"] == 300 * MIB and told["samples"] == 8 and told["seconds"] == 100
    side = 512
    message = copy.deepcopy(tile[1])
    message["model"]["scene_shape"] = [side, side]
    fine, coarse = ({"rows": [0, n], "cols": [0, n]} for n in (side, 128))
    message["place"], message["core"] = {"fine": fine, "coarse": coarse}, fine
    tensors = {
        "y": np.zeros((12, 128, 128), np.float32),
        "z": np.zeros((4, side, side), np.float32),
        "y_mask": np.ones((128, 128), np.float32),
        "z_mask": np.ones((side, side), np.float32),
    }
    before = server.memory("VmHWM")
    reply = server.infer(MODEL, tensors, message)
    assert (reply.status_code, reply.json()["code"]) == (413, "too-large") and "MiB of memory" in reply.json()["error"]
    assert server.memory("VmHWM") - before < 100 * MIB


def test_a_job_has_its_time_and_no_more(tmp_path, model_folder):
    with serving(tmp_path, model_folder, "--tile-seconds", "2") as server:
        began = time.monotonic()
        reply = server.infer("fake", {"y": np.ones(2, np.float32)}, {"seconds": 0.2, "steps": 1000})
        assert reply.status_code == 413 and "2 seconds" in reply.json()["error"]
        assert time.monotonic() - began < 15
        assert server.infer("fake", {"y": np.ones(2, np.float32)}, {}).status_code == 200


def test_a_job_whose_client_has_gone_ends_at_the_next_step(server, tmp_path):
    note = tmp_path / "note"
    with contextlib.suppress(requests.Timeout):
        body, length = protocol.encode_request(
            {"y": np.ones(2, np.float32)},
            {"hsfusion": json.dumps({"seconds": 0.1, "steps": 35, "note": str(note)})},
        )
        headers = {protocol.HEAD_LENGTH: str(length)}
        server.session.post(f"{server.base}/v2/models/fake/infer", data=body, headers=headers, timeout=0.8)
    end = time.monotonic() + 2
    while not note.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert note.read_text() == "cancelled between steps"


def test_unknown_outputs_are_refused_before_the_tile_is_computed(server):
    head = {
        "inputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}],
        "outputs": [{"name": "nothing"}],
        "parameters": {"hsfusion": '{"seconds": 3}'},
    }
    began = time.monotonic()
    reply = server.session.post(f"{server.base}/v2/models/fake/infer", json=head, timeout=60)
    assert reply.status_code == 400 and "no output 'nothing'" in reply.json()["error"]
    assert time.monotonic() - began < 2


def test_large_texts_are_not_decoded(server):
    numbers = ",".join(["1.0"] * 600_000)
    text = '{"inputs":[{"name":"y","datatype":"FP32","shape":[600000],"data":[' + numbers + "]}]}"
    reply = server.session.post(f"{server.base}/v2/models/fake/infer", data=text, timeout=60)
    assert (reply.status_code, reply.json()["code"]) == (413, "too-large")


def test_an_answer_that_is_no_json_is_not_sent_as_json(server):
    request = {
        "inputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}],
        "parameters": {"hsfusion": '{"deed": "nan"}'},
    }
    reply = server.session.post(f"{server.base}/v2/models/fake/infer", json=request, timeout=60)
    assert reply.status_code == 400 and "not finite" in reply.json()["error"]


def opened(server, count: int, sent: bytes) -> list[socket.socket]:
    found = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        found.append(connection)
    return found


def test_half_open_connections_block_nobody(server):
    size = server.log.stat().st_size
    held = opened(server, 200, b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-Half: ")
    try:
        assert server.healthy(), "although there are more than it takes"
        time.sleep(1.5)
        assert server.infer("fake", {"y": np.ones(2, np.float32)}, {}).status_code == 200
        closed = 0
        for connection in held:
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                closed += connection.recv(1) == b""
                continue
            closed += 1
        assert closed == len(held), "whoever does not say what for is closed"
        assert server.log.stat().st_size - size < 5000, "one line of a kind and minute"
    finally:
        for connection in held:
            connection.close()


def test_bodies_that_trickle_take_no_place(server):
    head = f"POST /v2/models/fake/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100000\r\n\r\n"  # noqa: E501
    held = opened(server, 20, head.encode())
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.3):
            for connection in held:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        began = time.monotonic()
        assert server.infer("fake", {"y": np.ones(2, np.float32)}, {}).status_code == 200
        assert time.monotonic() - began < 2
        answers = []
        for connection in held:
            connection.settimeout(15)
            answers.append(connection.recv(4096))
        assert all(b" 408 " in answer for answer in answers), answers[:2]
    finally:
        stop.set()
        thread.join()
        for connection in held:
            connection.close()


def test_all_bodies_together_have_a_bound(server):
    """Announced, but never sent: what others have announced leaves no room, and who comes is told to come later."""
    head = f"POST /v2/models/fake/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {8 * MIB - 9}\r\n\r\n"  # noqa: E501
    held = opened(server, 3, head.encode())
    try:
        time.sleep(0.3)
        reply = server.infer("fake", {"y": np.zeros(MIB // 2, np.float32)}, {})
        assert reply.status_code == 429 and int(reply.headers["Retry-After"]) >= 1
    finally:
        for connection in held:
            connection.close()
    time.sleep(0.5)
    assert server.infer("fake", {"y": np.zeros(MIB // 2, np.float32)}, {}).status_code == 200


@pytest.mark.parametrize("chunk", [b"f" * 30, b"fffffffffffffff\r\n" + b"x" * 100, b"5;" + b"e" * 40_000])
def test_endless_chunks_are_refused(server, chunk):
    head = f"POST /v2/models/fake/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"  # noqa: E501
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        connection.sendall(head.encode() + chunk)
        answer = connection.recv(4096)
    assert answer == b"" or b" 400 " in answer or b" 408 " in answer or b" 413 " in answer


def test_memory_comes_back(server, tile):
    tensors, message = tile
    server.infer(MODEL, tensors, message)
    before = server.memory()
    for n in range(20):
        server.infer("fake", {"y": np.zeros((1, 1024 + n, 1024), np.float32)}, {})
        server.infer(MODEL, tensors, changed(message, "samples", 10**6))
        server.infer("fake", {"y": np.ones(2, np.float32)}, "[" * 100_000)
    server.infer(MODEL, tensors, message)
    assert server.memory() < 1.05 * before


def test_nothing_above_left_a_traceback(server):
    assert "Traceback" not in server.log.read_text()
