"""What the tests inside QGIS share: the provider in this process, and `qgis_process` in a profile of its own."""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@functools.lru_cache(maxsize=1)
def backend_works() -> bool:
    """Whether there is a backend's interpreter that fits this system (scripts/dev/test-versions has none in
    its tree).
    """
    python = ROOT / ".venv" / "bin" / "python"
    find = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
    return python.is_file() and subprocess.run([str(python), "-I", "-c", find], check=False).returncode == 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that run torch are left out where there is none; those that are refused before it is needed are not."""
    fixtures = set(getattr(item, "fixturenames", ()))
    slow = item.get_closest_marker("slow") is not None
    marked = item.get_closest_marker("backend") is not None
    if (marked or fixtures & {"settings", "untrained"} or slow and "backend" in fixtures) and not backend_works():
        pytest.skip("no backend's environment here")


@pytest.fixture(scope="session", autouse=True)
def _closed_before_qgis_ends(qgis_app):
    """QGIS takes GDAL down with it: a dataset that a caught error's frames still hold must be closed before."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sample() -> Path:
    """The bundled scene (crop of Indian Pines)."""
    return ROOT / "resources" / "sample" / "indian_pines.tif"


@pytest.fixture(scope="session")
def provider(qgis_app):
    """HSFusion's provider, registered with QGIS's Processing in this process."""
    from qgis.core import QgsApplication

    from hsfusion.processing.provider import HSFusionProvider

    registry = QgsApplication.processingRegistry()
    existing = registry.providerById("hsfusion")
    if existing is not None:
        yield existing
        return
    provider = HSFusionProvider()
    registry.addProvider(provider)
    yield provider
    registry.removeProvider(provider)


@dataclass
class Result:
    """What one `qgis_process run` left."""

    code: int
    stdout: str
    stderr: str
    outputs: dict = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def error(self) -> str:
        """Everything that was said, for a test to look for its sentence in."""
        return self.stderr + self.stdout


class QgisProcess:
    """Runs algorithms in a fresh QGIS, as a user's script does."""

    def __init__(self, profile: Path) -> None:
        plugins = profile / "profiles" / "default" / "python" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "hsfusion").symlink_to(ROOT, target_is_directory=True)
        ini = profile / "profiles" / "default" / "QGIS" / "QGIS3.ini"
        ini.parent.mkdir(parents=True)
        ini.write_text("[PythonPlugins]\nhsfusion=true\n", encoding="utf-8")
        self.program = shutil.which("qgis_process.bin") or shutil.which("qgis_process") or "qgis_process"
        dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QGIS_PLUGINPATH")
        self.environment = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("HSFUSION_")}
        self.environment.update(QGIS_CUSTOM_CONFIG_PATH=str(profile), QT_QPA_PLATFORM="offscreen", LC_ALL="C.UTF-8")

    def start(self, algorithm: str, env: dict[str, str] | None = None, **parameters) -> subprocess.Popen:
        """The running process; lists repeat the parameter, None leaves it out."""
        pairs = []
        for name, value in parameters.items():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if item is not None:
                    pairs.append(f"{name}={item}")
        return subprocess.Popen(
            [self.program, "--json", "run", algorithm, "--", *pairs],
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def __call__(
        self,
        algorithm: str,
        env: dict[str, str] | None = None,
        check: bool = True,
        timeout: float = 600,
        interrupt_after: float | None = None,
        **parameters,
    ) -> Result:
        """Run to the end; `check` fails the test unless it exits 0; `interrupt_after` sends SIGINT after so many
        seconds.
        """
        started = time.monotonic()
        process = self.start(algorithm, env, **parameters)
        try:
            if interrupt_after is not None:
                try:
                    out, err = process.communicate(timeout=interrupt_after)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGINT)
                    out, err = process.communicate(timeout=timeout)
            else:
                out, err = process.communicate(timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        result = Result(process.returncode, out, err, seconds=time.monotonic() - started)
        if out[out.find("{") :].strip():
            try:
                result.outputs = json.loads(out[out.find("{") :]).get("results", {})
            except json.JSONDecodeError:
                result.outputs = {}
        if check and result.code != 0:
            pytest.fail(f"{algorithm} exited {result.code}\n{err[-4000:]}\n{out[-2000:]}")
        return result


@pytest.fixture(scope="session")
def qgis_process(tmp_path_factory) -> QgisProcess:
    """`qgis_process("hsfusion:simulate", REFERENCE=..., ...)` -> Result(code, stdout, stderr, outputs, seconds)."""
    return QgisProcess(tmp_path_factory.mktemp("qgis-profile"))


_TINY_MODEL = """
import dataclasses, sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
import torch
from hsfusion.models.runners.subspace import build_network
from hsfusion.models.training.subspace.card import make_card
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.runners.weights import save_model
config = load_config(sys.argv[1] + "/resources/configs/hsfusion-base.yaml")
card = make_card(dataclasses.replace(config, width=16, depth=1), 0, 0.0, [])
torch.manual_seed(0)
network = build_network(card["settings"])
for weight in network.parameters():
    weight.data += 0.02 * torch.randn_like(weight)
save_model(sys.argv[2], network.state_dict(), card)
"""


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """The bundled model; where there is none yet, one with random weights."""
    bundled = ROOT / "resources" / "models" / "hsfusion-base.safetensors"
    if bundled.is_file():
        return bundled
    from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
    from hsfusion.hsfusion_plugin.backend.settings import Settings

    path = tmp_path_factory.mktemp("models") / bundled.name
    subprocess.run([str(find_python(Settings())), "-I", "-c", _TINY_MODEL, str(ROOT), str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def backend(model_file, tmp_path_factory) -> dict[str, str]:
    """Environment of a run that finds the model, with its logs in a folder of the tests' own."""
    return {"HSFUSION_MODELS": str(model_file.parent), "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
