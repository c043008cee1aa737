"""The backend from QGIS's own Python: settings, cards without torch, a child in the other interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client.errors import NoBackend
from hsfusion.hsfusion_plugin.backend.local.child import LocalBackend
from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
from hsfusion.hsfusion_plugin.backend.local.session import open_backend
from hsfusion.hsfusion_plugin.backend.settings import Settings
from hsfusion.models.cards import find_models

ROOT = Path(__file__).resolve().parents[2]
FAKE_SERVE = ROOT / "tests" / "backend" / "_fake_serve.py"
SAVE = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
from hsfusion.models.runners.weights import save_model
import torch
card = {"name": "fake", "architecture": "none", "spectral_mode": "fake"}
save_model(sys.argv[2] + "/fake.safetensors", {"weight": torch.ones(2)}, card)
"""


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HSFUSION_PYTHON", raising=False)
    python = find_python(Settings())
    subprocess.run([str(python), "-I", "-c", SAVE, str(ROOT), str(tmp_path)], check=True)
    return Settings(backend="local", python=str(python), device="cpu", models=(tmp_path,))


def test_qgis_has_no_torch_and_needs_none(settings):
    with LocalBackend(settings, script=FAKE_SERVE) as client:
        models = {model["name"]: model for model in client.models()}
        y = np.random.default_rng(0).random((2, 3, 4), np.float32)
        np.testing.assert_array_equal(client.infer("fake", {"y": y}, {"steps": 2})["x"][0], 2 * y)
    (here,) = (model for model in find_models(settings.model_places)[0] if model.name == "fake")
    assert (here.card, here.sha256) == (models["fake"]["card"], models["fake"]["sha256"])
    assert "torch" not in sys.modules


def test_the_variables_of_qgis_do_not_reach_the_child(settings, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "PROJ_LIB", "GDAL_DATA", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/nowhere")
    with LocalBackend(settings, script=FAKE_SERVE) as client:
        assert client.ready()


def test_settings_of_qgis_and_the_environment_over_them(qgis_app, monkeypatch):
    from qgis.core import QgsSettings

    for name in ("HSFUSION_DEVICE", "HSFUSION_PYTHON", "HSFUSION_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    saved = QgsSettings()
    before = {name: saved.value(f"hsfusion/{name}") for name in ("device", "models")}
    saved.setValue("hsfusion/device", "cuda:3")
    saved.setValue("hsfusion/models", os.pathsep.join(["/a", "/b"]))
    try:
        assert Settings.read().device == "cuda:3"
        assert Settings.read().models == (Path("/a"), Path("/b"))
        monkeypatch.setenv("HSFUSION_DEVICE", "cpu")
        assert Settings.read().device == "cpu"
    finally:
        for name, value in before.items():
            saved.remove(f"hsfusion/{name}") if value is None else saved.setValue(f"hsfusion/{name}", value)


def test_the_sentence_without_a_backend(tmp_path):
    with (
        pytest.raises(NoBackend, match="hsfusion:setupbackend.*hsfusion:fuseclassical"),
        open_backend(Settings(python=str(tmp_path / "none")), "local"),
    ):
        pass
