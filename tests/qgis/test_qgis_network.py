"""The client goes through QGIS's proxy and trusts the certificates that QGIS trusts."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hsfusion.hsfusion_plugin.backend import qgis_network
from hsfusion.hsfusion_plugin.backend.client.client import Client


class Answering(BaseHTTPRequestHandler):
    """Says 200 to everything and remembers what it was asked for."""

    asked: list = []

    def do_GET(self) -> None:
        Answering.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def http_server():
    Answering.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    yield server
    server.shutdown()
    server.server_close()


def serve(server: ThreadingHTTPServer) -> int:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server.server_port


@pytest.fixture(autouse=True)
def clean(qgis_app, monkeypatch, tmp_path):
    from qgis.core import QgsSettings

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield
    QgsSettings().remove("proxy")


def use_proxy(port: int, **more: object) -> None:
    from qgis.core import QgsSettings

    values = {"proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "127.0.0.1", "proxyPort": str(port), **more}
    for name, value in values.items():
        QgsSettings().setValue(f"proxy/{name}", value)


def test_the_proxy_of_qgis_is_used(http_server, monkeypatch):
    use_proxy(serve(http_server), proxyUser="me", proxyPassword="hush")
    assert Client("http://gpu.example.org:8000").ready()
    ((path, login),) = Answering.asked
    assert path == "http://gpu.example.org:8000/v2/health/ready" and login.startswith("Basic ")
    assert qgis_network.proxy_for("https://gpu.example.org") == f"http://me:hush@127.0.0.1:{http_server.server_port}"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert not Client("http://gpu.example.org:8000").ready(), "a variable wins"


def test_what_is_excluded_and_loopback_go_straight(http_server):
    use_proxy(9, noProxyUrls=["http://gpu.example.org"])
    assert qgis_network.proxy_for("http://gpu.example.org:8000") == ""
    assert qgis_network.proxy_for("http://other.example.org") == "http://127.0.0.1:9"
    assert Client(f"http://127.0.0.1:{serve(http_server)}").ready()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_an_authority_that_qgis_trusts_is_trusted(http_server, tmp_path, monkeypatch):
    from qgis.core import QgsApplication

    key, certificate = str(tmp_path / "key.pem"), tmp_path / "certificate.pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    openssl += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", str(certificate)]
    subprocess.run(openssl, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http_server.socket = context.wrap_socket(http_server.socket, server_side=True)
    endpoint = f"https://localhost:{serve(http_server)}"
    assert not Client(endpoint).ready(), "nobody knows it"
    known = bytes(QgsApplication.authManager().trustedCaCertsPemText())
    assert known.count(b"BEGIN CERTIFICATE") > 10, "what the system trusts is among it"

    class Manager:
        def isDisabled(self) -> bool:
            return False

        def trustedCaCertsPemText(self) -> bytes:
            return known + b"\n" + certificate.read_bytes()

    monkeypatch.setattr(QgsApplication, "authManager", staticmethod(Manager))
    assert Client(endpoint).ready()
