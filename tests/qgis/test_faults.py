"""Everything that can go wrong between a run and its tiles, with real processes: nothing half-written, no finished tile
lost, the same pixels.

Each test does one kind of harm in the middle of a fusion with the bundled model. Either the run gets over it by itself,
or it ends in one sentence and the same run, started again, asks the backend only for the tiles that are missing.
scripts/dev/test-faults runs all of them, CI a few.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client import client as client_module
from hsfusion.hsfusion_plugin.backend.client import pace
from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
from hsfusion.hsfusion_plugin.backend.settings import Settings
from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_model as fusion
from hsfusion.hsfusion_plugin.jobs.methods import kept_tiles as tile_store
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis import fault_proxy as faults
from hsfusion.tests.qgis import pairs

pytestmark = [pytest.mark.slow, pytest.mark.backend]
ROOT = Path(__file__).resolve().parents[2]
TILES = 4
COMMON = ("connection cut", "NaN in the reply")  # of which CI sees to it; the others take minutes together


def some(names) -> list:
    """Parameters of which the common ones run always, the others with scripts/dev/test-faults."""
    return [pytest.param(name, marks=() if name in COMMON else pytest.mark.extra) for name in names]


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.info = self.warn = self.debug = self.lines.append
        self.stop = threading.Event()

    def cancelled(self) -> bool:
        return self.stop.is_set()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Server:
    """scripts/serve.py on a port of its own, which can be killed and started again there."""

    def __init__(self, *arguments: str, scheme: str = "http") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.arguments, self.scheme = arguments, scheme
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self, wait: bool = True) -> None:
        command = [str(find_python(Settings())), "-I", str(ROOT / "scripts" / "serve.py"), "--device", "cpu"]
        command += ["--port", str(self.port), *self.arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("HSFUSION_TOKEN", None)
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while wait and self.scheme == "http" and not Client(f"http://127.0.0.1:{self.port}").ready():
            assert self.process.poll() is None and time.monotonic() < end
            time.sleep(0.1)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def proxy(server):
    proxy = faults.Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def undisturbed(server, pair, tmp_path_factory) -> np.ndarray:
    """What comes out when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSFUSION_ENDPOINT", f"http://127.0.0.1:{server.port}")
        patch.setenv("HSFUSION_WORK", str(folder / "work"))
        fusion.run(request(pair, folder), Heard())
    return pairs.read(folder / "fused.tif")


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """Every test keeps its tiles in a folder of its own, and waits less long than users do."""
    monkeypatch.setenv("HSFUSION_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(tile_store, "SPARE_SHARE", 0.0)
    (tmp_path / "out").mkdir()


def request(pair: pairs.Pair, folder: Path, **more) -> FusionRequest:
    given = {"guard": False, "psf_fwhm": 1.1, "shift_x": 0.0, "shift_y": 0.0, "tile_size": 64, "backend": "remote"}
    return FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(folder / "fused.tif"), **{**given, **more})


def kept(tmp_path: Path) -> int:
    return len(list((tmp_path / "work").glob("*/*.npz")))


def check(tmp_path: Path, undisturbed: np.ndarray, rounding: float = 0.0) -> None:
    """The raster is whole and the same, and nothing else is left."""
    np.testing.assert_allclose(pairs.read(tmp_path / "out" / "fused.tif"), undisturbed, rtol=rounding)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"fused.tif", "fused.json", "fused.qml"}
    assert kept(tmp_path) == 0


OVERCOME = {
    "connection cut": (faults.cut, (1, 2)),
    "connection cut in the reply": (faults.cut_in_the_reply, (1,)),
    "reply truncated": (faults.truncated, (1,)),
    "storm of 429": (faults.status(429), range(1, 13)),
    "503 for a while": (faults.status(503), range(0, 8)),
    "bad gateway": (faults.status(502), (1, 2)),
    "gateway timed out": (faults.status(504), (2,)),
    "reply trickles": (faults.trickle, (1,)),
    "no reply at all": (faults.silence, (2,)),
}


@pytest.mark.parametrize("name", some(OVERCOME))
def test_a_run_gets_over_it(proxy, pair, undisturbed, tmp_path, monkeypatch, name):
    monkeypatch.setattr(pace, "LEAST_S", 3.0)
    monkeypatch.setattr(pace, "MARGIN", 4.0)
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    fault, numbers = OVERCOME[name]
    proxy.harm(fault, numbers)
    fusion.run(request(pair, tmp_path / "out"), Heard())
    assert proxy.sent >= TILES + (0 if name == "reply trickles" else len(numbers))
    check(tmp_path, undisturbed)


