"""Which interpreter the child gets, and how clean its environment is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.backend.client.errors import NoBackend
from hsfusion.hsfusion_plugin.backend.local import interpreter, logs
from hsfusion.hsfusion_plugin.backend.local.interpreter import child_environment, find_python
from hsfusion.hsfusion_plugin.backend.settings import BUNDLED_MODELS, Settings
from hsfusion.models.errors import HSFusionError


def test_settings_from_the_environment(monkeypatch):
    settings = Settings.read(
        {
            "HSFUSION_BACKEND": "remote",
            "HSFUSION_ENDPOINT": " https://gpu.example.org ",
            "HSFUSION_TOKEN": "s3cret",
            "HSFUSION_DEVICE": "cuda:1",
            "HSFUSION_MODELS": "/a:~/b:" if sys.platform != "win32" else "/a;~/b;",
        }
    )
    assert (settings.backend, settings.endpoint, settings.device) == ("remote", "https://gpu.example.org", "cuda:1")
    assert settings.model_places == [Path("/a"), Path("~/b").expanduser(), BUNDLED_MODELS]
    assert "s3cret" not in repr(settings)
    with pytest.raises(HSFusionError, match="must be one of auto, local, remote"):
        Settings.read({"HSFUSION_BACKEND": "cloud"})


def test_defaults():
    settings = Settings()
    assert (settings.backend, settings.device, settings.python, settings.models) == ("auto", "auto", "", ())


def test_the_interpreter_named_wins_over_that_of_the_folder(tmp_path, monkeypatch):
    for name in ("one", "two/.venv"):
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
    monkeypatch.setattr(interpreter, "PLUGIN_FOLDER", tmp_path / "two")
    assert find_python(Settings()) == tmp_path / "two" / ".venv" / "bin" / "python"
    assert find_python(Settings(python=str(tmp_path / "one"))) == tmp_path / "one" / "bin" / "python"
    assert find_python(Settings(python=sys.executable)) == Path(sys.executable)
    with pytest.raises(NoBackend, match="does not exist.*hsfusion:setupbackend.*hsfusion:fuseclassical"):
        find_python(Settings(python=str(tmp_path / "three")))


def test_what_the_child_does_not_inherit():
    names = (
        "PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX QGIS_PREFIX_PATH PROJ_LIB PROJ_DATA GDAL_DATA GDAL_DRIVER_PATH"
    )
    names += (
        " LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH QT_QPA_PLATFORM SSL_CERT_FILE HSFUSION_TOKEN HSFUSION_PYTHON"
    )
    noise = dict.fromkeys(names.split(), "/qgis")
    clean = child_environment(
        {**noise, "PATH": "/bin", "HOME": "/home/me", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0"}
    )
    assert not set(noise) & set(clean)
    assert {"PATH", "HOME", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"} <= set(clean)
    if sys.platform.startswith("linux"):
        assert "MALLOC_ARENA_MAX" in clean and "GLIBC_TUNABLES" in clean
        subprocess.run([sys.executable, "-c", ""], env=clean, check=True)


def test_certificates_that_exist_are_kept(tmp_path):
    assert child_environment({"SSL_CERT_FILE": str(tmp_path)})["SSL_CERT_FILE"] == str(tmp_path)


def test_logs_are_kept_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    for _ in range(logs.KEPT + 5):
        logs.new_log().write_text("one\ntwo\nthree")
    files = list(logs.log_folder().iterdir())
    assert len(files) == logs.KEPT
    assert logs.tail(files[0], 2) == "two\nthree"
    assert logs.tail(tmp_path / "none") == ""


def test_logs_go_elsewhere_where_the_home_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    if sys.platform.startswith("linux"):
        assert logs.new_log().parent.is_dir()
