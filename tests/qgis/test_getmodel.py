"""hsfusion:getmodel: further models by manifest, over https or from a folder, whole and with the right hash or not at
all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from hsfusion.hsfusion_plugin.backend.models_store.manifest import BUNDLED, read_manifest
from hsfusion.hsfusion_plugin.backend.settings import BUNDLED_MODELS, Settings
from hsfusion.hsfusion_plugin.errors import Cancelled, HSFusionError
from hsfusion.hsfusion_plugin.jobs.get_model import GetModelRequest, run
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress

FILE = "extra.safetensors"
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")


@dataclass
class Server:
    """Serves `content` over TLS; what it does wrong is set from outside."""

    content: bytes
    port: int = 0
    ranges: list[str | None] = field(default_factory=list)
    stop_after: int | None = None  # bytes, then the line breaks
    stall_after: int | None = None  # bytes, then nothing more comes
    redirect: str = ""
    status: int = 0
    takes_ranges: bool = True
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/models/{FILE}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if self.redirect:
            target, self.redirect = self.redirect, ""
            request.send_response(302)
            request.send_header("Location", target)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        begin = int(wanted[6:].split("-")[0]) if wanted and self.takes_ranges else 0
        body = self.content[begin:]
        request.send_response(self.status or (206 if begin else 200))
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        for limit, wait in ((self.stop_after, False), (self.stall_after, True)):
            if limit is not None:
                request.wfile.write(body[:limit])
                request.wfile.flush()
                if wait:
                    self.go_on.wait(20)
                request.close_connection = True
                return
        request.wfile.write(body)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


@pytest.fixture
def server(certificate, monkeypatch):
    state = Server((BUNDLED_MODELS / "hsfusion-base.safetensors").read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("localhost", 0), Handler)
    http.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    http.socket = context.wrap_socket(http.socket, server_side=True)
    state.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    yield state
    state.go_on.set()
    http.shutdown()
    http.server_close()


@pytest.fixture
def manifest(tmp_path):
    """Writes a manifest of one model, with something else in it where the test says so."""

    def write(content: bytes = b"", url: str = "https://localhost/none", **changes) -> Path:
        entry = {
            "name": "extra",
            "url": url,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content) or 1,
            "licence": "CC-BY-4.0",
            "about": "A larger one.",
        }
        entry.update(changes)
        path = tmp_path / "manifest.yaml"
        path.write_text(yaml.safe_dump({"models": [{k: v for k, v in entry.items() if v is not None}]}))
        return path

    return write


class Listener(Progress):
    def __init__(self, cancel_after: float = 1e9):
        super().__init__()
        self.said, self.shown = [], []
        self._cancel_at = time.monotonic() + cancel_after

    def info(self, text):
        self.said.append(text)

    def cancelled(self):
        return time.monotonic() > self._cancel_at

    def _show(self, fraction, text):
        self.shown.append(fraction)


def got(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".part"))


@needs_openssl
def test_download(server, manifest, tmp_path):
    listener, folder = Listener(), tmp_path / "models"
    request = GetModelRequest("extra", manifest(server.content, server.url), folder=folder)
    result = run(request, listener)
    assert result["MODEL_FILE"] == str(folder / FILE) and "extra (" in result["LIST"]
    assert (folder / FILE).read_bytes() == server.content and got(folder) == [FILE]
    assert listener.shown[-1] == 1.0 and len([f for f in listener.shown if 0 < f < 1]) > 3, "progress moves"
    assert any("model folders in the options" in text for text in listener.said)
    run(request, listener)
    assert len(server.ranges) == 1 and "is there already" in listener.said[-2], "no second download"


@needs_openssl
def test_a_broken_line_is_gone_on_with(server, manifest, tmp_path):
    request = GetModelRequest("extra", manifest(server.content, server.url), folder=tmp_path / "models")
    server.stop_after = 1_000_000
    with pytest.raises(HSFusionError, match="goes on where it stopped"):
        run(request, Progress())
    assert got(tmp_path / "models") == []
    server.stop_after, listener = None, Listener()
    run(request, listener)
    first, second = server.ranges
    # How much of the last block is handed on before the error depends on the release of urllib3.
    assert first is None and 700_000 < int(second[6:-1]) <= 1_000_000
    assert any("Going on at" in text for text in listener.said)
    assert (tmp_path / "models" / FILE).read_bytes() == server.content


@needs_openssl
def test_a_server_that_cannot_go_on_begins_anew(server, manifest, tmp_path):
    request = GetModelRequest("extra", manifest(server.content, server.url), folder=tmp_path / "models")
    server.stop_after, server.takes_ranges = 1_000_000, False
    with pytest.raises(HSFusionError):
        run(request, Progress())
    server.stop_after = None
    run(request, Progress())
    assert (tmp_path / "models" / FILE).read_bytes() == server.content


@needs_openssl
def test_cancel_while_the_server_is_silent(server, manifest, tmp_path):
    server.stall_after = 500_000
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(GetModelRequest("extra", manifest(server.content, server.url), folder=tmp_path / "models"), Listener(1.0))
    assert time.monotonic() - began < 3.0
    assert got(tmp_path / "models") == []


@needs_openssl
def test_another_file_than_promised_is_not_kept(server, manifest, tmp_path):
    other = bytearray(server.content)
    other[-1] ^= 1
    path = manifest(bytes(other), server.url)
    with pytest.raises(HSFusionError, match="not the file that the manifest promises"):
        run(GetModelRequest("extra", path, folder=tmp_path / "models"), Progress())
    assert list((tmp_path / "models").iterdir()) == []


@needs_openssl
def test_a_right_hash_of_something_else_is_no_model(server, manifest, tmp_path):
    server.content = b"<html>not found</html>"
    path = manifest(server.content, server.url)
    with pytest.raises(HSFusionError, match="damaged or not a safetensors file"):
        run(GetModelRequest("extra", path, folder=tmp_path / "models"), Progress())
    assert list((tmp_path / "models").iterdir()) == []


@needs_openssl
def test_redirects_stay_on_https(server, manifest, tmp_path):
    request = GetModelRequest("extra", manifest(server.content, server.url), folder=tmp_path / "models")
    server.redirect = f"http://localhost:{server.port}/elsewhere"
    with pytest.raises(HSFusionError, match="without https"):
        run(request, Progress())
    server.redirect = "/elsewhere"
    run(request, Progress())
    assert got(tmp_path / "models") == [FILE]


@needs_openssl
def test_a_server_that_refuses(server, manifest, tmp_path):
    server.status = 404
    with pytest.raises(HSFusionError, match=r"localhost:\d+ answers 404 .* SOURCE"):
        run(GetModelRequest("extra", manifest(server.content, server.url), folder=tmp_path / "m"), Progress())


@needs_openssl
def test_a_certificate_that_is_not_trusted(server, manifest, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(HSFusionError, match="certificate is not trusted"):
        run(GetModelRequest("extra", manifest(server.content, server.url), folder=tmp_path / "m"), Progress())


def test_from_a_folder(manifest, tmp_path):
    content = (BUNDLED_MODELS / "hsfusion-base.safetensors").read_bytes()
    source, folder = tmp_path / "stick", tmp_path / "models"
    source.mkdir()
    request = GetModelRequest("extra", manifest(content), source, folder)
    with pytest.raises(HSFusionError, match=f"has no file {FILE}"):
        run(request, Progress())
    (source / FILE).write_bytes(content[:-1] + b"x")
    with pytest.raises(HSFusionError, match="not the file that the manifest promises"):
        run(request, Progress())
    assert list(folder.iterdir()) == [], "neither the file nor a rest of it"
    (source / FILE).write_bytes(content)
    assert run(request, Progress())["MODEL_FILE"] == str(folder / FILE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://host/x"}, "https address"),
        ({"url": "https://user:word@host/x"}, "without user name"),
        ({"name": "../evil"}, "a name of letters"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"size": "large"}, "a number of bytes"),
        ({"url": None}, "https address"),
    ],
)
def test_a_manifest_with_a_fault(manifest, changes, words):
    with pytest.raises(HSFusionError, match=words):
        read_manifest(manifest(**changes))


@pytest.mark.parametrize("text", ["models: {}", "[1, 2]", "a: [", "models: [1]"])
def test_a_file_that_is_no_manifest(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(HSFusionError, match="MANIFEST"):
        read_manifest(path)


def test_a_name_that_is_not_listed(manifest):
    with pytest.raises(HSFusionError, match="no model called large .it lists: extra."):
        run(GetModelRequest("large", manifest()), Progress())


def test_the_plugins_own_manifest_is_in_order():
    assert isinstance(read_manifest(BUNDLED), list)
    assert run(GetModelRequest(), Progress())["MODEL_FILE"] is None


def test_runs_find_what_was_fetched(qgis_process, manifest, tmp_path, monkeypatch):
    """Through qgis_process, into the user's data folder, from where `fuse` and `diagnostics` take it."""
    content = (BUNDLED_MODELS / "hsfusion-base.safetensors").read_bytes()
    (tmp_path / FILE).write_bytes(content)
    env = {"XDG_DATA_HOME": str(tmp_path / "data")}
    result = qgis_process("hsfusion:getmodel", env=env, MODEL="extra", MANIFEST=manifest(content), SOURCE=tmp_path)
    fetched = tmp_path / "data" / "hsfusion" / "models" / FILE
    assert result.outputs["MODEL_FILE"] == str(fetched) and fetched.is_file()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Settings.read({}).model_places[-2:] == [fetched.parent, BUNDLED_MODELS]
    from hsfusion.processing.fuse import installed_models

    assert {"extra", "hsfusion-base"} <= set(installed_models())
    wrong = qgis_process("hsfusion:getmodel", env=env, check=False, MODEL="none", MANIFEST=manifest(content))
    assert wrong.code == 1 and "it lists: extra" in wrong.error
    assert json.loads(wrong.stdout or "{}") == {}