ENDS_THE_RUN = {
    "reply of another shape": (faults.changed(lambda x: x[..., 1:]), "of shape"),
    "NaN in the reply": (faults.changed(lambda x: np.full_like(x, np.nan)), "not finite"),
    "another model answers": (faults.changed(lambda x: x, "b" * 64), "changed during the run"),
    "token no longer valid": (faults.status(401), "refused the token"),
    "redirect": (faults.status(302, Location="https://elsewhere.example.org/"), "redirects"),
    "network gone": (faults.cut, "does not answer"),
    "server fails": (faults.status(500), "HTTP 500"),
}


@pytest.mark.parametrize("name", some(ENDS_THE_RUN))
def test_a_run_ends_and_continues_when_it_is_started_again(proxy, pair, undisturbed, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    monkeypatch.setattr(client_module, "RETURN_S", 2.0)
    fault, words = ENDS_THE_RUN[name]
    proxy.harm(fault, range(2, 1000))
    heard = Heard()
    with pytest.raises(HSFusionError, match=words) as caught:
        fusion.run(request(pair, tmp_path / "out"), heard)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []
    finished = kept(tmp_path)
    assert 1 <= finished <= proxy.served == 2 and "continues from there" in heard.text
    proxy.heal()
    fusion.run(request(pair, tmp_path / "out"), heard)
    assert proxy.sent == TILES - finished, "only what is missing"
    check(tmp_path, undisturbed)


def test_the_server_is_killed_and_comes_back(server, proxy, pair, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)

    def kill(visit):
        server.kill()
        visit.reset()
        server.start(wait=False)

    proxy.harm(kill, (1,))
    fusion.run(request(pair, tmp_path / "out"), Heard())
    check(tmp_path, undisturbed)


@pytest.mark.extra
def test_the_server_is_killed_and_the_run_is_started_again(server, proxy, pair, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    monkeypatch.setattr(client_module, "RETURN_S", 1.0)

    def kill(visit):
        server.kill()
        visit.reset()

    proxy.harm(kill, (2,))
    try:
        with pytest.raises(HSFusionError, match="does not answer"):
            fusion.run(request(pair, tmp_path / "out"), Heard())
    finally:
        server.start()
    finished = kept(tmp_path)
    assert list((tmp_path / "out").iterdir()) == [] and finished >= 1
    proxy.heal()
    fusion.run(request(pair, tmp_path / "out"), Heard())
    assert proxy.sent == TILES - finished
    check(tmp_path, undisturbed)


@pytest.mark.extra
def test_the_local_child_is_killed(pair, undisturbed, tmp_path, monkeypatch):
    """In the middle of a run, between its first tile and its last."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    killed: list[int] = []

    class Killer(Heard):
        def step(self, fraction: float) -> None:
            super().step(fraction)
            if kept(tmp_path) and not killed:
                killed.append(children(os.getpid())[-1])
                os.kill(killed[0], signal.SIGKILL)

    heard = Killer()
    fusion.run(request(pair, tmp_path / "out", backend="local"), heard)
    assert len(killed) == 1 and "was killed" in heard.text and "started again" in heard.text
    check(tmp_path, undisturbed)


def children(pid: int) -> list[int]:
    """The running processes that a process has started and that serve it as a backend."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == pid and b"--child" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.extra
def test_qgis_is_killed(qgis_process, proxy, pair, undisturbed, tmp_path):
    """No half file under its name; the next run takes what is finished and removes what the dead one left."""
    given = {"HSI": pair.hsi, "MSI": pair.msi, "OUTPUT": tmp_path / "out" / "fused.tif", "GUARD": "false"}
    given |= {"PSF_FWHM": 1.1, "SHIFT_X": 0, "SHIFT_Y": 0, "TILE_SIZE": 64, "BACKEND": "remote"}
    env = {"HSFUSION_ENDPOINT": proxy.endpoint, "HSFUSION_WORK": str(tmp_path / "work")}
    process = None

    def kill(visit):
        process.kill()
        visit.reset()

    proxy.harm(kill, (2,))
    process = qgis_process.start("hsfusion:fuse", env, **given)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "fused.tif").exists()
    finished = kept(tmp_path)
    assert finished >= 1
    proxy.heal()
    qgis_process("hsfusion:fuse", env, **given)
    assert proxy.sent == TILES - finished
    check(tmp_path, undisturbed, rounding=5e-4)  # estimates by another numpy


@pytest.mark.extra
def test_the_user_cancels(proxy, pair, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    heard = Heard()

    def cancel(visit):
        heard.stop.set()
        faults.silence(visit)

    proxy.harm(cancel, range(2, 100))
    with pytest.raises(HSFusionError, match="cancelled"):
        fusion.run(request(pair, tmp_path / "out"), heard)
    assert list((tmp_path / "out").iterdir()) == []
    finished = kept(tmp_path)
    proxy.heal()
    fusion.run(request(pair, tmp_path / "out"), Heard())
    assert proxy.sent == TILES - finished < TILES
    check(tmp_path, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """`make(folder, kilobytes)` mounts a disk of that size there."""
    mounted = []

    def make(folder: Path, kilobytes: int) -> None:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=False)
        if done.returncode:
            pytest.skip("a small disk can be mounted by root only")
        mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.extra
def test_the_disk_of_the_output_becomes_full(proxy, pair, undisturbed, tmp_path, monkeypatch, small_disk):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    small_disk(tmp_path / "out", 2000)
    filler = tmp_path / "out" / "filler"

    def fill(visit):
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                pass
        visit.send(*visit.forward())

    proxy.harm(fill, (1,))
    with pytest.raises(HSFusionError, match="disk may be full"):
        fusion.run(request(pair, tmp_path / "out"), Heard())
    filler.unlink()
    assert list((tmp_path / "out").iterdir()) == []
    finished = kept(tmp_path)
    assert finished >= 1
    proxy.heal()
    fusion.run(request(pair, tmp_path / "out"), Heard())
    assert proxy.sent == TILES - finished
    check(tmp_path, undisturbed)


@pytest.mark.extra
def test_the_disk_of_the_kept_tiles_is_full(proxy, pair, undisturbed, tmp_path, monkeypatch, small_disk):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    monkeypatch.setattr(tile_store, "SPARE_BYTES", 0)
    monkeypatch.setattr(tile_store, "SPARE_SHARE", 0)
    small_disk(tmp_path / "work", 600)
    heard = Heard()
    fusion.run(request(pair, tmp_path / "out"), heard)
    assert "its disk is nearly full" in heard.text and "the run goes on" in heard.text
    check(tmp_path, undisturbed)


@pytest.mark.extra
def test_a_kept_tile_is_damaged(proxy, pair, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_ENDPOINT", proxy.endpoint)
    proxy.harm(faults.status(500), range(2, 1000))
    with pytest.raises(HSFusionError):
        fusion.run(request(pair, tmp_path / "out"), Heard())
    damaged = sorted((tmp_path / "work").glob("*/*.npz"))[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    proxy.heal()
    fusion.run(request(pair, tmp_path / "out"), Heard())
    assert proxy.sent == TILES - 1, "one of the two was still good"
    check(tmp_path, undisturbed)


@pytest.mark.extra
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_an_expired_certificate(pair, tmp_path, monkeypatch):
    key, asked, certificate = (str(tmp_path / name) for name in ("key.pem", "asked.pem", "certificate.pem"))
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:TRUE\n")
    new = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key]
    sign = [
        "openssl",
        "x509",
        "-req",
        "-in",
        asked,
        "-signkey",
        key,
        "-days",
        "-1",
        "-extfile",
        str(tmp_path / "names"),
    ]
    subprocess.run([*new, "-out", asked], check=True, capture_output=True)
    if subprocess.run([*sign, "-out", certificate], capture_output=True, check=False).returncode:
        pytest.skip("this openssl signs no certificate that has expired")
    server = Server("--tls-cert", certificate, "--tls-key", key, scheme="https")
    try:
        end = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", server.port)) and time.monotonic() < end:
            time.sleep(0.1)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
        monkeypatch.setenv("HSFUSION_ENDPOINT", f"https://localhost:{server.port}")
        monkeypatch.setenv("HSFUSION_TOKEN", "hush")
        with pytest.raises(HSFusionError, match="certificate has expired"):
            fusion.run(request(pair, tmp_path / "out"), Heard())
    finally:
        server.kill()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.extra
def test_a_wrong_token_from_the_beginning(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_TOKEN", "right")
    script = [str(find_python(Settings())), "-I", str(ROOT / "scripts" / "serve.py"), "--device", "cpu"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*script, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while not Client(f"http://127.0.0.1:{port}").ready():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        monkeypatch.setenv("HSFUSION_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HSFUSION_TOKEN", "wrong")
        with pytest.raises(HSFusionError, match="refused the token"):
            fusion.run(request(pair, tmp_path / "out"), Heard())
    finally:
        process.kill()
        process.wait()
    assert list((tmp_path / "out").iterdir()) == []
