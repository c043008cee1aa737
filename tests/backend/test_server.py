"""The server on its own: routes, limits, the line, TLS; asked with plain requests, as any client would."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests

from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import BackendRefused, TileTooLarge
from hsfusion.models.errors import RunCancelled
from hsfusion.models.server.auth import allowed
from hsfusion.models.wire import half, protocol

FAKE_SERVE = Path(__file__).resolve().with_name("_fake_serve.py")
TOKEN = "token-of-this-test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(model_folder):
    """The base address of a server with room for two tiles and requests of one MiB."""
    port = free_port()
    command = [sys.executable, "-I", str(FAKE_SERVE), "--device", "cpu", "--models", str(model_folder)]
    command += ["--port", str(port), "--tiles", "2", "--request-mib", "1", "--workers", "1"]
    process = subprocess.Popen(command, env={**os.environ, "HSFUSION_TOKEN": TOKEN}, stderr=subprocess.PIPE)
    base = f"http://127.0.0.1:{port}"
    client = Client(base)
    end = time.monotonic() + 60
    while not client.ready():
        assert process.poll() is None and time.monotonic() < end, process.stderr.read().decode()
        time.sleep(0.1)
    yield base
    process.terminate()
    process.communicate(timeout=60)


@pytest.fixture
def session():
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield session


def body_of(tensors=None, **request):
    tensors = {"y": np.ones((1, 2, 2), np.float32)} if tensors is None else tensors
    body, length = protocol.encode_request(tensors, {"hsfusion": json.dumps(request)})
    return {"data": body, "headers": {protocol.HEAD_LENGTH: str(length)}}


def test_health_needs_no_token_and_all_else_does(server, session):
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert requests.get(server + path, timeout=60).status_code == 200
    for path in ("/v2", "/v2/models", "/v2/models/fake", "/v2/models/none"):
        assert requests.get(server + path, timeout=60).json()["code"] == "unauthorized"
    assert requests.post(server + "/v2/models/fake/infer", **body_of(), timeout=60).status_code == 401
    assert session.get(server + "/v2", timeout=60).json()["extensions"][0] == "binary_tensor_data"
    for path in ("/docs", "/openapi.json"):
        assert session.get(server + path, timeout=60).status_code == 404


def test_models(server, session):
    names = [model["name"] for model in session.get(server + "/v2/models", timeout=60).json()["models"]]
    assert "fake" in names
    model = session.get(server + "/v2/models/fake", timeout=60).json()
    assert json.loads(model["parameters"]["card"])["spectral_mode"] == "fake"
    assert session.get(server + "/v2/models/fake/ready", timeout=60).status_code == 200
    missing = session.get(server + "/v2/models/none", timeout=60)
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown-model")


def test_a_plain_json_client_gets_plain_json(server, session):
    request = {"inputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1, 2], "data": [1.0, 2.5]}]}
    reply = session.post(server + "/v2/models/fake/infer", json=request, timeout=60).json()
    assert reply["outputs"][0]["data"] == [2.0, 5.0]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"data": b"nonsense"}, 400, "says that its head"),
        ({"headers": {protocol.HEAD_LENGTH: "-5"}}, 400, "must be a number"),
        ({"headers": {}}, 400, "not that of"),
    ],
)
def test_malformed_requests(server, session, change, status, words):
    reply = session.post(server + "/v2/models/fake/infer", **{**body_of(), **change}, timeout=60)
    assert reply.status_code == status and words in reply.json()["error"]


def test_other_refusals(server, session):
    body, length = protocol.encode_request({}, {"hsfusion": "[1]"})
    url, headers = server + "/v2/models/fake/infer", {protocol.HEAD_LENGTH: str(length)}
    assert "must be a JSON object" in session.post(url, data=body, headers=headers, timeout=60).json()["error"]
    body, length = protocol.encode_request({}, {"model_sha256": "0" * 64})
    reply = session.post(url, data=body, headers={protocol.HEAD_LENGTH: str(length)}, timeout=60)
    assert (reply.status_code, reply.json()["code"]) == (409, "model-changed")
    reply = session.post(url, **body_of(deed="bug"), timeout=60)
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")


def test_too_large_announced_and_unannounced(server, session):
    big = body_of({"y": np.zeros(2**19, np.float32)})
    reply = session.post(server + "/v2/models/fake/infer", **big, timeout=60)
    assert (reply.status_code, reply.json()["code"]) == (413, "too-large")
    whole = bytes(big["data"])
    chunks = (whole[i : i + 65536] for i in range(0, len(whole), 65536))
    try:
        reply = session.post(server + "/v2/models/fake/infer", data=chunks, headers=big["headers"], timeout=60)
        assert reply.status_code == 413
    except requests.ConnectionError:  # the server may hang up while we still send
        pass
    assert session.post(server + "/v2/models/fake/infer", **body_of(), timeout=60).status_code == 200
    client = Client(server, TOKEN)
    assert client.server()["hsfusion"]["request_bytes"] == 2**20
    with pytest.raises(TileTooLarge, match="up to 1 MiB"):
        client.infer("fake", {"y": np.zeros(2**19, np.float32)}, {})


def test_a_full_line_is_429_and_everybody_is_served_in_the_end(server):
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        slow = [
            threading.Thread(
                target=requests.post,
                args=(server + "/v2/models/fake/infer",),
                kwargs={**body_of(seconds=1.0), "timeout": 60},
            )
            for _ in range(2)
        ]
        for thread in slow:
            thread._kwargs["headers"]["Authorization"] = f"Bearer {TOKEN}"
            thread.start()
        time.sleep(0.4)
        reply = session.post(server + "/v2/models/fake/infer", **body_of(), timeout=60)
        assert (reply.status_code, reply.json()["code"]) == (429, "busy")
        assert int(reply.headers["Retry-After"]) >= 1
        for thread in slow:
            thread.join()

    client, served = Client(server, TOKEN), []
    tile = {"y": np.ones((1, 2, 2), np.float32)}
    crowd = [
        threading.Thread(target=lambda: served.append(client.infer("fake", tile, {"seconds": 0.1}))) for _ in range(6)
    ]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(served) == 6


def sample(text: str, name: str) -> float:
    """A metric's value, by its name with labels."""
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(value)


