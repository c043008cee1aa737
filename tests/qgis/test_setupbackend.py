"""hsfusion:setupbackend: real venv and pip, with tiny stand-ins for the packages; and everything that can go wrong."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.backend.environment import environment
from hsfusion.hsfusion_plugin.backend.environment.environment import SetupRequest, run
from hsfusion.hsfusion_plugin.backend.environment.folder import MARK, alone, default_folder, replacing
from hsfusion.hsfusion_plugin.backend.environment.pip import Installer, Sources, pip_environment
from hsfusion.hsfusion_plugin.backend.environment.pip_errors import explain
from hsfusion.hsfusion_plugin.backend.environment.pythons import requirements
from hsfusion.hsfusion_plugin.backend.environment.torch_build import choose_build, torch_index
from hsfusion.hsfusion_plugin.backend.local.interpreter import python_in
from hsfusion.hsfusion_plugin.errors import Cancelled, HSFusionError
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress

TORCH = """
class cuda:
    @staticmethod
    def is_available():
        return False
"""
STAND_INS = {"numpy": "", "torch": TORCH, "safetensors": "", "pyyaml": "", "fastapi": "", "uvicorn": ""}


class Told(Progress):
    """Keeps what it is told; cancels once `cancel_at` is said."""

    def __init__(self, cancel_at: str | None = None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.cancel_at, self.since = cancel_at, None

    def info(self, text: str) -> None:
        self.lines.append(text)
        if self.cancel_at and self.cancel_at in text:
            self.since = time.monotonic()

    warn = debug = info

    def cancelled(self) -> bool:
        return self.since is not None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def make_wheel(folder: Path, name: str, code: str, version: str = "99.0", ballast: int = 0) -> None:
    """A wheel that holds one module and, with `ballast`, so many zero bytes."""
    module = {"pyyaml": "yaml"}.get(name, name)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{module}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        if ballast:
            wheel.writestr(f"{module}_ballast.bin", bytes(ballast))
        wheel.writestr(f"{info}/RECORD", record)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel folder")
    for name, code in STAND_INS.items():
        make_wheel(folder, name, code)
    return folder


@pytest.fixture(autouse=True)
def saved(tmp_path, monkeypatch) -> dict[str, str]:
    """What would be saved in QGIS's settings; caches and pip's configuration are the test's own, and no driver
    is seen.
    """
    values: dict[str, str] = {}
    monkeypatch.setattr(environment, "save", values.update)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.delenv("HSFUSION_PYTHON", raising=False)
    return values


@pytest.fixture(scope="module")
def made(wheels, tmp_path_factory) -> Path:
    """One environment, made once; tests must leave it whole."""
    patch = pytest.MonkeyPatch()
    patch.setattr(environment, "save", lambda **values: None)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    folder = tmp_path_factory.mktemp("made") / "back end"
    try:
        assert run(SetupRequest(folder, build="cpu", wheels=wheels), Progress()).made
    finally:
        patch.undo()
    return folder


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def able(*missing: str) -> str:
    return json.dumps({"version": [3, 11, 2], "bits": 64, "missing": list(missing)})


def test_one_source_of_what_is_needed(root):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert requirements() == [*project["dependencies"], *project["optional-dependencies"]["serve"]]


def test_the_default_folder_is_not_in_the_plugin(root, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "hsfusion" / "backend"
    assert root not in default_folder().parents


def test_made_and_kept(made, saved, wheels):
    mark = json.loads((made / MARK).read_text(encoding="utf-8"))
    assert (mark["state"], mark["build"]) == ("complete", "cpu")
    assert not (made / "tmp").exists()
    told = Told()
    result = run(SetupRequest(made, wheels=wheels), told)
    assert not result.made and result.log is None and "complete and works" in told.text
    assert saved["python"] == str(python_in(made)), "of the environment, not what its link points to"
    assert result.found.versions["torch"] == "99.0"


@pytest.mark.slow
def test_from_qgis_process_with_its_setting_and_log(qgis_process, wheels, tmp_path):
    own = type(qgis_process)(tmp_path / "profile")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path / "data")}
    result = own("hsfusion:setupbackend", env=env, WHEELS=wheels)
    python = python_in(tmp_path / "data" / "hsfusion" / "backend")
    assert result.outputs["PYTHON"] == str(python) and python.is_file()
    assert result.outputs["DEVICE"] == "cpu, no usable CUDA device"
    assert "Successfully installed" in Path(result.outputs["LOG"]).read_text(encoding="utf-8")
    ini = (tmp_path / "profile" / "profiles" / "default" / "QGIS" / "QGIS3.ini").read_text(encoding="utf-8")
    assert f"python={python}" in ini
    again = own("hsfusion:setupbackend", env=env, WHEELS=wheels)
    assert again.outputs["PYTHON"] == str(python) and not again.outputs.get("LOG")
    page = own("hsfusion:diagnostics", env=env, TRIAL="false").outputs["TEXT"]
    assert f"Interpreter: {python}" in page and "torch 99.0" in page


@pytest.mark.slow
def test_a_broken_one_is_made_anew(wheels, tmp_path, made):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / MARK).write_text((made / MARK).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(tmp_path / "a python that was removed")
    told = Told()
    assert run(SetupRequest(folder, wheels=wheels), told).made
    assert "made anew" in told.text
    assert [entry.name for entry in tmp_path.iterdir() if "broken" in entry.name] == ["broken"]


@pytest.mark.slow
def test_a_failed_repair_gives_the_working_one_back(made, tmp_path, saved):
    (tmp_path / "empty").mkdir()
    with pytest.raises(HSFusionError, match=r"There is no torch>=2\.2 for Python 3\.\d+ .*BASE_PYTHON.*WHEELS"):
        run(SetupRequest(made, wheels=tmp_path / "empty", repair=True), Progress())
    assert saved == {}
    assert not run(SetupRequest(made), Progress()).made


def test_no_network(made, tmp_path):
    with pytest.raises(HSFusionError, match=r"http://127\.0\.0\.1:9/simple cannot be reached.*INDEX_URL.*WHEELS"):
        install(made, tmp_path, Sources("http://127.0.0.1:9/simple"), ["nosuchpackage"])


def test_no_password_is_told(made, tmp_path):
    told = Told()
    with pytest.raises(HSFusionError) as error:
        install(made, tmp_path, Sources("http://me:hush@127.0.0.1:9/simple"), ["nosuchpackage"], told)
    assert "127.0.0.1" in told.text
    for text in (str(error.value), told.text, (tmp_path / "log").read_text(encoding="utf-8")):
        assert "hush" not in text


def test_a_proxy_that_is_not_there(made, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(HSFusionError, match=r"proxy refused.*Settings > Options > Network"):
        install(made, tmp_path, Sources("https://example.org/simple"), ["nosuchpackage"])


def install(
    folder: Path, tmp_path: Path, sources: Sources, wanted: list[str], progress: Progress | None = None
) -> None:
    Installer(folder, tmp_path / "log", progress or Progress()).install(python_in(folder), wanted, sources)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_no_space(small_disk, wheels):
    with pytest.raises(HSFusionError, match=r"has 0\.1 GB left and the backend needs 2 GB.*FOLDER"):
        run(SetupRequest(small_disk / "env", build="cpu", wheels=wheels), Progress())


@pytest.mark.slow
def test_the_disk_becomes_full_on_the_way(small_disk, tmp_path, monkeypatch):
    make_wheel(tmp_path, "torch", TORCH, ballast=64_000_000)
    monkeypatch.setattr(environment, "needed_gb", lambda build: 0.0)
    with pytest.raises(HSFusionError, match="disk became full.*FOLDER"):
        run(SetupRequest(small_disk / "env", build="cpu", wheels=tmp_path), Progress())


def test_no_venv(tmp_path, saved):
    python = script(tmp_path / "python3", f"echo '{able('ensurepip')}'")
    with pytest.raises(
        HSFusionError, match=r"has no venv module \(ensurepip\).*apt-get install python3-venv.*BASE_PYTHON"
    ):
        run(SetupRequest(tmp_path / "env", base_python=python, build="cpu"), Progress())
    assert saved == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [("echo hello", "does not work as Python"), (f"echo '{able()}' | sed s/64/32/", "32-bit")],
)
def test_a_base_that_will_not_do(tmp_path, body, said):
    with pytest.raises(HSFusionError, match=said):
        run(SetupRequest(tmp_path / "env", base_python=script(tmp_path / "python3", body), build="cpu"), Progress())


def test_cancel_ends_the_child_and_its_children_at_once(tmp_path):
    body = f'case "$*" in *"-m venv"*) sleep 300 & echo $! >{tmp_path}/pid; echo working; wait;; *) echo \'{able()}\';; esac'  # noqa: E501
    told = Told(cancel_at="working")
    with pytest.raises(Cancelled, match="run it again"):
        run(SetupRequest(tmp_path / "env", base_python=script(tmp_path / "python3", body), build="cpu"), told)
    assert time.monotonic() - told.since < 2
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_cancelled_one_left_is_replaced(tmp_path):
    folder = tmp_path / "env"
    folder.mkdir()
    (folder / MARK).write_text('{"state": "unfinished"}', encoding="utf-8")
    (folder / "left over").mkdir()
    with replacing(folder):
        assert list(folder.iterdir()) == []


def test_two_at_once(tmp_path, made):
    (tmp_path / "env").mkdir()
    with alone(tmp_path / "env"):
        with pytest.raises(HSFusionError, match="Another set-up is at work"):
            run(SetupRequest(tmp_path / "env"), Progress())
        with alone(tmp_path / "another"):
            pass


def test_folders_that_are_not_ours(tmp_path, root):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").touch()
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    for folder, said in [
        (tmp_path / "full", "holds other files"),
        (tmp_path / "venv", "that HSFusion did not make.*INTERPRETER"),
        (root / "backend", "lies in the plugin"),
        (Path("/proc/nowhere"), "cannot be written"),
    ]:
        with pytest.raises(HSFusionError, match=said):
            run(SetupRequest(folder, repair=True), Progress())
    assert (tmp_path / "full" / "thesis.doc").exists() and not (root / "backend").exists()


def test_an_interpreter_is_only_checked(made, saved):
    result = run(SetupRequest(Path("/nowhere"), interpreter=python_in(made)), Progress())
    assert not result.made and saved["python"] == str(python_in(made))


def test_an_interpreter_without_torch(saved):
    with pytest.raises(
        HSFusionError, match=r"lacks what the backend needs: .*torch.*leave INTERPRETER out.*pip install"
    ):
        run(SetupRequest(Path("/nowhere"), interpreter=Path(sys.executable)), Progress())
    assert saved == {}


@pytest.mark.parametrize(
    ("header", "build", "why"),
    [
        ("| NVIDIA-SMI 570.1    Driver Version: 570.1    CUDA Version: 12.8  |", "cu128", "offers CUDA 12.8"),
        ("| NVIDIA-SMI 580.1    KMD Version: 580.1    CUDA UMD Version: 13.1  |", "cu130", "offers CUDA 13.1"),
        ("| NVIDIA-SMI 450.1    Driver Version: 450.1    CUDA Version: 11.0  |", "cpu", "too old"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the driver", "cpu", "does not answer"),
    ],
)
def test_the_build_for_a_driver(tmp_path, monkeypatch, header, build, why):
    script(tmp_path / "nvidia-smi", f'echo "{header}"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    chosen, said = choose_build("auto", lambda: False)
    assert chosen == build and why in said
    assert torch_index(build) == f"https://download.pytorch.org/whl/{build}"
    if build == "cpu":
        with pytest.raises(HSFusionError, match="BUILD is cuda, but"):
            choose_build("cuda", lambda: False)


def test_pip_26_names_the_proxy_by_its_address_alone():
    line = "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError(\"HTTPSConnection(host='10.0.0.1', port=3128): refused\")'"  # noqa: E501
    assert "proxy refused" in explain([line], 1, "3.14", "PyPI", "http://10.0.0.1:3128")
    for other in ("", "10.0.0.2:3128", "http://10.0.0.1", "http://10.0.0.1:none"):
        assert "cannot be reached" in explain([line], 1, "3.14", "PyPI", other)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "disk became full"),
        ("ProxyError('Cannot connect to proxy.')", "proxy refused"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("ERROR: HTTP error 401 while getting https://host/simple", "wants a login"),
        ("Temporary failure in name resolution", "cannot be reached"),
        ("ERROR: No matching distribution found for torch>=2.2", "no torch>=2.2 for Python 3.15"),
        ("ERROR: Could not install packages: [Errno 13] Permission denied: '/x'", "cannot be written"),
        ("ERROR: something new", "saying: ERROR: something new"),
    ],
)
def test_what_pip_says_in_one_sentence(line, said):
    sentence = explain(["Collecting torch", line], 1, "3.15", "PyPI")
    assert said in sentence and sentence.endswith(".")


def test_pip_gets_the_users_settings_and_the_proxy_of_qgis(tmp_path, monkeypatch, qgis_app):
    from qgis.core import QgsSettings

    monkeypatch.setenv("PIP_CERT", "/my.pem")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxy = {"proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "proxy.lan", "proxyPort": "3128"}
    settings = QgsSettings()
    for name, value in proxy.items():
        settings.setValue(f"proxy/{name}", value)
    try:
        found = pip_environment(tmp_path / "tmp")
    finally:
        for name in proxy:
            settings.remove(f"proxy/{name}")
    assert found["PIP_CERT"] == "/my.pem" and "PIP_TARGET" not in found
    assert found["HTTPS_PROXY"] == "http://proxy.lan:3128"
    assert found["TMPDIR"] == str(tmp_path / "tmp")


def test_both_sources_are_one_too_many(provider, wheels):
    from qgis.core import QgsProcessingContext

    algorithm, context = provider.algorithm("setupbackend"), QgsProcessingContext()
    for parameters, said in [
        ({"INDEX_URL": "https://a/simple", "WHEELS": str(wheels)}, "both given"),
        ({"INDEX_URL": "a/simple"}, "not an address"),
        ({"WHEELS": "/nowhere"}, "no such folder"),
        ({"INTERPRETER": "/nowhere/python"}, "no such file"),
        ({"FOLDER": __file__}, "name a folder"),
    ]:
        fine, message = algorithm.checkParameterValues(parameters, context)
        assert not fine and said in message
    assert algorithm.checkParameterValues({"FOLDER": "/nowhere/yet"}, context)[0]
    for program in (sys.executable, __file__):
        named = {"INTERPRETER": program, "BASE_PYTHON": program}
        assert algorithm.checkParameterValues(named, context) == (True, ""), "programs have no extension on Unix"


def test_the_lines_come_while_the_program_runs(tmp_path):
    from hsfusion.hsfusion_plugin.backend.environment.commands import run_lines

    heard: list[tuple[float, str]] = []
    program = script(tmp_path / "slow", "echo one; sleep 1; echo two; exit 3")
    code = run_lines(
        [program], os.environ, threading.Event().is_set, lambda line: heard.append((time.monotonic(), line))
    )
    assert code == 3 and [line for _, line in heard] == ["one", "two"]
    assert heard[1][0] - heard[0][0] > 0.5
