"""The whole of a training run in small: scripts/train.py makes a model file that the backend loads, with a card that
says all it must.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hsfusion.models.runners.subspace import SubspaceRunner, build_network
from hsfusion.models.runners.weights import load_state, read_card, save_model
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.methods.subspace import ClosedForms, denoised
from hsfusion.models.training.subspace.card import make_card
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.trials import (
    Case,
    Fitted,
    Scene,
    error_quantile,
    means,
    scores,
    simulate,
    validate,
)

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {
    "name": "tiny",
    "scenes": ["one"],
    "held_out": ["two"],
    "components": 3,
    "width": 8,
    "depth": 1,
    "patch": 16,
    "batch": 4,
    "steps": 6,
    "warmup": 2,
    "draws_per_chunk": 2,
    "patches_per_draw": 2,
    "window": 2,
    "sensors": {"ratios": [2], "msi_bands": [1, 3]},
}
KEYS = (
    "name", "architecture", "settings", "spectral_mode", "components", "ratios", "fwhm", "snr_db", "msi_bands", "objective", "schedule",  # noqa: E501
    "default_steps", "normalisation", "tile_invariant", "tile_multiple", "halo", "training", "scores", "licence", "code_version",  # noqa: E501
)  # fmt: skip


@pytest.fixture
def config_file(tmp_path) -> Path:
    """A configuration that trains for a blink."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(PLAIN), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path, make_scene) -> Path:
    """A folder of two scenes as GeoTIFFs."""
    rasterio = pytest.importorskip("rasterio")
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, name in enumerate(("one", "two")):
        cube = make_scene(8, 60, 56, seed=seed)
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", height=60, width=56, count=8, dtype="float32"
        ) as target:
            target.write(cube)
    return folder


def test_the_card_is_complete_and_loads(config_file, tmp_path):
    """Written, read without torch, and run: the runner needs nothing that is not in the card."""
    config = load_config(config_file)
    card = make_card(config, 6, 0.5, [{"step": 6, "scores": {"clean": {"network": (30.0, 2.0)}}}])
    assert set(KEYS) <= set(card) and all(card[key] is not None for key in KEYS)
    network = build_network(card["settings"])
    save_model(tmp_path / "tiny.safetensors", network.state_dict(), card)
    read = read_card(tmp_path / "tiny.safetensors")
    assert read["scores"] == {"clean": {"network": [30.0, 2.0]}}
    assert read["training"]["scenes"] == ["one"] and read["training"]["configuration"]["sensors"]["ratios"] == [2]
    runner = SubspaceRunner(read, load_state(tmp_path / "tiny.safetensors"))
    assert runner.components == 3 and runner.default_steps == 1


def score_of_average(scene: Scene, case: Case) -> tuple[float, float]:
    pair = simulate(scene, case)
    block = whole_block(pair.hsi, pair.msi)
    fitted = Fitted.to(block, pair.sampling, pair.wavelengths, components=3)
    z, model = denoised(fitted.seen.z, block.z_mask, fitted.scene.coefficients, block.place)
    forms = ClosedForms(fitted.seen.y, z, block.y_mask, block.z_mask, model, block.place)
    np.testing.assert_array_equal(forms.average, fitted.closed_forms(denoise=True).average)
    found = scores(pair.truth, fitted.expand(forms.average))
    return found["psnr"], found["sam"]


def test_held_out_scenes_are_scored_with_every_method(config_file, make_scene):
    """A network that says nothing scores as the closed forms' average of the filtered MSI."""
    torch.set_num_threads(1)
    config = load_config(config_file)
    card = make_card(config, 0, 0.0, [])
    runner = SubspaceRunner(card, build_network(card["settings"]).state_dict())
    scenes = {"two": Scene(make_scene(12, 96, 96, seed=3), np.linspace(420.0, 900.0, 12))}
    cases = (Case("35 dB", snr_db=35.0),)
    table = means(validate(scenes, runner, cases, components=3, consistency=False))["35 dB"]
    assert set(table) == {"interpolation", "glp-hs", "loc", "map", "average", "network"}
    assert table["network"] == pytest.approx(score_of_average(scenes["two"], cases[0]), rel=1e-3)
    assert table["interpolation"][0] + 6.0 < table["glp-hs"][0]
    assert error_quantile(scenes, runner, cases=cases, components=3) > 0


def train(*arguments) -> subprocess.CompletedProcess:
    """scripts/train.py in its own process."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_run_makes_a_model_and_a_dry_run_says_what_it_would_take(config_file, data, tmp_path):
    pytest.importorskip("tensorboard")
    common = (config_file, "--data", data, "--out", tmp_path / "out", "--workers", 0, "--device", "cpu")
    dry = train(*common, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert all(word in dry.stdout for word in ("parameters", "memory", "samples/second", "expected duration"))
    assert not (tmp_path / "out").exists()

    run = train(*common)
    assert run.returncode == 0, run.stderr
    card = read_card(tmp_path / "out" / "tiny.safetensors")
    assert card["training"]["steps"] == 6 and "network" in card["scores"]["clean"] and card["error_scale"] > 0
    assert SubspaceRunner(card, load_state(tmp_path / "out" / "tiny.safetensors")).error_scale == card["error_scale"]

    model = tmp_path / "out" / "tiny.safetensors"
    save_model(model, load_state(model), {**card, "error_scale": 9.0})
    calibrated = train(config_file, "--data", data, "--calibrate", model)
    assert calibrated.returncode == 0, calibrated.stderr
    again, before = read_card(model), dict(card)
    assert again.pop("error_scale") == pytest.approx(before.pop("error_scale"), rel=0.01) and again == before
    save_model(model, load_state(model), {**card, "training": {**card["training"], "scenes": ["two"]}})
    known = train(config_file, "--data", data, "--calibrate", model)
    assert known.returncode == 1 and "not trained on" in known.stderr and "Traceback" not in known.stderr
    save_model(model, load_state(model), card)

    again = train(*common, "--resume")
    assert again.returncode == 0, again.stderr
    assert read_card(tmp_path / "out" / "tiny.safetensors")["scores"] == card["scores"]

    first = tmp_path / "first.safetensors"
    (tmp_path / "out" / "tiny.safetensors").rename(first)
    stranger = train(*common, "--resume", "--average", first)
    assert stranger.returncode == 1 and "nor the model of --start" in stranger.stderr
    assert "Traceback" not in stranger.stderr
    averaged = train(*common, "--start", first, "--resume", "--average", first)
    assert averaged.returncode == 0, averaged.stderr
    assert read_card(tmp_path / "out" / "tiny.safetensors")["training"]["averaged_with_steps"] == [0]


@pytest.mark.slow
def test_what_is_wrong_is_one_sentence(config_file, data, tmp_path):
    missing = train(config_file.with_name("none.yaml"), "--data", data)
    assert missing.returncode == 1 and "cannot be read" in missing.stderr and "Traceback" not in missing.stderr
    config_file.write_text(yaml.safe_dump({**PLAIN, "scenes": ["three"]}), encoding="utf-8")
    absent = train(config_file, "--data", data)
    assert absent.returncode == 1 and "no scene three" in absent.stderr and "Traceback" not in absent.stderr
