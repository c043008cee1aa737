"""From a full-band training run to a model file: scored beside the closed forms, with a card that the backend runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.training.distributed import World
from hsfusion.models.training.full_band.card import describe, make_full_band_card
from hsfusion.models.training.full_band.config import Source
from hsfusion.models.training.full_band.data import Reference, observe, response_of
from hsfusion.models.training.full_band.loop import build_full_band
from hsfusion.models.training.full_band.validation import Trial, validate_full_band
from hsfusion.tests.backend.full_band_tiny import tiny

torch.set_num_threads(1)
KEYS = (
    "name", "architecture", "spectral_mode", "settings", "bands", "msi_bands", "wavelengths", "msi_centres", "ratios", "window", "overlap",  # noqa: E501
    "objective", "residual", "residual_scale", "schedule", "default_steps", "normalisation", "tile_invariant", "training", "scores", "licence",  # noqa: E501
    "code_version",
)  # fmt: skip


@pytest.fixture
def pair(make_scene):
    """An observed scene."""
    config = tiny()
    return observe(Reference("one", make_scene(6, 48, 40, seed=4)), config, response_of(config))


def silent(config):
    """A runner whose network says nothing: with the residual on, its image is the interpolated HSI."""
    network = build_full_band(config)
    for weight in (network.tail[-1].weight, network.tail[-1].bias):
        weight.data.zero_()
    return FullBandRunner(make_full_band_card(config, 0, 0.0, {}), network.state_dict())


def test_a_network_that_says_nothing_scores_as_interpolation(pair):
    config = tiny(residual=True, regression=True)
    trial = Trial.of(pair, config.observation.sampling())
    table = validate_full_band([trial], silent(config))
    assert set(table) == {"one", "mean"} and set(table["mean"]) == {"interpolation", "glp-hs", "network"}
    assert table["mean"]["network"] == pytest.approx(table["mean"]["interpolation"], rel=1e-4)
    assert table["mean"]["glp-hs"][0] > table["mean"]["interpolation"][0] + 3


def test_without_a_truth_consistency_is_scored(make_scene):
    config = tiny(residual=True, regression=True)
    reference = Reference("pair", make_scene(6, 24, 20), make_scene(2, 96, 80), full_resolution=True)
    trial = Trial.of(observe(reference, config, None), config.observation.sampling())
    table = validate_full_band([trial], silent(config))
    decibels, distortion = table["full resolution"]["network"]
    assert set(table) == {"pair", "full resolution"} and decibels > 20 and 0 <= distortion < 0.5


@pytest.mark.parametrize("architecture", ["ddpm-fus", "hsr-diff", "ddrf"])
def test_a_run_writes_a_model_that_the_backend_loads(pair, tmp_path, architecture):
    pytest.importorskip("tensorboard")
    from hsfusion.scripts.training.run import FullBandRun, train

    config = replace(tiny(architecture), name="small", test=(Source("one", cols=(0, 8)),))
    run = FullBandRun(config, [pair], [Trial.of(pair, config.observation.sampling())], "cpu", World())
    train(run, tmp_path, resume=False)
    card = read_card(tmp_path / "small.safetensors")
    assert set(KEYS) <= set(card) and all(card[key] is not None for key in KEYS)
    assert card["training"]["steps"] == 6 and card["training"]["split"] == {"test": ["one, cols 0-8"]}
    assert set(card["scores"]["mean"]) == {"interpolation", "glp-hs", "network"}
    state = load_state(tmp_path / "small.safetensors")
    assert {v.dtype for v in state.values()} == {torch.float16}
    fused = run.trials[0].fuse(FullBandRunner(card, state))
    assert fused.shape == pair.truth.shape and np.isfinite(fused).all()
    assert run.trials[0].score(fused) == pytest.approx(card["scores"]["mean"]["network"], abs=0.2)
    assert list((tmp_path / "tensorboard" / "small").glob("events*"))


def test_a_run_can_end_at_its_last_checkpoint(pair, tmp_path):
    """The model is the checkpoint's, and its card tells the steps that were done, not those that were planned."""
    pytest.importorskip("tensorboard")
    from hsfusion.scripts.training.run import FullBandRun, train

    config = replace(tiny(), name="small")
    trials = [Trial.of(pair, config.observation.sampling())]
    with pytest.raises(HSFusionError, match="no checkpoint to finish with"):
        train(FullBandRun(config, [pair], trials, "cpu", World()), tmp_path, resume=False, finish=True)
    half = FullBandRun(config, [pair], trials, "cpu", World()).trainer
    for _ in range(3):
        half.train_step()
    half.save(tmp_path / "small.checkpoint.safetensors")
    train(FullBandRun(config, [pair], trials, "cpu", World()), tmp_path, resume=False, finish=True)
    assert read_card(tmp_path / "small.safetensors")["training"]["steps"] == 3
    state = load_state(tmp_path / "small.safetensors")
    assert all(torch.equal(state[name], value.half()) for name, value in half.average.items())


def test_parts_of_scenes_are_described():
    assert describe(Source("a")) == "a" and describe(Source("a", rows=(0, 5), cols=(2, 4))) == "a, rows 0-5, cols 2-4"
