"""hsfusion:fuse with a published system in its full-band form, through `qgis_process`; the weights are untrained and
small.
"""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
from hsfusion.hsfusion_plugin.backend.settings import PLUGIN_FOLDER, Settings
from hsfusion.models.cards import model_info
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read

pytestmark = pytest.mark.backend
MAKE_MODELS = """
import json, sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
import torch
from hsfusion.models.runners.full_band import NETWORKS
from hsfusion.models.runners.weights import save_model
folder, common = sys.argv[2], json.loads(sys.argv[3])
settings = {"ddpm-fus": {"width": 8, "groups": 4}, "hsr-diff": {"width": 8, "layers": 1, "heads": 2}, "ddrf": {"width": 8, "multipliers": [1, 2], "blocks": 1}}
for name, kwargs in settings.items():
    torch.manual_seed(0)
    network = NETWORKS[name](hsi_bands=common["bands"], msi_bands=common["msi_bands"], **kwargs)
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    save_model(f"{folder}/my-{name}.safetensors", network.state_dict(), {"name": name, "architecture": name, "settings": kwargs, **common})
"""  # noqa: E501
CARD = {
    "spectral_mode": "full-band",
    "bands": pairs.BANDS,
    "msi_bands": len(pairs.MSI_WAVELENGTHS),
    "wavelengths": pairs.WAVELENGTHS.tolist(),
    "msi_centres": pairs.MSI_WAVELENGTHS.tolist(),
    "ratios": [pairs.RATIO, pairs.RATIO],
    "window": 32,
    "overlap": 8,
    "objective": "x0",
    "residual": True,
    "residual_scale": 0.05,
    "schedule": {"kind": "cosine", "steps": 100},
    "default_steps": 2,
    "normalisation": {"kind": "joint", "quantile": 0.999},
    "tile_invariant": False,
    "training": {"scenes": ["one", "two"], "seconds": 5400},
    "scores": {
        "clean": {"mean": {"interpolation": [27.0, 2.0], "glp-hs": [47.0, 1.0], "network": [45.0, 1.0]}, "three": {}},
        "35 dB": {"mean": {"interpolation": [26.0, 2.0], "glp-hs": [40.0, 1.5], "network": [39.5, 1.0]}, "three": {}},
    },
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def fuse(qgis_process, tmp_path_factory):
    """Run hsfusion:fuse where three untrained systems are installed."""
    folder = tmp_path_factory.mktemp("models")
    command = [str(find_python(Settings())), "-I", "-c", MAKE_MODELS, str(PLUGIN_FOLDER), str(folder), json.dumps(CARD)]
    subprocess.run(command, check=True)
    environment = {"HSFUSION_MODELS": str(folder), "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}

    def run(model, check=True, **parameters):
        return qgis_process(
            "hsfusion:fuse", env=environment, check=check, timeout=200, MODEL=f"my-{model}", **parameters
        )

    return run


def nearest(pair) -> np.ndarray:
    return np.repeat(np.repeat(read(pair.hsi), pairs.RATIO, axis=1), pairs.RATIO, axis=2)


def test_samples_their_spread_and_tiles(fuse, pair, tmp_path):
    """Two samples over the whole scene and over other tiles: the same; UNCERTAINTY is their spread; provenance says
    what was used.
    """
    given = {"HSI": pair.hsi, "MSI": pair.msi, "GUARD": "false", "SAMPLES": 2, "SEED": 3, "SAMPLER": "ancestral"}
    for name, size in (("whole", 0), ("tiled", 48)):
        result = fuse(
            "ddpm-fus", OUTPUT=tmp_path / f"{name}.tif", UNCERTAINTY=tmp_path / f"{name}-std.tif", TILE_SIZE=size,
            REPORT=tmp_path / f"{name}.html", **given,
        )  # fmt: skip
    whole, tiled, std = (read(tmp_path / f"{name}.tif") for name in ("whole", "tiled", "whole-std"))
    assert np.abs(whole - tiled).max() < 1e-4 * np.ptp(whole)
    assert whole.shape == std.shape == pair.truth.shape and (std > 0).all()
    assert result.outputs["USED_METHOD"] == "my-ddpm-fus" and result.outputs["GUARD_GAIN"] is None
    away = np.sqrt(np.mean((whole - nearest(pair)) ** 2))
    assert away < 3 * np.sqrt(np.mean((pair.truth - nearest(pair)) ** 2)), "untrained, it stays near its base"
    record = json.loads((tmp_path / "whole.json").read_text(encoding="utf-8"))
    assert record["method"] == "my-ddpm-fus" and len(record["model"]["sha256"]) == 64
    assert record["bands_interpolated"] is False
    about = "ddpm-fus: weights trained for 1.5 h on 2 scenes; on 1 scenes left out (35 dB) it has 39.5 dB, interpolation 26.0 dB, GLP-HS 40.0 dB."  # noqa: E501
    assert record["model"]["about"] == about and about in (tmp_path / "whole.html").read_text(encoding="utf-8")
    assert record["parameters"]["SAMPLER"] == "ancestral"


def test_a_sampler_of_another_model_is_refused(fuse, pair, tmp_path):
    result = fuse("ddrf", check=False, HSI=pair.hsi, MSI=pair.msi, SAMPLER="gaussian", OUTPUT=tmp_path / "x.tif")
    assert result.code == 1 and "set SAMPLER to auto, or to one of ddim, ancestral, dpm-solver" in result.error
    assert not (tmp_path / "x.tif").exists()


@pytest.mark.parametrize("model", ["hsr-diff", "ddrf"])
def test_the_guard_keeps_an_untrained_system_from_the_user(fuse, pair, tmp_path, model):
    result = fuse(model, HSI=pair.hsi, MSI=pair.msi, STEPS=1, OUTPUT=tmp_path / "fused.tif")
    assert result.outputs["USED_METHOD"] in ("glp-hs", "loc", "map", "average")
    assert result.outputs["GUARD_GAIN"] < -0.1
    assert f"my-{model}" in json.loads((tmp_path / "fused.json").read_text())["guard"]["rmse"]


def test_another_sensors_bands_are_refused_or_interpolated(fuse, pair, tmp_path):
    """17 bands, at other wavelengths and out of order: refused with what the model wants; interpolated where the user
    says so.
    """
    keep = np.random.default_rng(0).permutation(pairs.BANDS)[:17]
    hsi = pairs.write(
        tmp_path / "other.tif", read(pair.hsi)[keep], pairs.RATIO * pairs.PIXEL, wavelengths=pairs.WAVELENGTHS[keep]
    )
    given = {"HSI": hsi, "MSI": pair.msi, "GUARD": "false", "OUTPUT": tmp_path / "out" / "fused.tif"}
    (tmp_path / "out").mkdir()
    result = fuse("ddrf", check=False, **given)
    assert result.code == 1 and "Traceback" not in result.error
    wanted = (
        f"wants 20 HSI bands from {pairs.WAVELENGTHS.min():.0f} to {pairs.WAVELENGTHS.max():.0f} nm, 4 MSI bands at "
    )
    assert wanted in result.error and "but this pair has 17 HSI bands" in result.error
    assert "set INTERPOLATE_BANDS to true" in result.error
    assert list((tmp_path / "out").iterdir()) == []
    fuse("ddrf", INTERPOLATE_BANDS="true", REPORT=tmp_path / "out" / "report.html", **given)
    record = json.loads((tmp_path / "out" / "fused.json").read_text(encoding="utf-8"))
    assert record["bands_interpolated"] and any(
        "The model was not made for this sensor" in w for w in record["warnings"]
    )
    assert "The model was not made for this sensor" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    fused, truth = read(tmp_path / "out" / "fused.tif"), pair.truth[keep]
    before = nearest(pair)[keep]
    assert np.sqrt(np.mean((fused - before) ** 2)) < 2 * np.sqrt(np.mean((truth - before) ** 2))


def test_another_msi_and_another_ratio_are_interpolated(fuse, pair, tmp_path):
    """Three MSI bands of twice the pixel size, as HSR-Diff's network of Pavia runs on HypSen: a warning, and a result
    near the interpolated HSI.
    """
    fine = read(pair.msi)[:3]
    half = fine.reshape(3, fine.shape[1] // 2, 2, fine.shape[2] // 2, 2).mean(axis=(2, 4))
    msi = pairs.write(tmp_path / "half.tif", half, 2 * pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS[:3])
    fuse("hsr-diff", HSI=pair.hsi, MSI=msi, GUARD="false", INTERPOLATE_BANDS="true", OUTPUT=tmp_path / "fused.tif")
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    wanted = "was trained with 4 MSI bands and a ratio of 4; this pair has 3 MSI bands"
    assert any(wanted in warning for warning in record["warnings"])
    fused, before = read(tmp_path / "fused.tif"), nearest(pair)[:, ::2, ::2]
    assert fused.shape == before.shape and np.isfinite(fused).all()
    assert np.sqrt(np.mean((fused - before) ** 2)) < np.std(before)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"UNCERTAINTY": "std.tif"}, "set SAMPLES to 2 or more"),
        (
            {"MSI": "three.tif"},
            "4 MSI bands at 490, 560, 665, 842 nm and a ratio of 4, but this pair has 20 HSI bands",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(fuse, pair, tmp_path, parameters, words):
    three = read(pair.msi)[:3]
    pairs.write(tmp_path / "three.tif", three, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS[:3])
    given = {name: tmp_path / value for name, value in parameters.items()}
    result = fuse(
        "ddpm-fus", check=False, **{"HSI": pair.hsi, "MSI": pair.msi, "OUTPUT": tmp_path / "fused.tif", **given}
    )
    assert result.code == 1 and words in result.error, result.error
    assert not (tmp_path / "fused.tif").exists()


@pytest.mark.parametrize("name", ["ddpm-fus", "hsr-diff", "ddrf"])
def test_the_systems_that_come_along_run_by_name(qgis_process, tmp_path, name):
    """On a pair with the bands that their cards name; what they are worth is for the benchmark to say."""
    card = model_info(PLUGIN_FOLDER / "resources" / "models" / f"{name}.safetensors").card
    nm, centres = np.array(card["wavelengths"]), np.array(card["msi_centres"])
    truth = np.stack(
        [np.interp(nm, pairs.WAVELENGTHS, pixel) for pixel in pairs.scene()[:, :64, :64].reshape(20, -1).T], 1
    )
    truth = truth.reshape(len(nm), 64, 64).astype(np.float32)
    coarse = Degradation.whole(Sampling(4.0), (64, 64))(truth)
    hsi = pairs.write(tmp_path / "hsi.tif", coarse, 40.0, wavelengths=nm)
    nearest_bands = [int(np.abs(nm - centre).argmin()) for centre in centres]
    msi = pairs.write(tmp_path / "msi.tif", truth[nearest_bands], 10.0, wavelengths=centres)
    result = qgis_process("hsfusion:fuse", HSI=hsi, MSI=msi, MODEL=name, GUARD="false", OUTPUT=tmp_path / "fused.tif")
    assert result.outputs["USED_METHOD"] == name and np.isfinite(read(tmp_path / "fused.tif")).all()
