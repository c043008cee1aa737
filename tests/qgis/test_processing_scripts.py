"""The ways to run an algorithm beside its dialog: several pairs in a batch, a Python script, JSON on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hsfusion.tests.qgis import pairs

PLUGINS = "/usr/share/qgis/python/plugins"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def fine(pair):
    def check(path) -> None:
        error = pairs.read(path) - pair.truth
        assert (error**2).mean() < 0.05 * pair.truth.var()

    return check


SCRIPT = """
import sys
sys.path.append(sys.argv[4])
from qgis.core import QgsApplication
app = QgsApplication([], False)
app.initQgis()
from qgis import processing
from processing.core.Processing import Processing
Processing.initialize()
import hsfusion
plugin = hsfusion.classFactory(None)
plugin.initProcessing()
result = processing.run("hsfusion:fuse", {"HSI": sys.argv[1], "MSI": sys.argv[2], "MODEL": "average", "OUTPUT": sys.argv[3]})
print(result["USED_METHOD"], result["OUTPUT"])
"""  # noqa: E501


@pytest.mark.skipif(not os.path.isdir(PLUGINS), reason="QGIS's Processing is elsewhere")
def test_fuse_inside_a_python_script(pair, fine, tmp_path):
    """A program of its own, without a desktop, as the QGIS documentation starts one."""
    fused = tmp_path / "fused.tif"
    command = [sys.executable, "-c", SCRIPT, str(pair.hsi), str(pair.msi), str(fused), PLUGINS]
    env = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.stdout.strip().endswith(f"average {fused}"), done.stderr
    fine(fused)


BATCH = """
import json, os, sys, time
sys.path.append(sys.argv[2])
from qgis.core import QgsApplication, QgsProcessingContext
app = QgsApplication([], True)
app.initQgis()
from processing.core.Processing import Processing
Processing.initialize()
import hsfusion
plugin = hsfusion.classFactory(None)
plugin.initProcessing()
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
dialog = BatchAlgorithmDialog(QgsApplication.processingRegistry().createAlgorithmById("hsfusion:fuseclassical"))
panel = dialog.mainWidget()
rows = json.loads(sys.argv[1])
columns = {name: column for column, name in panel.column_to_parameter_definition.items()}
while panel.batchRowCount() < len(rows):
    panel.addRow()
for number, row in enumerate(rows):
    for name, value in row.items():
        if name == "OUTPUT":
            panel.tblParameters.cellWidget(number + 1, columns[name]).setValue(value)
        else:
            panel.wrappers[number][columns[name]].setParameterValue(value, QgsProcessingContext())
panel.checkLoadLayersOnCompletion.setChecked(False)
dialog.runAlgorithm()
end = time.monotonic() + 60  # in newer releases of QGIS a batch runs in the background
while time.monotonic() < end and not all(os.path.isfile(row["OUTPUT"]) for row in rows):
    app.processEvents()
    time.sleep(0.05)
os._exit(0)
"""


@pytest.mark.skipif(not os.path.isdir(PLUGINS), reason="QGIS's Processing is elsewhere")
def test_batch_over_several_pairs(pair, fine, tmp_path):
    """The batch dialog itself, as `Run as Batch Process...` opens it."""
    rows = [
        {"HSI": str(pair.hsi), "MSI": str(pair.msi), "METHOD": method, "OUTPUT": str(tmp_path / f"{method}.tif")}
        for method in ("glp-hs", "average")
    ]
    env = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile"), "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", BATCH, json.dumps(rows), PLUGINS]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    for row in rows:
        assert os.path.isfile(row["OUTPUT"]), done.stdout + done.stderr
        fine(row["OUTPUT"])


def test_json_on_standard_input(qgis_process, pair, fine, tmp_path):
    from qgis.core import Qgis

    if Qgis.QGIS_VERSION_INT < 32400:
        pytest.skip("qgis_process reads JSON from QGIS 3.24 on")
    inputs = {"HSI": str(pair.hsi), "MSI": str(pair.msi), "METHOD": "glp-hs", "OUTPUT": str(tmp_path / "fused.tif")}
    done = subprocess.run(
        [qgis_process.program, "run", "hsfusion:fuseclassical", "-"],
        input=json.dumps({"inputs": inputs}),
        env=qgis_process.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout[done.stdout.index("{") :])["results"]["USED_METHOD"] == "glp-hs"
    fine(tmp_path / "fused.tif")
