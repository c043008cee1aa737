"""Configurations of full-band models: every bundled one builds its network, every wrong key is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from hsfusion.models.diffusion.schedules import from_card
from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.full_band.card import make_full_band_card
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.data import response_of
from hsfusion.models.training.full_band.loop import build_full_band
from hsfusion.models.training.subspace.config import load_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "resources" / "configs").glob("*.yaml"))
PLAIN = {
    "name": "tiny",
    "architecture": "ddpm-fus",
    "train": ["one"],
    "bands": {"count": 31, "first": 400, "last": 700},
    "msi": {"sensor": "Nikon-D700"},
    "stages": [{"size": 32, "batch": 4, "steps": 10}],
}


@pytest.fixture
def load(tmp_path):
    """A configuration from keys that are added to PLAIN; None takes a key out."""

    def load(**keys) -> FullBandConfig:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in {**PLAIN, **keys}.items() if v is not None}), encoding="utf-8")
        return load_config(path)

    return load


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_bundled_configuration_builds_its_network(path):
    config = load_config(path)
    assert config.name == path.stem
    if not isinstance(config, FullBandConfig):
        return
    with torch.device("meta"):  # shapes without memory: the papers' sizes too
        network = build_full_band(config)
    parameters = sum(p.numel() for p in network.parameters())
    assert 50_000 < parameters < 40_000_000
    card = make_full_band_card(config, config.steps, 0.0, {})
    assert yaml.safe_load(yaml.safe_dump(card)) == card
    assert card["bands"] == len(card["wavelengths"]) and card["msi_bands"] == len(card["msi_centres"])
    assert len(from_card(card["schedule"])) > card["default_steps"]
    if not any(source.msi for source in config.train):
        assert response_of(config).shape == (card["msi_bands"], card["bands"])
    assert config.obtain or path.stem in ("ddpm-fus", "hsr-diff", "ddrf"), "where to get the data"


def test_what_is_not_given_has_a_default(load):
    config = load()
    assert config.train[0].file == "one" and config.window_size == 32 and config.steps == 10
    assert [round(float(c)) for c in config.msi.nanometres("msi")[0]] == [599, 533, 466]


def test_stages_follow_each_other(load):
    config = load(stages=[{"size": 16, "batch": 4, "steps": 3}, {"size": 32, "batch": 1, "steps": 2}], overlap=4)
    assert [config.stage(step).size for step in range(6)] == [16, 16, 16, 32, 32, 32]
    assert config.steps == 5 and config.window_size == 32 and load(stages=PLAIN["stages"], window=16).window_size == 16


def test_a_regression_knows_one_level(load):
    card = make_full_band_card(load(regression=True, default_steps=25), 10, 1.0, {})
    assert from_card(card["schedule"]).tolist() == [1.0, 0.0] and card["default_steps"] == 1 and card["scale_input"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"architecture": "unet"}, "key architecture must be one of ddpm-fus"),
        ({"train": None}, "key train is missing"),
        ({"train": []}, "key train must name"),
        ({"train": [{"fiel": "one"}]}, r"key train\[0\].fiel is unknown"),
        ({"train": [{"file": "one", "cols": [9, 3]}]}, r"key train\[0\].cols must be a range"),
        ({"train": [{"file": "one", "full_resolution": True}]}, "key train must have references"),
        ({"stages": []}, "key stages must hold"),
        ({"stages": [{"size": 32, "batch": 4}]}, r"key stages\[0\].steps is missing"),
        ({"stages": [{"size": 30, "batch": 4, "steps": 1}]}, r"stages\[0\].size must be a multiple of the ratio 4"),
        ({"stages": [{"size": 32, "batch": 0, "steps": 1}]}, r"stages\[0\].batch must be larger than 0"),
        ({"bands": {"count": 0}}, "key bands.count must be larger than 0"),
        ({"bands": {"count": 5, "first": 700, "last": 400}}, "key bands.last must be larger"),
        ({"msi": {"sensor": "Nikon"}}, "key msi.sensor must be a sensor"),
        ({"msi": {"sensor": "Nikon-D700", "names": ["X"]}}, r"key msi.names must be bands of Nikon-D700 \(R, G, B\)"),
        ({"bands": {"count": 3, "first": 400, "last": 700}}, "key msi must have fewer bands"),
        ({"observation": {"psf": "box"}}, "PSF 'box'"),
        ({"observation": {"psf": "block-mean", "fwhm": 2}}, "key observation.fwhm must be left out"),
        ({"objective": "noise"}, "key objective must be one of eps, x0, v"),
        ({"objective": "v", "regression": True}, "key objective must be x0"),
        ({"objective": "eps", "schedule": {"kind": "zero-terminal-cosine"}}, "key schedule must keep some signal"),
        ({"schedule": {"kind": "square"}}, "schedule's kind must be one of"),
        ({"schedule": "cosine"}, "key schedule must be a mapping"),
        ({"loss": "l3"}, "key loss must be one of l1"),
        ({"loss": "three-term", "train": [{"file": "one", "msi": "two"}]}, "key loss must be another one"),
        ({"optimizer": "sgd"}, "key optimizer must be adam or adamw"),
        ({"overlap": 20}, "key overlap must be at most half"),
        ({"default_steps": 2000}, "key default_steps must be at most 1000"),
        ({"terminal_share": 2}, "key terminal_share must be between 0 and 1"),
        ({"settings": 5}, "key settings must be a mapping"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_key_is_named(load, keys, message):
    with pytest.raises(HSFusionError, match=message):
        load(**keys)
