"""The training configuration: every wrong key is named before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.subspace.config import TrainingConfig, load_config

CONFIGS = Path(__file__).resolve().parents[2] / "resources" / "configs"
PLAIN = {"name": "tiny", "scenes": ["a", "b"]}


@pytest.fixture
def load(tmp_path):
    """A configuration from keys that are added to PLAIN; None takes a key out."""

    def load(**keys) -> TrainingConfig:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in {**PLAIN, **keys}.items() if v is not None}), encoding="utf-8")
        return load_config(path)

    return load


def test_what_is_not_given_has_a_default(load):
    config = load(sensors={"ratios": [2, 4], "clean_share": 1})
    assert config.scenes == ("a", "b") and config.sensors.ratios == (2, 4) and config.sensors.clean_share == 1
    assert (
        config.components == TrainingConfig("", ()).components
        and config.sensors.msi_bands == TrainingConfig("", ()).sensors.msi_bands
    )


def test_the_bundled_configuration_of_the_model_loads():
    config = load_config(CONFIGS / "hsfusion-base.yaml")
    assert config.name == "hsfusion-base" and not set(config.scenes) & set(config.held_out)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"learnig_rate": 1e-3}, "key learnig_rate is unknown"),
        ({"sensors": {"ratio": [2]}}, "key sensors.ratio is unknown"),
        ({"name": None}, "key name is missing"),
        ({"scenes": None}, "key scenes is missing"),
        ({"scenes": []}, "key scenes must name"),
        ({"scenes": "a"}, "key scenes must be a list"),
        ({"scenes": ["a", 7]}, r"key scenes\[1\] must be of type str"),
        ({"held_out": ["b"]}, "held_out names b"),
        ({"steps": "many"}, "key steps must be of type int"),
        ({"steps": 0}, "key steps must be larger than 0"),
        ({"steps": 10.5}, "key steps must be of type int"),
        ({"batch": True}, "key batch must be of type int"),
        ({"bf16": 1}, "key bf16 must be of type bool"),
        ({"learning_rate": -1.0}, "key learning_rate must be larger than 0"),
        ({"reuse": 0}, "key reuse must be larger than 0"),
        ({"patch": 44}, "key patch must be a multiple of 8"),
        ({"terminal_share": 1.5}, "key terminal_share must be between 0 and 1"),
        ({"sensors": {"clean_share": -0.1}}, "key clean_share must be between 0 and 1"),
        ({"sensors": [2, 4]}, "key sensors must be a mapping"),
        ({"sensors": {"ratios": 4}}, "key sensors.ratios must be a list"),
        ({"sensors": {"ratios": ["four"]}}, r"key sensors.ratios\[0\] must be of type float"),
        ({"sensors": {"fwhm": [2.0, 0.8]}}, r"key sensors.fwhm must be a range"),
        ({"sensors": {"snr_db": [20.0]}}, r"key sensors.snr_db must be a range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_key_is_named(load, keys, message):
    with pytest.raises(HSFusionError, match=message):
        load(**keys)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    for text, message in (("- a\n- b\n", "must be a YAML mapping"), ("name: [", "cannot be read")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(HSFusionError, match=message):
            load_config(path)
    with pytest.raises(HSFusionError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")
