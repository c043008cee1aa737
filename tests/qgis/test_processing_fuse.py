"""hsfusion:fuse and hsfusion:fuseclassical through qgis_process: whole runs, bad input, cancel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

RATIO, BANDS = 4, 30
WAVELENGTHS = np.linspace(430, 900, BANDS)
FUSE, CLASSICAL = "hsfusion:fuse", "hsfusion:fuseclassical"
NO_BACKEND = {"HSFUSION_PYTHON": "/nonexistent"}
UNTRAINED = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
from hsfusion.models.runners.subspace import build_network
from hsfusion.models.cards import OBJECTIVE
from hsfusion.models.runners.weights import save_model
settings = {"components": 8, "width": 16, "depth": 1}
card = {
    "name": "untrained", "architecture": "subspace-unet", "settings": settings, "spectral_mode": "subspace", "components": 8, "objective": OBJECTIVE,
    "ratios": [2.0, 8.0], "schedule": {"kind": "zero-terminal-cosine", "steps": 1000}, "default_steps": 2,
    "tile_multiple": 8, "halo": 48,
}
save_model(sys.argv[2], build_network(settings).state_dict(), card)
"""  # noqa: E501


def write(path, values, pixel, epsg=32632, origin=(500000.0, 5600000.0), wavelengths=None, nodata=None):
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), values.shape[2], values.shape[1], len(values), gdal.GDT_Float32
    )
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.SetGeoTransform((origin[0], pixel, 0, origin[1], 0, -pixel))
    for i, layer in enumerate(values):
        band = dataset.GetRasterBand(i + 1)
        band.WriteArray(layer)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if wavelengths is not None:
            band.SetMetadataItem("wavelength", f"{wavelengths[i]:.3f}")
            band.SetMetadataItem("wavelength_units", "Nanometers")
    return path


def read(path):
    return gdal.Open(str(path)).ReadAsArray()


@pytest.fixture(scope="session")
def pair(qgis_app, make_scene, tmp_path_factory):
    """(truth, HSI file, MSI file) of 128 x 96 fine pixels."""
    from hsfusion.hsfusion_plugin.jobs.request import SimulationRequest
    from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
    from hsfusion.hsfusion_plugin.jobs.simulate import job as simulate

    folder = tmp_path_factory.mktemp("pair")
    truth = make_scene(BANDS, 128, 96)
    reference = write(folder / "truth.tif", truth, 5, wavelengths=WAVELENGTHS)
    request = SimulationRequest(str(reference), str(folder / "hsi.tif"), str(folder / "msi.tif"), ratio=RATIO)
    simulate.run(request, Progress())
    return truth, folder / "hsi.tif", folder / "msi.tif"


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """A model file whose network adds nothing to its base."""
    from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
    from hsfusion.hsfusion_plugin.backend.settings import PLUGIN_FOLDER, Settings

    path = tmp_path_factory.mktemp("model") / "untrained.safetensors"
    subprocess.run([str(find_python(Settings())), "-I", "-c", UNTRAINED, str(PLUGIN_FOLDER), str(path)], check=True)
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def rmse(a, b):
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("method", ["glp-hs", "loc", "map", "average"])
def test_closed_forms_sharpen(qgis_process, pair, out, method):
    truth, hsi, msi = pair
    fused = out / "fused.tif"
    result = qgis_process(CLASSICAL, HSI=hsi, MSI=msi, METHOD=method, OUTPUT=fused, REPORT=out / "report.html")
    dataset, grid = gdal.Open(str(fused)), gdal.Open(str(msi))
    assert dataset.GetGeoTransform() == grid.GetGeoTransform() and dataset.GetProjection() == grid.GetProjection()
    found = [float(dataset.GetRasterBand(i + 1).GetMetadataItem("wavelength")) for i in range(BANDS)]
    np.testing.assert_allclose(found, WAVELENGTHS, atol=1e-3)
    blocky = np.kron(read(hsi), np.ones((1, RATIO, RATIO)))
    assert rmse(read(fused), truth) < 0.6 * rmse(blocky, truth)
    assert result.outputs["USED_METHOD"] == method
    assert 0.8 < result.outputs["PSF_FWHM_USED"] < 1.2
    assert result.outputs["HSI_CONSISTENCY"] > 30 and result.outputs["MSI_CONSISTENCY"] > 30
    assert fused.with_suffix(".qml").is_file() and "<html" in (out / "report.html").read_text(encoding="utf-8")
    assert json.loads(fused.with_suffix(".json").read_text())["method"] == method


