"""The failures of hsfusion:setupbackend as they really happen: a Python without venv, no network, a proxy that wants a
login, a foreign wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.backend.environment.environment import SetupRequest, run
from hsfusion.hsfusion_plugin.backend.environment.pip import Installer, Sources
from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
INSTALL = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
from pathlib import Path
from hsfusion.hsfusion_plugin.backend.environment.pip import Installer, Sources
from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
folder = Path(sys.argv[2])
try:
    Installer(folder, folder / "log", Progress()).install(Path(sys.executable), ["torch>=2.2"], Sources(sys.argv[3]))
except HSFusionError as error:
    print(error)
"""


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Path:
    """What pip is told of an environment; nothing is ever installed into it, this test's own Python does the asking."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("this Python has no pip")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text(f"version = {sys.version.split()[0]}\n", encoding="utf-8")
    return tmp_path / "env"


def install(environment: Path, sources: Sources) -> None:
    Installer(environment, environment / "log", Progress()).install(Path(sys.executable), ["torch>=2.2"], sources)


def test_a_python_without_venv(tmp_path, monkeypatch):
    """A Python as Debian has it without python3-venv: everything of this one but ensurepip."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library = Path(sysconfig.get_path("stdlib"))
    copy = tmp_path / "system" / "lib" / library.name
    copy.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name != "ensurepip":
            (copy / entry.name).symlink_to(entry)
    python = tmp_path / "system" / "bin" / "python3"
    python.parent.mkdir()
    shutil.copy2(Path(getattr(sys, "_base_executable", sys.executable)).resolve(), python)
    asked = subprocess.run(
        [str(python), "-I", "-c", "import venv, ensurepip"], capture_output=True, text=True, check=False
    )
    if "No module named 'ensurepip'" not in asked.stderr:
        pytest.skip("this Python cannot be moved")
    with pytest.raises(
        HSFusionError, match=r"has no venv module \(ensurepip\).*apt-get install python3-venv.*BASE_PYTHON"
    ):
        run(SetupRequest(tmp_path / "env", base_python=python, build="cpu"), Progress())


def test_no_network_at_all(environment):
    """In a network namespace in which not even loopback is up."""
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    command = ["unshare", "-rn", sys.executable, "-c", INSTALL, str(ROOT), str(environment), "https://pypi.org/simple"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith(
        "The package index https://pypi.org/simple cannot be reached: check the network, or give INDEX_URL"
    )


def test_a_proxy_that_wants_a_login(environment, monkeypatch):
    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(407, "Proxy Authentication Required")

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
    try:
        with pytest.raises(HSFusionError, match=r"proxy refused.*Settings > Options > Network.*HTTPS_PROXY"):
            install(environment, Sources("https://pypi.org/simple"))
    finally:
        proxy.shutdown()
        proxy.server_close()


def test_wheels_for_another_python_only(environment, tmp_path):
    info = "torch-2.9.0.dist-info"
    with zipfile.ZipFile(tmp_path / "torch-2.9.0-cp27-cp27mu-win_amd64.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp27-cp27mu-win_amd64\n")
        wheel.writestr(f"{info}/RECORD", "")
    with pytest.raises(HSFusionError, match=r"There is no torch>=2\.2 for Python 3\.\d+ .*BASE_PYTHON.*WHEELS"):
        install(environment, Sources(wheels=tmp_path))
