"""The zip for the plugin site: the same bytes twice, clean, and a plugin that works in a profile that knows nothing
else.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hsfusion.tests.qgis.conftest import QgisProcess, backend_works
from hsfusion.tests.qgis.pairs import make_pair, read

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / ".venv" / "bin" / "python"


def package(folder: Path, *options: str, python: Path | str = sys.executable) -> Path:
    """Run scripts/dev/package.py; the zip it made."""
    command = [str(python), str(ROOT / "scripts" / "dev" / "package.py"), "--output", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return package(tmp_path_factory.mktemp("dist"), "--no-checks")


@pytest.fixture(scope="module")
def installed(archive, tmp_path_factory) -> QgisProcess:
    """qgis_process in a fresh profile, with the zip unpacked where QGIS's plugin manager would put it."""
    profile = tmp_path_factory.mktemp("fresh-profile") / "qgis"
    process = QgisProcess(profile)
    plugins = profile / "profiles" / "default" / "python" / "plugins"
    (plugins / "hsfusion").unlink()  # the link to the checkout
    with zipfile.ZipFile(archive) as entries:
        entries.extractall(plugins)
    return process


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


def test_same_bytes_twice(archive, tmp_path):
    assert package(tmp_path, "--no-checks").read_bytes() == archive.read_bytes()


def test_what_is_in_it(archive):
    with zipfile.ZipFile(archive) as entries:
        names, modes = set(entries.namelist()), {entry.external_attr >> 16 for entry in entries.infolist()}
    for name in (
        "metadata.txt",
        "LICENSE",
        "__init__.py",
        "pyproject.toml",
        "scripts/serve.py",
        "resources/sensors.csv",
        "resources/models.yaml",
        "resources/modeler/fuseandassess.model3",
        "resources/help/getmodel.md",
    ):
        assert f"hsfusion/{name}" in names
    assert "hsfusion/resources/sample/indian_pines.tif" in names
    assert not [
        n for n in names if "test" in n.lower() or "__pycache__" in n or n.endswith((".pyc", ".sh", ".aux.xml"))
    ]
    assert {name.split("/")[1] for name in names if "scripts/" in name} == {"scripts"} and modes == {
        stat.S_IFREG | 0o644
    }


@pytest.mark.skipif(not backend_works(), reason="bandit and detect-secrets are in .venv")
def test_site_would_take_it(tmp_path):
    assert package(tmp_path, python=BACKEND).stat().st_size <= 25_000_000


def test_site_checks_complain(archive, tmp_path):
    """A zip with everything wrong."""
    from hsfusion.scripts.dev import site_checks as checks

    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as entries:
        entries.writestr("qgis-hsfusion/__pycache__/a.pyc", b"")
        entries.writestr("qgis-hsfusion/.secret", b"")
        entries.writestr("qgis-hsfusion/run", b"#!/bin/sh\n")
        entries.writestr("other/b.exe", b"MZ")
    with zipfile.ZipFile(bad) as entries:
        names, programs = "\n".join(checks.check_names(entries)), "\n".join(checks.check_programs(entries))
    for part in ("more than one top folder", "no Python identifier", "a cache", "hidden", "LICENSE is missing"):
        assert part in names
    assert "a.pyc" in programs and "a script" in programs and "a Windows program" in programs
    (tmp_path / "metadata.txt").write_text("[general]\nname=Some plugin\nsupportsQt6=True\n", encoding="utf-8")
    assert "metadata.txt: no about" in checks.check_metadata(tmp_path)
    assert "metadata.txt: no tracker" in checks.check_metadata(tmp_path, release=True)


def test_fresh_profile_lists_it(installed):
    done = subprocess.run(
        [installed.program, "list"], env=installed.environment, capture_output=True, text=True, check=True
    )
    assert "hsfusion:fuse\t" in done.stdout and "hsfusion:evaluate" in done.stdout
    assert "Traceback" not in done.stderr


def test_fresh_profile_fuses_without_backend(installed, pair, tmp_path):
    fused = tmp_path / "fused.tif"
    installed("hsfusion:fuseclassical", HSI=pair.hsi, MSI=pair.msi, METHOD="glp-hs", OUTPUT=fused)
    error = read(fused) - pair.truth
    assert (error**2).mean() < 0.05 * pair.truth.var()


@pytest.mark.slow
@pytest.mark.skipif(not backend_works(), reason="needs the backend's environment")
def test_fresh_profile_fuses_with_bundled_model(installed, pair, tmp_path):
    fused = tmp_path / "fused.tif"
    env = {"HSFUSION_PYTHON": str(BACKEND), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = installed("hsfusion:fuse", env=env, HSI=pair.hsi, MSI=pair.msi, GUARD="false", OUTPUT=fused)
    assert result.outputs["USED_METHOD"] == "hsfusion-base"
    error = read(fused) - pair.truth
    assert (error**2).mean() < 0.05 * pair.truth.var()


@pytest.mark.slow
@pytest.mark.skipif(not backend_works(), reason="needs the backend's environment")
def test_pip_install_gives_a_package_with_its_resources(tmp_path):
    """`pip install .` from a clean copy, into a folder of its own."""
    source, target = tmp_path / "source", tmp_path / "target"
    kept = ("processing", "hsfusion_plugin", "models", "resources", "scripts")
    source.mkdir()
    for name in kept:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.aux.xml"))
    for name in ("__init__.py", "metadata.txt", "LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source / name)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pip = [
        str(BACKEND),
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hsfusion, hsfusion.models.observation, hsfusion.models.scene, hsfusion.models.metrics\n"
        "from hsfusion.models.server.main import BUNDLED_MODELS, main\n"
        "from hsfusion.models.version import VERSION\n"
        "assert hsfusion.__path__[0].startswith(sys.argv[1]) and list(BUNDLED_MODELS.glob('*.safetensors'))\n"
        "assert (BUNDLED_MODELS.parent / 'sensors.csv').is_file() and VERSION[0].isdigit()\n"
    )
    subprocess.run([str(BACKEND), "-I", "-c", program, str(target)], check=True)
    assert (target / "bin" / "hsfusion-serve").is_file()