def test_extent_is_that_part_of_the_whole(qgis_process, pair, out):
    _, hsi, msi = pair
    qgis_process(CLASSICAL, HSI=hsi, MSI=msi, OUTPUT=out / "whole.tif")
    box = "500100,500300,5599600,5599900 [EPSG:32632]"
    qgis_process(CLASSICAL, HSI=hsi, MSI=msi, OUTPUT=out / "part.tif", EXTENT=box)
    part = read(out / "part.tif")
    assert part.shape == (BANDS, 60, 40)
    np.testing.assert_allclose(part, read(out / "whole.tif")[:, 20:80, 20:60], rtol=1e-4)


def test_fuse_with_a_closed_form_needs_no_backend(qgis_process, pair, out):
    _, hsi, msi = pair
    result = qgis_process(
        FUSE, NO_BACKEND, HSI=hsi, MSI=msi, MODEL="glp-hs", OUTPUT=out / "fused.tif", DATA_TYPE="Int16"
    )
    assert result.outputs["USED_METHOD"] == "glp-hs"
    fused = gdal.Open(str(out / "fused.tif"))
    assert fused.GetRasterBand(1).DataType == gdal.GDT_Int16


@pytest.mark.slow
def test_fuse_with_a_model(qgis_process, pair, untrained, out):
    truth, hsi, msi = pair
    fused = out / "fused.tif"
    result = qgis_process(
        FUSE,
        HSI=hsi,
        MSI=msi,
        MODEL_FILE=untrained,
        GUARD="false",
        SAMPLES=2,
        OUTPUT=fused,
        UNCERTAINTY=out / "std.tif",
    )
    assert result.outputs["USED_METHOD"] == "untrained"
    blocky = np.kron(read(hsi), np.ones((1, RATIO, RATIO)))
    assert rmse(read(fused), truth) < 0.6 * rmse(blocky, truth)
    assert read(out / "std.tif").shape == truth.shape
    record = json.loads(fused.with_suffix(".json").read_text())
    assert len(record["model"]["sha256"]) == 64


@pytest.mark.slow
def test_installed_models_are_offered_and_found_by_name(qgis_process, pair, untrained, out):
    _, hsi, msi = pair
    environment = {"HSFUSION_MODELS": str(untrained.parent)}
    result = qgis_process(FUSE, environment, HSI=hsi, MSI=msi, MODEL="untrained", OUTPUT=out / "fused.tif")
    assert result.outputs["USED_METHOD"] in ("untrained", "glp-hs", "loc", "map", "average"), "the guard may choose"
    assert isinstance(result.outputs["GUARD_GAIN"], float)


def refused(qgis_process, out, algorithm, sentence, environment=None, **parameters):
    """Exit code 1, one sentence, and nothing left behind."""
    parameters = {"OUTPUT": out / "fused.tif", **parameters}
    result = qgis_process(algorithm, environment, check=False, **parameters)
    assert result.code == 1
    assert sentence in result.error, result.error
    assert "Traceback" not in result.error and "fault of its own" not in result.error
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"METHOD": "gsa2"}, "METHOD cannot be gsa2; did you mean gsa?"),
        ({"PSF_FWHM": -1}, "PSF_FWHM must be a number from 0.1 to 10, not -1."),
        ({"SENSOR": "Landsat8"}, "did you mean Landsat-8"),
        ({"EXTENT": "500100,500100,5599600,5599600 [EPSG:32632]"}, "EXTENT"),
        ({"EXTENT": "100,200,100,200 [EPSG:32632]"}, "EXTENT"),
        ({"MASK": "/does/not/exist.tif"}, "MASK: '/does/not/exist.tif' does not exist"),
        ({"OUTPUT": "/does/not/exist/fused.tif"}, "does not exist"),
        ({"OUTPUT": "/proc/fused.tif"}, "choose another folder"),
        ({"REPORT": "/does/not/exist/report.html"}, "does not exist"),
        ({"OPTIONS": "nonsense"}, "NAME=VALUE"),
    ],
)
def test_bad_parameters(qgis_process, pair, out, parameters, sentence):
    _, hsi, msi = pair
    refused(qgis_process, out, CLASSICAL, sentence, **{"HSI": hsi, "MSI": msi, **parameters})


