"""What the backend's tests share: a model for the fake runner, a local child that has this runner, and an HTTP server
that misbehaves.
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.local.child import LocalBackend
from hsfusion.hsfusion_plugin.backend.settings import Settings
from hsfusion.models.runners.weights import save_model

FAKE_SERVE = Path(__file__).resolve().with_name("_fake_serve.py")
CARD = {"name": "fake", "architecture": "none", "spectral_mode": "fake", "ratios": [2, 8]}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A folder with one model, `fake`."""
    import torch

    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "fake.safetensors", {"weight": torch.arange(6.0).reshape(2, 3)}, CARD)
    return folder


@pytest.fixture
def settings(model_folder, tmp_path, monkeypatch) -> Settings:
    """Settings for a local child in this very interpreter, with its logs in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Settings(backend="local", python=sys.executable, device="cpu", models=(model_folder,))


@pytest.fixture
def fake_backend(settings) -> LocalBackend:
    """A local backend, not yet started, whose child has the fake runner."""
    return LocalBackend(settings, script=FAKE_SERVE)


@pytest.fixture
def tile() -> dict[str, np.ndarray]:
    """The tensors of a small tile."""
    random = np.random.default_rng(0)
    return {"y": random.random((3, 4, 5), np.float32), "z": random.random((2, 8, 10), np.float32)}


class Misbehaving:
    """An HTTP server that answers each POST with the next of `answers`: a function of the handler and the request's
    body. GETs answer `get`.
    """

    def __init__(self):
        self.answers, self.requests, self.get = [], [], None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                (outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0])(self, body)

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers), b""))
                outer.get(self, b"")

            def log_message(self, *_):
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def misbehaving():
    """A server of the test's own making."""
    server = Misbehaving()
    yield server
    server.server.shutdown()
    server.server.server_close()
