"""The model for the graphical modeler: estimate -> fuse -> assess, as a file, in the Toolbox and in `qgis_process`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from hsfusion.tests.qgis import pairs

MODEL = "resources/modeler/fuseandassess.model3"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def model(provider):
    found = provider.algorithm("fuseandassess")
    assert found is not None
    return found


def test_it_is_found_by_its_words(model):
    assert model.id() == "hsfusion:fuseandassess" and model.displayName() == "Estimate, fuse and assess"
    assert model.group() == "Fusion" and not model.icon().isNull()
    assert {"pansharpening", "image fusion", "super resolution", "EnMAP"} <= set(model.tags())
    assert "graphical modeler" in model.shortHelpString() and "<" not in model.shortHelpString()
    assert model.shortDescription().endswith(".")


def test_every_output_has_a_name(model):
    from qgis.core import QgsProcessingParameterDefinition

    outputs = [p for p in model.parameterDefinitions() if p.isDestination()]
    assert [p.description() for p in outputs][0] == "Fused raster"
    assert all(p.description() for p in outputs) and len(outputs) == 5
    optional = QgsProcessingParameterDefinition.Flag.FlagOptional
    assert [bool(p.flags() & optional) for p in outputs] == [False, True, True, True, True]


def test_the_file_opens_and_is_valid(provider, root):
    from qgis.core import QgsProcessingModelAlgorithm

    model = QgsProcessingModelAlgorithm()
    assert model.fromFile(str(root / MODEL))
    assert model.validate() == (True, []), "a new parameter? run scripts/dev/make_modeler_model.py"
    steps = {child.algorithmId() for child in model.childAlgorithms().values()}
    assert steps == {"hsfusion:estimatesensor", "hsfusion:fuse", "hsfusion:assess"}


def test_it_stays_when_the_provider_is_refreshed(provider):
    before = {algorithm.name() for algorithm in provider.algorithms()}
    provider.refreshAlgorithms()
    assert {algorithm.name() for algorithm in provider.algorithms()} == before
    assert provider.algorithm("fuseandassess").create().validate()[0]


def test_run_from_python(model, pair, tmp_path):
    paths = {output: str(tmp_path / f"{number}") for number, output in enumerate(_reports(model))}
    paths = {output: path + (".csv" if "Table" in output else ".html") for output, path in paths.items()}
    parameters = {"HSI": str(pair.hsi), "MSI": str(pair.msi), "MODEL": "average", "SENSOR": "estimate"}
    parameters.update({_raster(model): str(tmp_path / "fused.tif"), **paths})
    results = _run(model.provider(), model.name(), **parameters)
    assert results[_raster(model)] == str(tmp_path / "fused.tif")
    assert len(paths) == 4 and all(Path(path).stat().st_size > 1000 for path in paths.values())
    assert ElementTree.parse(tmp_path / "fused.qml").getroot().tag == "qgis"
    error = pairs.read(tmp_path / "fused.tif") - pair.truth
    assert (error**2).mean() < 0.05 * pair.truth.var()


def test_run_by_qgis_process(qgis_process, provider, model, pair, tmp_path):
    """It gives what fuse gives with the estimates written out."""
    given = {"HSI": str(pair.hsi), "MSI": str(pair.msi)}
    qgis_process("hsfusion:fuseandassess", **given, MODEL="glp-hs", **{_raster(model): tmp_path / "a.tif"})
    sensors = _run(provider, "estimatesensor", **given)
    geometry = {name: sensors[name] for name in ("PSF_FWHM", "PSF_FWHM_Y", "SHIFT_X", "SHIFT_Y")}
    _run(provider, "fuse", **given, **geometry, MODEL="glp-hs", OUTPUT=str(tmp_path / "b.tif"))
    np.testing.assert_allclose(pairs.read(tmp_path / "a.tif"), pairs.read(tmp_path / "b.tif"), rtol=1e-4)


@pytest.mark.slow
def test_run_with_the_diffusion_model(qgis_process, backend, model, pair, root, tmp_path):
    fused = {_raster(model): tmp_path / "fused.tif"}
    qgis_process(str(root / MODEL), env=backend, HSI=pair.hsi, MSI=pair.msi, **fused)
    error = pairs.read(tmp_path / "fused.tif") - pair.truth
    assert (error**2).mean() < 0.05 * pair.truth.var()


def _run(provider, name: str, **parameters) -> dict:
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    results, done = provider.algorithm(name).create().run(parameters, QgsProcessingContext(), feedback)
    assert done, feedback.textLog()
    return results


def _raster(model) -> str:
    """The name that this release of QGIS gives the fused raster's parameter."""
    return next(p.name() for p in model.parameterDefinitions() if p.type() == "rasterDestination")


def _reports(model) -> list[str]:
    return [p.name() for p in model.parameterDefinitions() if p.type() == "fileDestination"]