def test_bad_pairs(qgis_process, pair, out, tmp_path):
    truth, hsi, msi = pair
    coarse, fine = read(hsi), read(msi)
    cases = {
        "overlap": (hsi, write(tmp_path / "far.tif", fine, 5, origin=(900000, 5600000))),
        "do not overlap": (hsi, write(tmp_path / "crs.tif", fine, 5, epsg=32633)),
        "swapped": (msi, write(tmp_path / "swapped.tif", coarse, 20)),
        "not larger than": (
            write(tmp_path / "finer.tif", truth, 5),
            write(tmp_path / "thin.tif", fine[:, ::RATIO, ::RATIO], 20),
        ),
        "nodata": (write(tmp_path / "empty.tif", np.full_like(coarse, -1), 20, nodata=-1), msi),
        "band": (write(tmp_path / "one.tif", coarse[:1], 20), msi),
        "cannot be read by GDAL": (hsi, Path(__file__)),
    }
    for sentence, (a, b) in cases.items():
        refused(qgis_process, out, CLASSICAL, sentence, HSI=a, MSI=b)


@pytest.mark.slow
def test_bad_models(qgis_process, pair, untrained, out, tmp_path):
    _, hsi, msi = pair
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(untrained.read_bytes()[:2000])
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes((2).to_bytes(8, "little") + b"{}")
    common = {"HSI": hsi, "MSI": msi}
    refused(qgis_process, out, FUSE, "nonesuch", MODEL="nonesuch", **common)
    refused(qgis_process, out, FUSE, "no such file", MODEL_FILE=tmp_path / "missing.safetensors", **common)
    refused(qgis_process, out, FUSE, "damaged", MODEL_FILE=damaged, **common)
    refused(qgis_process, out, FUSE, "no HSFusion model card", MODEL_FILE=foreign, **common)
    refused(qgis_process, out, FUSE, "hsfusion:fuseclassical", NO_BACKEND, MODEL_FILE=untrained, **common)
    without_torch = {"HSFUSION_PYTHON": "/usr/bin/python3"}
    refused(qgis_process, out, FUSE, "torch", without_torch, MODEL_FILE=untrained, **common)


def children(pid):
    """Processes whose parent is `pid` (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except (OSError, IndexError):
            continue
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
def test_cancel_during_a_tile(qgis_process, pair, untrained, out):
    """SIGINT while the backend samples: < 2 s, exit code 1, no file, no process left over."""
    _, hsi, msi = pair
    process = qgis_process.start(
        FUSE, HSI=hsi, MSI=msi, MODEL_FILE=untrained, GUARD="false", STEPS=1000, SAMPLES=48, OUTPUT=out / "fused.tif"
    )
    try:
        deadline = time.monotonic() + 120
        while not list(out.iterdir()) and time.monotonic() < deadline:  # the hidden folder of the unfinished output
            time.sleep(0.05)
        time.sleep(1.5)
        backend = children(process.pid)
        assert backend and process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        stdout, stderr = process.communicate(timeout=60)
        seconds = time.monotonic() - began
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 1, stdout + stderr
    assert "cancelled" in stdout + stderr
    assert seconds < 2
    assert list(out.iterdir()) == []
    deadline = time.monotonic() + 5
    while any(map(alive, backend)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, backend))
