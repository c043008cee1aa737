"""Results are loaded after a run from the dialog, which works on a thread of its own, with a style and a name that
tells them apart.
"""

from __future__ import annotations

import time

import pytest

from hsfusion.tests.qgis import pairs


@pytest.fixture
def run_as_dialog(provider, qgis_app):
    """Run an algorithm as its dialog does: a task, and a context whose project wants the layers; returns name by output
    path.
    """
    from qgis.core import (
        QgsProcessingAlgRunnerTask,
        QgsProcessingContext,
        QgsProcessingFeedback,
        QgsProcessingOutputLayerDefinition,
        QgsProcessingUtils,
        QgsProject,
    )

    def run(name: str, parameters: dict, outputs: dict) -> dict[str, str]:
        project = QgsProject()
        context, feedback, done = QgsProcessingContext(), QgsProcessingFeedback(False), []
        context.setProject(project)
        for output, path in outputs.items():
            parameters[output] = QgsProcessingOutputLayerDefinition(path, project)
        algorithm = provider.algorithm(name).create()
        task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
        task.executed.connect(lambda fine, results: done.append((fine, results)))
        qgis_app.taskManager().addTask(task)
        end = time.monotonic() + 60
        while not done and time.monotonic() < end:
            qgis_app.processEvents()
            time.sleep(0.01)
        assert done and done[0][0], feedback.textLog()
        for path, how in context.layersToLoadOnCompletion().items():  # as QGIS's handleAlgorithmResults does
            layers[path] = layer = QgsProcessingUtils.mapLayerFromString(path, context)
            assert layer is not None and how.project is not None
            how.postProcessor().postProcessLayer(layer, context, feedback)
            layer.setName(how.name)
            layers[path] = context.temporaryLayerStore().takeMapLayer(layer)
        return {path: layer.name() for path, layer in layers.items()}

    layers: dict = {}
    run.layers = layers
    return run


def test_a_fused_raster_is_loaded_and_named_after_input_and_method(run_as_dialog, tmp_path):
    pair = pairs.make_pair(tmp_path)
    parameters = {"HSI": str(pair.hsi), "MSI": str(pair.msi), "METHOD": "glp-hs"}
    named = run_as_dialog("fuseclassical", parameters, {"OUTPUT": str(tmp_path / "fused.tif")})
    assert named == {str(tmp_path / "fused.tif"): "hsi fused (glp-hs)"}
    renderer = run_as_dialog.layers[str(tmp_path / "fused.tif")].renderer()
    shown = [pairs.WAVELENGTHS[band - 1] for band in (renderer.redBand(), renderer.greenBand(), renderer.blueBand())]
    assert shown == pytest.approx([660, 555, 475], abs=15), "true colour by wavelength"


def test_a_temporary_one_too(run_as_dialog, tmp_path):
    pair = pairs.make_pair(tmp_path)
    parameters = {"HSI": str(pair.hsi), "MSI": str(pair.msi)}
    (path,), (name,) = zip(*run_as_dialog("fuseclassical", parameters, {"OUTPUT": "TEMPORARY_OUTPUT"}).items())
    assert path.endswith("OUTPUT.tif") and name == "hsi fused (glp-hs)"


def test_maps_say_what_they_show(run_as_dialog, sample, tmp_path):
    outputs = {"SAM_MAP": str(tmp_path / "sam.tif"), "ERROR_MAP": str(tmp_path / "error.tif")}
    named = run_as_dialog("evaluate", {"REFERENCE": str(sample), "FUSED": str(sample)}, outputs)
    assert named[outputs["SAM_MAP"]] == "indian_pines spectral angle (degrees)"
    assert named[outputs["ERROR_MAP"]] == "indian_pines RMSE over bands"
    assert {layer.renderer().type() for layer in run_as_dialog.layers.values()} == {"singlebandpseudocolor"}


def test_a_simulated_pair(run_as_dialog, sample, tmp_path):
    outputs = {"OUTPUT_HSI": str(tmp_path / "h.tif"), "OUTPUT_MSI": str(tmp_path / "m.tif")}
    named = run_as_dialog("simulate", {"REFERENCE": str(sample)}, outputs)
    assert named[outputs["OUTPUT_HSI"]] == "indian_pines HSI (simulated, ratio 4)"
    assert named[outputs["OUTPUT_MSI"]] == "indian_pines MSI (simulated, Sentinel-2A)"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/data/enmap.tif", "enmap"),
        ('HDF5:"/data/prs.he5"://HDFEOS/VNIR_Cube', "VNIR_Cube"),
        ('NETCDF:"/data/cube.nc":reflectance', "reflectance"),
        ("C:\\data\\enmap.tif", "enmap"),
        ("", ""),
    ],
)
def test_a_short_name(source, expected):
    from hsfusion.processing.loaded_layers import stem

    assert stem(source) == expected
