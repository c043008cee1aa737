"""Raster > HSFusion: which layers and which part of them a preview takes, and the copy of a model for the modeler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.tests.qgis import pairs

WEST, NORTH = pairs.CORNER
PROCESSING = Path("/usr/share/qgis/python/plugins")


@pytest.fixture(scope="module")
def layers(qgis_app, tmp_path_factory):
    """An HSI of 20 bands and 40 m, MSIs of 10 m (one of them far away), and a fused raster of both."""
    from qgis.core import QgsRasterLayer

    folder = tmp_path_factory.mktemp("layers")
    pair = pairs.make_pair(folder)
    pairs.write(folder / "far.tif", np.ones((4, 8, 8)), 5.0, corner=(WEST + 1e5, NORTH))
    pairs.write(folder / "fused.tif", pair.truth, pairs.PIXEL, wavelengths=pairs.WAVELENGTHS)
    return {name: QgsRasterLayer(str(folder / f"{name}.tif"), name) for name in ("far", "fused", "msi", "hsi")}


@pytest.fixture
def find(layers):
    from hsfusion.hsfusion_plugin.gui.preview import likely_pair

    def names(*wanted: str):
        pair = likely_pair([layers[name] for name in wanted])
        return pair and tuple(layer.name() for layer in pair)

    return names


def test_the_likely_pair(find):
    assert find("far", "msi", "hsi") == ("hsi", "msi")
    assert find("fused", "msi", "hsi") == ("hsi", "msi"), "a result of the same bands is no HSI: nothing is finer"
    assert find("msi", "far") is None, "no raster of many bands"
    assert find("hsi", "far") is None, "nothing fine overlaps it"
    assert find() is None


@pytest.fixture
def cut(layers, monkeypatch):
    from qgis.core import QgsCoordinateReferenceSystem, QgsRectangle

    from hsfusion.hsfusion_plugin.gui import preview

    monkeypatch.setattr(preview, "LARGEST_PX", 40)

    def run(xmin, ymin, xmax, ymax, crs="EPSG:32632"):
        seen = QgsRectangle(xmin, ymin, xmax, ymax)
        return preview.preview_extent(seen, QgsCoordinateReferenceSystem(crs), layers["hsi"], layers["msi"])

    return run


def test_the_part_that_is_seen(cut):
    seen = cut(WEST - 500, NORTH - 200, WEST + 300, NORTH + 900)
    assert (seen.xMinimum(), seen.xMaximum()) == (WEST, WEST + 300)
    assert (seen.yMinimum(), seen.yMaximum()) == (NORTH - 200, NORTH)


def test_a_large_one_is_cut_to_its_middle(cut):
    seen = cut(WEST - 5e4, NORTH - 5e4, WEST + 5e4, NORTH + 5e4)
    assert seen.width() == pytest.approx(400) and seen.height() == pytest.approx(400)
    assert seen.center().x() == pytest.approx(WEST + 640) and seen.center().y() == pytest.approx(NORTH - 560)


def test_a_canvas_of_another_crs(cut):
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsProject, QgsRectangle

    utm, mercator = QgsCoordinateReferenceSystem("EPSG:32632"), QgsCoordinateReferenceSystem("EPSG:3857")
    there = QgsCoordinateTransform(utm, mercator, QgsProject.instance())
    box = there.transformBoundingBox(QgsRectangle(WEST + 100, NORTH - 300, WEST + 300, NORTH - 100))
    seen = cut(box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum(), "EPSG:3857")
    assert seen.contains(QgsRectangle(WEST + 100, NORTH - 300, WEST + 300, NORTH - 100))
    assert seen.width() < 230


def test_nothing_is_seen(cut):
    with pytest.raises(HSFusionError, match="zoom to the place where they overlap"):
        cut(WEST - 900, NORTH - 200, WEST - 100, NORTH)


class Interface:
    """What the menu asks of QGIS."""

    def __init__(self):
        from qgis.PyQt.QtWidgets import QMenu

        self.raster, self.said, self.pages = QMenu(), [], []

    def rasterMenu(self):
        return self.raster

    def mainWindow(self):
        return None

    def messageBar(self):
        return self

    def pushMessage(self, title, text, level):
        self.said.append(text)

    def showOptionsDialog(self, parent, page):
        self.pages.append(page)

    def mapCanvas(self):
        from qgis.gui import QgsMapCanvas

        self.canvas = QgsMapCanvas()
        return self.canvas


@pytest.fixture
def menu(qgis_app, monkeypatch):
    """The menu, its interface, and the dialogs that it opens."""
    from qgis import processing

    from hsfusion.hsfusion_plugin.gui.menu import Menu

    class Dialog:
        def show(self):
            shown.append("shown")

    shown = []

    def create(name, parameters):
        shown.extend([name, parameters])
        return Dialog()

    monkeypatch.setattr(processing, "createAlgorithmDialog", create, raising=False)
    interface = Interface()
    return Menu(interface), interface, shown


def test_entries_come_and_go(menu):
    entries, interface, _ = menu
    (top,) = interface.raster.actions()
    assert top.text() == "HSFusion" and len(top.menu().actions()) == 3
    assert all(action.toolTip() != action.text() for action in top.menu().actions())
    entries.remove()
    assert interface.raster.actions() == []


@pytest.mark.parametrize(("python", "algorithm"), [(sys.executable, "hsfusion:fuse"), ("", "hsfusion:fuseclassical")])
def test_preview_opens_a_dialog_that_is_filled_in(menu, layers, monkeypatch, python, algorithm):
    from qgis.core import QgsProject, QgsRectangle

    from hsfusion.hsfusion_plugin.gui import menu as module

    monkeypatch.setattr(module, "backend_there", lambda: bool(python))
    project, (entries, interface, shown) = QgsProject.instance(), menu
    copies = [layers[name].clone() for name in ("msi", "hsi")]
    project.addMapLayers(copies)
    canvas = interface.mapCanvas()
    canvas.setDestinationCrs(copies[0].crs())
    canvas.setExtent(QgsRectangle(WEST, NORTH - 300, WEST + 300, NORTH))
    monkeypatch.setattr(interface, "mapCanvas", lambda: canvas, raising=False)
    try:
        entries.preview()
        name, parameters, last = shown
        assert name == algorithm and last == "shown"
        assert (parameters["HSI"], parameters["MSI"]) == (copies[1].id(), copies[0].id())
        assert parameters["EXTENT"].endswith("[EPSG:32632]")
        assert parameters.get("METHOD") == (None if python else "average")
        entries.fuse()
        assert shown[3] == algorithm and "EXTENT" not in shown[4]
    finally:
        project.removeAllMapLayers()


def test_without_layers_it_says_what_to_load(menu):
    entries, interface, shown = menu
    entries.preview()
    assert shown == [] and "Load a hyperspectral raster" in interface.said[0]
    entries.options()
    assert interface.pages == ["HSFusion"]


def test_a_backend_is_looked_for_and_not_started(monkeypatch, tmp_path):
    from hsfusion.hsfusion_plugin.gui.menu import backend_there

    for name in ("HSFUSION_BACKEND", "HSFUSION_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HSFUSION_PYTHON", str(tmp_path / "none"))
    assert not backend_there()
    monkeypatch.setenv("HSFUSION_ENDPOINT", "https://gpu.example.org")
    assert backend_there()


@pytest.mark.skipif(not PROCESSING.is_dir(), reason="QGIS's Processing is elsewhere")
def test_a_shipped_model_is_offered_as_a_copy(provider, tmp_path):
    """In the Toolbox of a program of its own, because QGIS's `processing` would stay imported here."""
    done = subprocess.run(
        [sys.executable, "-c", TOOLBOX, str(PROCESSING)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path)},
        check=False,
    )
    assert done.stdout.split("\n")[:3] == ["True False", "Estimate, fuse and assess ''", "0"], done.stderr


TOOLBOX = """
import sys
sys.path.append(sys.argv[1])
from qgis.core import QgsApplication
app = QgsApplication([], True)
app.initQgis()
from processing.core.Processing import Processing
Processing.initialize()
from processing.gui.ProviderActions import ProviderContextMenuActions as Menu
import hsfusion
from hsfusion.hsfusion_plugin.gui import modeler
plugin = hsfusion.classFactory(None)
plugin.initProcessing()
before = len(Menu.actions)
actions = modeler.register()
find = QgsApplication.processingRegistry().algorithmById
enabled = []
for name in ("fuseandassess", "fuse"):
    actions[0].setData(find("hsfusion:" + name), None)
    enabled.append(actions[0].isEnabled())
print(*enabled)
actions[0].setData(find("hsfusion:fuseandassess"), None)
dialog = actions[0].execute()
print(dialog.model().displayName(), repr(dialog.model().sourceFilePath()))
modeler.unregister(actions)
print(len(Menu.actions) - before)
sys.stdout.flush()
__import__("os")._exit(0)  # the dialog would ask whether to save
"""
