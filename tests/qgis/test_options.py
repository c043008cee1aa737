"""Settings > Options > HSFusion: what it shows, keeps and tries."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.backend.settings import SAVED, Settings, overridden, save, saved_values
from hsfusion.hsfusion_plugin.errors import HSFusionError


@pytest.fixture(autouse=True)
def clean(qgis_app, monkeypatch):
    """No saved value and no variable, before and after."""
    before = dict(saved_values())
    for name in (*SAVED, "token"):
        monkeypatch.delenv(f"HSFUSION_{name.upper()}", raising=False)
    save(**dict.fromkeys(SAVED, ""))
    yield
    save(**before)


@pytest.fixture
def page(clean):
    from hsfusion.hsfusion_plugin.gui.options import OptionsFactory

    return OptionsFactory().createWidget(None)


def test_what_is_entered_is_what_runs_use(page, tmp_path):
    page.backend.setCurrentIndex(2)
    page.python.setFilePath("/opt/python")
    page.device.setCurrentText("cuda:1")
    page.endpoint.setText(" https://gpu.example.org:8000 ")
    page.models.setPlainText(f"{tmp_path}\n\n/models/extra.safetensors\n")
    assert Settings.read() == Settings(), "nothing is kept before OK"
    page.apply()
    settings = Settings.read()
    assert settings == Settings(
        "remote",
        "/opt/python",
        "https://gpu.example.org:8000",
        device="cuda:1",
        models=(tmp_path, Path("/models/extra.safetensors")),
    )
    again = type(page)(None)
    assert again.backend.currentData() == "remote" and again.device.currentText() == "cuda:1"
    assert again.python.filePath() == "/opt/python" and again.endpoint.text() == "https://gpu.example.org:8000"
    assert again.models.toPlainText() == f"{tmp_path}\n/models/extra.safetensors"


def test_memory_work_folder_and_replies(page, monkeypatch):
    from hsfusion.hsfusion_plugin.jobs.run import memory

    assert memory.tile_size(bands=224, longest=5000) == memory.LARGEST_TILE, "without a budget"
    assert memory.tile_size(bands=224, longest=memory.LARGEST_TILE + 128) == memory.LARGEST_TILE + 128, "all as one"
    page.memory.setValue(1.5)
    page.work.setText("/scratch/me")
    page.replies.setCurrentIndex(1)
    page.apply()
    settings = Settings.read()
    assert (settings.memory, settings.work, settings.replies) == (1_500_000_000, "/scratch/me", "half")
    again = type(page)(None)
    assert again.memory.value() == 1.5 and again.work.text() == "/scratch/me" and again.replies.currentData() == "half"
    assert memory.available_memory() <= 1_500_000_000
    assert memory.SMALLEST_TILE <= memory.tile_size(bands=1000, longest=5000) < memory.LARGEST_TILE
    monkeypatch.setenv("HSFUSION_MEMORY", "0.5")
    assert Settings.read().memory == 500_000_000 and not type(page)(None).memory.isEnabled()
    for name, value in (("MEMORY", "much"), ("REPLIES", "some")):
        monkeypatch.setenv(f"HSFUSION_{name}", value)
        with pytest.raises(HSFusionError, match=f"HSFUSION_{name} is '{value}'"):
            Settings.read()
        monkeypatch.delenv(f"HSFUSION_{name}")


def test_defaults_are_forgotten(page):
    save(backend="local", device="cpu")
    page = type(page)(None)
    page.backend.setCurrentIndex(0)
    page.device.setCurrentText("auto")
    page.apply()
    assert not any(saved_values().values())


def test_a_variable_wins_and_the_page_says_so(page, monkeypatch):
    from qgis.PyQt.QtWidgets import QLabel

    save(device="cuda:0")
    monkeypatch.setenv("HSFUSION_DEVICE", "cpu")
    monkeypatch.setenv("HSFUSION_TOKEN", "hush")
    page = type(page)(None)
    assert overridden("device") == "HSFUSION_DEVICE" and overridden("python") is None
    assert not page.device.isEnabled() and not page.authcfg.isEnabled() and page.python.isEnabled()
    assert page.findChild(QLabel, "wins_device").text() == "HSFUSION_DEVICE is set and wins: cpu"
    assert "hush" not in page.findChild(QLabel, "wins_authcfg").text()
    assert page.findChild(QLabel, "wins_python") is None
    page.apply()
    assert saved_values()["device"] == "cuda:0", "what is saved stays for the day the variable is gone"


def answer(trial, seconds: float = 60) -> str:
    from qgis.PyQt.QtWidgets import QApplication

    trial.button.click()
    assert not trial.button.isEnabled()
    end = time.monotonic() + seconds
    while not trial.button.isEnabled() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    return trial.answer.text()


def test_the_interpreter_is_tried(page):
    page.python.setFilePath(sys.executable)
    assert "lacks what the backend needs" in answer(page.python_trial)
    page.python.setFilePath("/nowhere/python")
    assert "does not exist" in answer(page.python_trial)


def test_the_endpoint_is_tried(page):
    assert answer(page.endpoint_trial) == "No endpoint is given."
    page.endpoint.setText("gpu.example.org")
    assert "is not an http(s) address" in answer(page.endpoint_trial)


@pytest.mark.slow
def test_an_endpoint_that_answers(page, monkeypatch, backend):
    from hsfusion.hsfusion_plugin.backend.local.child import LocalBackend

    monkeypatch.setenv("XDG_CACHE_HOME", backend["XDG_CACHE_HOME"])
    with LocalBackend(Settings(device="cpu")) as client:
        page.endpoint.setText(client.endpoint)
        assert "token" in answer(page.endpoint_trial)
        monkeypatch.setenv("HSFUSION_TOKEN", client._transport._auth._token)
        assert "It answers in" in answer(page.endpoint_trial)


def test_setup_is_one_click_away(page, monkeypatch):
    from qgis import processing

    class Dialog:
        def setParent(self, parent, flags):
            pass

        def windowFlags(self):
            return None

        def exec(self):
            save(python="/made/bin/python")

    opened = []
    monkeypatch.setattr(
        processing, "createAlgorithmDialog", lambda name, parameters: opened.append(name) or Dialog(), raising=False
    )
    page.setup.click()
    assert page.python.filePath() == "/made/bin/python"
    page.getmodel.click()
    assert opened == ["hsfusion:setupbackend", "hsfusion:getmodel"]


def test_only_the_desktop_registers_it(qgis_app, monkeypatch):
    import hsfusion

    class Interface:
        factories: list = []

        def registerOptionsWidgetFactory(self, factory):
            self.factories.append(factory)

        def unregisterOptionsWidgetFactory(self, factory):
            self.factories.remove(factory)

        def rasterMenu(self):
            return menu

        def mainWindow(self):
            return None

    from qgis.PyQt.QtWidgets import QMenu

    menu = QMenu()
    plugin = hsfusion.classFactory(Interface())
    monkeypatch.setattr(type(plugin), "initProcessing", lambda self: None)
    plugin.initGui()
    assert [factory.title() for factory in Interface.factories] == ["HSFusion"]
    assert [action.text() for action in menu.actions()] == ["HSFusion"]
    plugin.unload()
    assert Interface.factories == [] and menu.actions() == []


def test_qgis_process_never_loads_it():
    code = (
        "import sys\nfrom qgis.core import QgsApplication\nimport hsfusion\napp = QgsApplication([], False)\n"
        "plugin = hsfusion.classFactory(None)\nplugin.initProcessing()\n"
        "print([m for m in sys.modules if 'hsfusion_plugin.gui' in m])\nplugin.unload()\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip().endswith("[]")
