"""A client that believes no server: replies without end, bombs, wrong types, tokens and addresses that must not travel
or be quoted.
"""

from __future__ import annotations

import gzip
import json
import time

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client import client as module
from hsfusion.hsfusion_plugin.backend.client import transport
from hsfusion.hsfusion_plugin.backend.client.adaptation import AdaptationJob
from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import BackendError, BackendRefused, BadReply, TileTooLarge
from hsfusion.hsfusion_plugin.backend.client.transport import Transport
from hsfusion.models.runners.precision import made_up_tile
from hsfusion.models.wire import protocol

SECRET = "hunter2"


def answering(content: bytes, status: int = 200, **headers: str):
    def answer(handler, _):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def endless(piece: bytes, pause_s: float = 0.0):
    def answer(handler, _):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(piece)
                time.sleep(pause_s)
        except OSError:
            handler.close_connection = True

    return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Retries without their pauses, and bounds that a test reaches."""
    monkeypatch.setattr(module, "_wait", lambda seconds, stop: None)
    monkeypatch.setattr(module, "_SHORT_REPLY_S", 0.5)
    monkeypatch.setattr(module, "TRIES", 2)
    monkeypatch.setattr(transport, "LEAST_RATE", 1e6)
    monkeypatch.setattr(transport, "CONNECT_S", 2.0)


HOSTILE = {
    "endless": endless(b" " * 65536),
    "trickle": endless(b" ", 0.05),
    "bomb": answering(gzip.compress(b"[" * 10_000_000), Content_Encoding="gzip"),
    "announced": answering(b"{}", Content_Length="9" * 30),
    "huge": answering(b"{}", Content_Length=str(1 << 40)),
    "deep": answering(b'{"models":' + b"[" * 200_000),
    "nothing": answering(b""),
    "list": answering(b"[1, 2]"),
    "numbers": answering(b'{"models": 5}'),
    "names": answering(b'{"models": [{"name": 7}]}'),
    "cards": answering(b'{"models": [{"name": "m", "card": {"name": "m", "halo": -5}}]}'),
    "many": answering(json.dumps({"models": ["m"] * 5000}).encode()),
    "binary": answering(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_lists_of_models_from_anybody(misbehaving, kind):
    misbehaving.get = HOSTILE[kind]
    began = time.monotonic()
    with pytest.raises(BackendError) as caught:
        Client(misbehaving.endpoint).models()
    assert time.monotonic() - began < 20
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        {"request_bytes": -5, "workers": 10**9, "batch": True, "limits": {"memory": -1, "samples": "many"}},
        {"request_bytes": "5", "workers": None, "limits": [1]},
        [1],
        None,
    ],
)
def test_what_a_server_tells_of_itself_is_believed_within_reason(misbehaving, told, tile):
    misbehaving.get = answering(json.dumps({"version": 5, "extensions": "x", "hsfusion": told}).encode())
    client = Client(misbehaving.endpoint)
    client.server()
    assert 2 <= client.in_flight <= 4 and client._largest is None and client._limits == {}


def test_a_tile_that_a_server_would_refuse_is_not_sent(misbehaving):
    card = {
        "name": "m",
        "architecture": "net",
        "spectral_mode": "subspace",
        "components": 12,
        "settings": {"components": 12, "width": 64},
        "schedule": {"kind": "linear"},
        "default_steps": 1,
    }
    tensors, request, _, _ = made_up_tile(12)
    client = Client(misbehaving.endpoint)
    misbehaving.get = answering(json.dumps({"hsfusion": {"limits": {"memory": 10_000_000}}}).encode())
    client.server()
    misbehaving.get = answering(json.dumps({"models": [{"name": "m", "card": card}]}).encode())
    client.models()
    with pytest.raises(TileTooLarge, match="smaller TILE_SIZE"):
        client.infer("m", tensors, request)
    assert all(not body for _, _, body in misbehaving.requests)


@pytest.mark.parametrize("kind", ["endless", "trickle", "bomb", "announced", "deep", "binary"])
def test_a_tiles_reply_from_anybody(misbehaving, kind, tile, monkeypatch):
    monkeypatch.setattr(module.Pace, "allowed", lambda self, work: 0.5)
    monkeypatch.setattr(module, "most_bytes", lambda expect: 1 << 20)
    misbehaving.answers = [HOSTILE[kind]]
    began = time.monotonic()
    with pytest.raises(BackendError):
        Client(misbehaving.endpoint).infer("m", tile, {}, expect={"x": (1, 3, 4, 5)})
    assert time.monotonic() - began < 20


def test_an_errors_text_is_cut_and_clean(misbehaving, tile):
    text = json.dumps({"error": "bad\n" + "x" * 100_000 + "\ud800", "code": 5}).encode()
    misbehaving.answers = [answering(text, 422)]
    with pytest.raises(BackendRefused) as caught:
        Client(misbehaving.endpoint).infer("m", tile, {})
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    "reply", [b"[]", b'{"state": 5}', b'{"job": "a", "state": "better"}', b'{"state": "done", "x": 1}']
)
def test_facts_of_an_adaptation_from_anybody(misbehaving, reply):
    misbehaving.get = answering(reply)
    job = AdaptationJob(Client(misbehaving.endpoint), "m")
    with pytest.raises(BadReply):
        job.facts()


@pytest.mark.parametrize(
    "token", [f"{SECRET}\nX-Evil: 1", f"{SECRET}\r\n", f" {SECRET}", f"{SECRET}é", f"{SECRET}\u4e2d", f"{SECRET}\0"]
)
def test_a_token_that_no_header_can_carry_is_said_at_once_and_not_quoted(token):
    began = time.monotonic()
    with pytest.raises(BackendRefused, match="token holds characters") as caught:
        Client("http://127.0.0.1:1", token)
    assert SECRET not in str(caught.value) and time.monotonic() - began < 1


@pytest.mark.parametrize(
    "endpoint",
    [
        f"ftp://user:{SECRET}@host",
        f"http://user:{SECRET}@host",
        f"http://{SECRET}@host",
        f"user:{SECRET}@host",
        f"https://host:{SECRET}",
        f"https://[{SECRET}",
        f"https://host/?token={SECRET}",
        f"https://host/{SECRET} x",
        f"https:///{SECRET}",
        "",
    ],
)
def test_an_address_that_is_none_is_not_quoted(endpoint):
    with pytest.raises(BackendRefused, match="endpoint") as caught:
        Transport(endpoint, "")
    assert SECRET not in str(caught.value)


def test_good_addresses_stay():
    for endpoint, wanted in (
        ("https://gpu.example.org:8000/v2/", "https://gpu.example.org:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://host/path/v2", "https://host/path"),
    ):
        assert Transport(endpoint, "").endpoint == wanted


def test_a_run_calls_itself_by_one_name(misbehaving, tile):
    reply, length = protocol.encode_reply("m", {"x": np.zeros((1, 2), np.float32)}, {})
    misbehaving.answers = [answering(reply, **{protocol.HEAD_LENGTH.replace("-", "_"): str(length)})]
    client = Client(misbehaving.endpoint)
    for _ in range(2):
        client.infer("m", tile, {})
    names = {headers[transport.CLIENT] for _, headers, _ in misbehaving.requests}
    assert len(names) == 1 and len(names.pop()) == 16
