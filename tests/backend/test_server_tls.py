"""TLS as the client meets it: an authority of one's own, a certificate for another host, one that has expired; a real
server each time.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import BackendRefused
from hsfusion.tests.backend.test_server_bounds import TOKEN, serving

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Key and certificate of an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("authority")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=Own",
        "-days",
        "2",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    )
    return key, certificate


def signed(folder, authority, host: str, *validity: str) -> list[str]:
    """The server's arguments for a certificate of `host` that the authority has signed."""
    key, request, certificate = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
    extension = folder / "extension"
    extension.write_text(f"subjectAltName={host}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", str(key), "-out", str(request))
    own_key, own = authority
    openssl(
        "x509", "-req", "-in", str(request), "-CA", str(own), "-CAkey", str(own_key), "-CAcreateserial",
        "-extfile", str(extension), "-out", str(certificate), *(validity or ("-days", "1")),
    )  # fmt: skip
    return ["--tls-cert", str(certificate), "--tls-key", str(key)]


@pytest.mark.parametrize(
    ("host", "validity", "trusted", "words"),
    [
        ("DNS:localhost", (), True, ""),
        ("DNS:localhost", (), False, "not trusted"),
        ("DNS:elsewhere.example", (), True, "not trusted"),
        ("DNS:localhost", ("-days", "-1"), True, "expired"),
    ],
)
def test_certificates(tmp_path, model_folder, authority, monkeypatch, host, validity, trusted, words):
    if validity and subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout < "OpenSSL 1.1":
        pytest.skip("this openssl makes no certificate of the past")
    arguments = signed(tmp_path, authority, host, *validity)
    with serving(tmp_path, model_folder, *arguments, secure=True) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority[1]) if trusted else "")
        client = Client(server.base.replace("127.0.0.1", "localhost").replace("http:", "https:"), TOKEN)
        if not words:
            assert client.infer("fake", {"y": np.ones(2, np.float32)}, {})["x"].tolist() == [[2.0, 2.0]]
            return
        with pytest.raises(BackendRefused, match="certificate") as caught:
            client.infer("fake", {"y": np.ones(2, np.float32)}, {})
        assert words in str(caught.value) and TOKEN not in str(caught.value)