def test_metrics_as_prometheus_reads_them_and_without_secrets(server, session):
    assert requests.get(server + "/metrics", timeout=60).status_code == 401, "behind the token, where there is one"
    before = session.get(server + "/metrics", timeout=60)
    assert before.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    url = server + "/v2/models/fake/infer"
    assert session.post(url, **body_of(), timeout=60).status_code == 200
    assert session.post(url, **body_of(deed="refuse"), timeout=60).status_code == 422
    assert session.post(server + '/v2/models/none"}/infer', **body_of(), timeout=60).status_code == 404
    text = session.get(server + "/metrics", timeout=60).text

    def more(name: str) -> float:
        return sample(text, name) - (sample(before.text, name) if f"{name} " in before.text else 0.0)

    assert more('hsfusion_requests_total{model="fake",status="200"}') == 1
    assert more('hsfusion_errors_total{code="refused"}') == 1
    assert more('hsfusion_requests_total{model="",status="404"}') == 1, "only models that exist are names"
    assert sample(text, 'hsfusion_model_loads_total{model="fake"}') == 1
    assert sample(text, "hsfusion_workers") == 1 and sample(text, "hsfusion_waiting_tiles") == 0
    count = sample(text, 'hsfusion_tile_seconds_count{model="fake"}')
    assert sample(text, 'hsfusion_tile_seconds_bucket{model="fake",le="+Inf"}') == count
    assert sample(text, 'hsfusion_tile_seconds_bucket{model="fake",le="0.05"}') <= count
    assert TOKEN not in text and "none" not in text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .+|[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+', line), line


def test_replies_in_half_the_bytes(server, session):
    y = np.random.default_rng(0).normal(5000, 900, (3, 32, 32)).astype(np.float32)
    body, length = protocol.encode_request({"y": y}, {"hsfusion": "{}", half.EXTENSION: True})
    assert half.EXTENSION in session.get(server + "/v2", timeout=60).json()["extensions"]
    headers = {protocol.HEAD_LENGTH: str(length)}
    reply = session.post(server + "/v2/models/fake/infer", data=body, headers=headers, timeout=60)
    message = protocol.decode_reply(reply.content, int(reply.headers[protocol.HEAD_LENGTH]))
    assert message.tensors["x"].dtype == np.float16 and len(reply.content) < 0.6 * y.nbytes
    error = np.abs(half.restored(message.tensors)["x"][0] - 2 * y).max()
    assert 0 < error < 3e-4 * 2 * np.ptp(y)


@pytest.mark.parametrize(("device", "workers"), [("cpu,cpu", 0), ("cpu", 2)])
def test_two_workers_and_batches_by_setting(model_folder, device, workers):
    with running_server(model_folder, "--device", device, "--workers", str(workers), "--batch", "4") as base:
        client = Client(base)
        ours = client.server()["hsfusion"]
        told = (ours["workers"], ours["batch"], ours["device"].replace(" ", ""))
        assert told == (2, 4, device) and client.in_flight == 4
        client.infer("fake", {"y": np.ones(2, np.float32)}, {})
        client.infer("fake", {"y": np.ones(2, np.float32)}, {})
        begun = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(
                lambda _: client.infer("fake", {"y": np.ones(2, np.float32)}, {"seconds": 3.0}), range(2)
            ):
                pass
        assert time.monotonic() - begun < 5.9, "at the same time"


@contextlib.contextmanager
def running_server(model_folder, *arguments: str):
    """The address of a server without a token."""
    port = free_port()
    command = [sys.executable, "-I", str(FAKE_SERVE), "--models", str(model_folder), "--port", str(port), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        base, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while not Client(base).ready():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        yield base
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_tls(model_folder, tmp_path, monkeypatch):
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    openssl += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(openssl, check=True, capture_output=True)
    command = [sys.executable, "-I", str(FAKE_SERVE), "--device", "cpu", "--models", str(model_folder)]
    command += ["--port", str(port), "--tls-cert", str(certificate), "--tls-key", str(key)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        endpoint, end = f"https://localhost:{port}", time.monotonic() + 60
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        while not Client(endpoint).ready():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        assert Client(endpoint).infer("fake", {"y": np.ones(2, np.float32)}, {})["x"].tolist() == [[2.0, 2.0]]
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(BackendRefused, match="certificate of .* is not trusted"):
            Client(endpoint).models()
        begun = time.monotonic()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with pytest.raises(RunCancelled):
            Client(endpoint).infer("fake", {}, {"seconds": 60.0}, cancelled=lambda: time.monotonic() > begun + 0.3)
        assert time.monotonic() - begun < 1.5
    finally:
        process.kill()
        process.wait()


def test_tokens():
    assert allowed(None, None) and allowed("Bearer a", "a") and allowed("bearer a", "a")
    for header in (None, "", "a", "Bearer", "Bearer b", "Basic a", "Bearer ä", "Bearer a b"):
        assert not allowed(header, "a")


def test_a_server_for_others_needs_a_token(model_folder):
    environment = {name: value for name, value in os.environ.items() if name != "HSFUSION_TOKEN"}
    command = [sys.executable, "-I", str(FAKE_SERVE), "--host", "0.0.0.0", "--models", str(model_folder)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "Set HSFUSION_TOKEN" in result.stderr
