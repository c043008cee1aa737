"""The client against servers that misbehave, and what it never does with a token."""

from __future__ import annotations

import json
import socket
import time

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client import client as client_module
from hsfusion.hsfusion_plugin.backend.client import pace
from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import (
    BackendOutOfMemory,
    BackendRefused,
    BackendUnreachable,
    BadReply,
    TileTooLarge,
)
from hsfusion.hsfusion_plugin.backend.local.session import backend_kind, open_backend
from hsfusion.hsfusion_plugin.backend.settings import Settings
from hsfusion.models.errors import RunCancelled
from hsfusion.models.wire import half, protocol

X = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(client_module, "RETURN_S", 6.0)


def send(handler, status=200, body=b"", **headers):
    handler.send_response(status)
    for name, value in {"Content-Length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def tensors(x=X, sha256="a" * 64, cut=0, announce=None):
    """An answer with a tensor `x`; `cut` bytes short, though the right length is announced."""

    def answer(handler, _body):
        body, length = protocol.encode_reply("m", {"x": x}, {"model_sha256": sha256})
        sent = body[: len(body) - cut]
        send(handler, 200, sent, **{protocol.HEAD_LENGTH: length, "Content_Length": announce or len(sent)})
        handler.close_connection = True

    return answer


def status(code, sentence="", word="", **headers):
    return lambda handler, _body: send(handler, code, json.dumps({"error": sentence, "code": word}).encode(), **headers)


def drop(handler, _body):
    """Reset the connection without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.close_connection = True


def infer(server, *answers, **options):
    server.answers = list(answers)
    return Client(server.endpoint, **options).infer("m", {"y": X[0]}, {}, expect={"x": X.shape})["x"]


@pytest.mark.parametrize(
    "first",
    [
        status(429, Retry_After=0),
        status(503),
        status(502),
        status(504),
        status(408),
        lambda handler, _: send(handler, 500, b"Internal Server Error"),
        status(500, "Stub process 'm_0_0' is not healthy."),
        drop,
        tensors(cut=8),
        tensors(cut=8, announce=10**4),
    ],
)
def test_it_tries_again_where_that_helps(misbehaving, first):
    np.testing.assert_array_equal(infer(misbehaving, first, first, tensors()), X)
    assert len(misbehaving.requests) == 3
    assert misbehaving.requests[0][2] == misbehaving.requests[2][2]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (status(400, "Tensor 'y' is odd."), BackendRefused, "Tensor 'y' is odd."),
        (status(401), BackendRefused, "refused the token"),
        (status(403), BackendRefused, "refused the token"),
        (status(404), BackendRefused, "HTTP 404"),
        (status(405), BackendRefused, "HTTP 405"),
        (status(422, "The tile is odd."), BackendRefused, "The tile is odd."),
        (status(404, "There is no model called 'm'."), BackendRefused, "no model called"),
        (status(409, "The model has been replaced.", "model-changed"), BackendRefused, "replaced"),
        (status(413), TileTooLarge, "smaller TILE_SIZE"),
        (status(500, "It had no memory.", "out-of-memory"), BackendOutOfMemory, "had no memory"),
        (status(507), BackendOutOfMemory, "smaller TILE_SIZE"),
        (status(302, Location="https://elsewhere.example.org/"), BackendRefused, "redirects"),
        (tensors(X[:, :2]), BadReply, "shape"),
        (tensors(X * np.nan), BadReply, "not finite"),
        (tensors(X.astype(np.int32)), BadReply, "instead of floating point"),
    ],
)
def test_it_does_not_try_again_where_that_is_in_vain(misbehaving, answer, error, words):
    with pytest.raises(error, match=words) as caught:
        infer(misbehaving, answer)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert len(misbehaving.requests) == 1


def test_it_waits_longer_each_time_never_exactly_as_long_and_as_long_as_it_is_told(misbehaving, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 30.0)
    monkeypatch.setattr(client_module, "_wait", lambda seconds, stop: waits.append(seconds))
    infer(misbehaving, *[status(502)] * 4, tensors())
    for number, seconds in enumerate(waits):
        assert 0.25 * 2**number <= seconds <= 0.5 * 2**number
    assert len({round(seconds / 2**number, 6) for number, seconds in enumerate(waits)}) == 4, "so that clients part"
    waits.clear()
    infer(misbehaving, status(429, Retry_After=7), tensors())
    assert waits == [7.0]


def test_it_gives_up_in_the_end(misbehaving):
    with pytest.raises(BadReply, match="cut short within tensor 'x'"):
        infer(misbehaving, tensors(cut=8))
    assert len(misbehaving.requests) == client_module.TRIES
    with pytest.raises(BackendUnreachable, match="does not answer"):
        infer(misbehaving, drop)
    with pytest.raises(BackendUnreachable, match="has no time"):
        infer(misbehaving, status(429), patience_s=0.2)


def test_a_server_that_has_answered_is_waited_for_while_it_is_away(misbehaving, monkeypatch):
    misbehaving.answers = [tensors(), *[drop] * (2 * client_module.TRIES), tensors()]
    client = Client(misbehaving.endpoint)
    client.infer("m", {"y": X}, {})
    client.infer("m", {"y": X}, {})
    assert len(misbehaving.requests) == 2 * client_module.TRIES + 2
    misbehaving.answers = [drop]
    monkeypatch.setattr(client_module, "RETURN_S", 1.0)
    start = time.monotonic()
    with pytest.raises(BackendUnreachable, match="does not answer \\(remote end closed connection\\)"):
        client.infer("m", {"y": X}, {})
    assert time.monotonic() - start > 0.9


def test_a_slow_reply_is_given_up_by_what_was_measured_and_sent_again(misbehaving, monkeypatch):
    monkeypatch.setattr(pace, "LEAST_S", 0.3)

    def slow(handler, body):
        time.sleep(1.5)
        tensors()(handler, body)

    misbehaving.answers = [tensors(), tensors(), slow, tensors()]
    client = Client(misbehaving.endpoint)
    for _ in range(3):
        client.infer("m", {"y": X}, {})
    assert len(misbehaving.requests) == 4


def test_the_time_a_tile_may_take():
    measured = pace.Pace()
    assert measured.allowed(1e6) > pace.FIRST_S
    measured.measured(1e6, 100.0)
    assert measured.allowed(1e6) == pytest.approx(1000), "the first one loads the model, and there is no other yet"
    measured.measured(1e6, 10.0)
    assert measured.allowed(1e6) == pytest.approx(100)
    assert measured.allowed(50e6) == pytest.approx(5000), "fifty times the work, fifty times as long"
    assert measured.allowed(1.0) == pace.LEAST_S
    tile = {"y": X}
    assert pace.work_of(tile, {"samples": 4, "steps": 20}) == 81 * pace.work_of(tile, {})


def test_half_the_bytes_where_the_server_offers_it(misbehaving):
    def offers(*extensions):
        return lambda handler, _: send(handler, 200, json.dumps({"name": "s", "extensions": extensions}).encode())

    x = np.random.default_rng(0).normal([[[3e5]], [[-2.0]], [[0.0]]], [[[2e4]], [[1.0]], [[1e-3]]], (1, 3, 40, 50))
    x = x.astype(np.float32)

    def answer(handler, body):
        asked = b'"hsfusion_half": true' in body
        reply = half.halved({"x": x}) if asked else {"x": x}
        body, length = protocol.encode_reply("m", reply, {})
        send(handler, 200, body, **{protocol.HEAD_LENGTH: length})
        sizes.append(len(body))

    sizes, misbehaving.answers = [], [answer]
    for extensions, replies in ((["hsfusion_half"], "full"), ([], "half"), (["hsfusion_half"], "half")):
        misbehaving.get = offers(*extensions)
        client = Client(misbehaving.endpoint, replies=replies)
        client.server()
        result = client.infer("m", {"y": X}, {}, expect={"x": x.shape})["x"]
        span = x.max(axis=(-2, -1), keepdims=True) - x.min(axis=(-2, -1), keepdims=True)
        assert result.dtype == np.float32 and (np.abs(result - x) / span).max() < (3e-4 if len(sizes) == 3 else 1e-9)
    assert sizes[0] == sizes[1] and sizes[2] < 0.55 * sizes[0]


def test_half_precision_and_json_replies_are_understood(misbehaving):
    def as_json(handler, _body):
        send(handler, 200, protocol.encode_reply("m", {"x": X}, {}, binary=False)[0])

    assert infer(misbehaving, tensors(X.astype(np.float16))).dtype == np.float32
    np.testing.assert_array_equal(infer(misbehaving, as_json), X)


def test_a_model_must_not_change_during_a_run(misbehaving):
    misbehaving.answers = [tensors(sha256="a" * 64), tensors(sha256="b" * 64)]
    client = Client(misbehaving.endpoint)
    client.infer("m", {"y": X}, {})
    with pytest.raises(BadReply, match="changed during the run"):
        client.infer("m", {"y": X}, {})
    assert b'"model_sha256": "' + b"a" * 64 in misbehaving.requests[1][2]


def test_what_goes_over_the_wire(misbehaving):
    infer(misbehaving, tensors(), token="s3cret")
    path, headers, body = misbehaving.requests[0]
    assert path == "/v2/models/m/infer"
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Accept-Encoding"] == "identity"
    assert int(headers["Content-Length"]) == len(body) == int(headers[protocol.HEAD_LENGTH]) + X[0].nbytes


def test_netrc_and_proxies_do_not_reach_loopback(misbehaving, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    infer(misbehaving, tensors(), token="s3cret")
    assert misbehaving.requests[0][1]["Authorization"] == "Bearer s3cret"


def test_cancel_of_a_slow_server_takes_a_moment(misbehaving):
    def slow(handler, _body):
        time.sleep(20)

    misbehaving.answers = [slow]
    start = time.monotonic()
    with pytest.raises(RunCancelled):
        Client(misbehaving.endpoint).infer("m", {"y": X}, {}, cancelled=lambda: time.monotonic() > start + 0.3)
    assert time.monotonic() - start < 1.0


def test_cancel_while_waiting_to_try_again(misbehaving, monkeypatch):
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 30)
    misbehaving.answers = [status(429, Retry_After=30)]
    start = time.monotonic()
    with pytest.raises(RunCancelled):
        Client(misbehaving.endpoint).infer("m", {"y": X}, {}, cancelled=lambda: time.monotonic() > start + 0.3)
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://gpu.example.org:8000", "unencrypted"),
        ("http://127.0.0.1.example.org", "unencrypted"),
        ("https://me:pass@gpu.example.org", "HSFUSION_TOKEN"),
        ("gpu.example.org:8000", "not an http"),
        ("ftp://gpu.example.org", "not an http"),
    ],
)
def test_addresses_that_are_refused(endpoint, words):
    with pytest.raises(BackendRefused, match=words):
        Client(endpoint, "s3cret")


def test_addresses_that_are_taken():
    assert Client("https://gpu.example.org/hsfusion/v2/", "s3cret").endpoint == "https://gpu.example.org/hsfusion"
    assert Client("http://localhost:8000", "s3cret").endpoint == "http://localhost:8000"
    assert Client("http://gpu.example.org").endpoint == "http://gpu.example.org"


def test_opening_a_remote_backend(misbehaving):
    settings = Settings(endpoint=misbehaving.endpoint, token="s3cret")
    assert (backend_kind(settings), backend_kind(settings, "local"), backend_kind(Settings())) == (
        "remote",
        "local",
        "local",
    )

    def answer(wire):
        return lambda handler, _: send(
            handler, 200, json.dumps({"name": "hsfusion", "hsfusion": {"wire": wire}}).encode()
        )

    misbehaving.get = answer(protocol.WIRE_VERSION)
    with open_backend(settings) as client:
        assert client.endpoint == misbehaving.endpoint
    for get, words in (
        (answer(0), "different protocols"),
        (status(401), "refused the token"),
        (status(404), "HTTP 404"),
    ):
        misbehaving.get = get
        with pytest.raises(BackendRefused, match=words), open_backend(settings):
            pass
    with pytest.raises(BackendRefused, match="No endpoint is set"), open_backend(Settings(), "remote"):
        pass
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Settings(endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(BackendUnreachable, match="connection refused"), open_backend(nobody):
            pass


@pytest.mark.parametrize(
    ("get", "found"),
    [
        (status(404, "Not Found"), []),  # Triton
        (lambda handler, _: send(handler, 200, b'{"models": ["m"]}'), [{"name": "m"}]),  # KServe
    ],
)
def test_lists_of_models_on_servers_that_are_not_ours(misbehaving, get, found):
    misbehaving.get = get
    client = Client(misbehaving.endpoint)
    assert client.models() == found
    assert client.sha256("m") == ""


def test_a_pinned_model_travels_with_each_tile_and_must_not_change(misbehaving):
    misbehaving.answers = [tensors(), tensors(sha256="b" * 64)]
    client = Client(misbehaving.endpoint)
    client.pin("m", "a" * 64)
    client.infer("m", {"y": X}, {})
    assert b"a" * 64 in misbehaving.requests[0][2]
    with pytest.raises(BadReply, match="changed during the run"):
        client.infer("m", {"y": X}, {})


def test_the_sentence_out_of_a_traceback(misbehaving):
    trace = 'Failed: Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
    with pytest.raises(BackendRefused, match=r"^The tile is odd: send another\.$"):
        infer(
            misbehaving,
            status(500, trace + "hsfusion.models.errors.HSFusionError: The tile is odd: send another.\n\nAt:\n"),
        )
    with pytest.raises(BackendOutOfMemory, match=r"^No memory\.$"):
        infer(misbehaving, status(500, trace + "hsfusion.models.runners.engine.OutOfMemory: No memory.\n"))
