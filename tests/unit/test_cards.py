"""Model files and lists of models as strangers make them: each fault is that file's own, and nothing is waited for or
grows without a bound.
"""

from __future__ import annotations

import json
import os
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.hsfusion_plugin.backend.models_store.manifest import read_manifest
from hsfusion.models import plain_yaml
from hsfusion.models.card_schema import problem
from hsfusion.models.cards import ModelError, beats_closed_forms, find_models, model_info, read_card
from hsfusion.models.errors import HSFusionError

GOOD = """name: good
architecture: none
spectral_mode: fake
ratios: [2, 8]
made: 2023-13-45
"""
FULL = {
    "name": "full",
    "architecture": "net",
    "spectral_mode": "subspace",
    "components": 4,
    "settings": {"components": 4, "width": 8, "depth": 1},
    "schedule": {"kind": "linear", "steps": 10},
    "default_steps": 1,
}


def model_file(path, card, metadata=None):
    header = json.dumps({"__metadata__": {"card": card} if metadata is None else metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)
HOSTILE = {
    "self": "name: &x {name: *x}\n",
    "laughs": GOOD + LAUGHS,
    "digits": GOOD + "halo: " + "9" * 5000,
    "deep flow": GOOD + "training: " + "[" * 20_000,
    "deep block": "".join(" " * n + "a:\n" for n in range(400)),
    "python": GOOD + "x: !!python/object/apply:os.system [touch /tmp/harm]",
    "binary": GOOD + "x: !!binary aGVsbG8=",
    "nan": GOOD + "loss: .nan",
    "keys": GOOD + "[1, 2]: 3",
    "surrogate": GOOD + 'note: "\\ud800"',
    "tabs": "\tname:\t- x",
    "halo": GOOD + "halo: -5",
    "ratios": GOOD.replace("[2, 8]", "[8, 2]"),
    "ratio text": GOOD.replace("[2, 8]", "many"),
    "mode": GOOD.replace("fake", "[1]"),
}


def test_each_hostile_file_is_left_out_and_the_others_stay(tmp_path):
    model_file(tmp_path / "good.safetensors", GOOD)
    for name, card in HOSTILE.items():
        model_file(tmp_path / f"{name}.safetensors", card)
    model_file(tmp_path / "text.safetensors", "", metadata="a text")
    model_file(tmp_path / "number.safetensors", "", metadata={"card": 5})
    (tmp_path / "deep.safetensors").write_bytes(struct.pack("<Q", 90_000) + b"[" * 90_000)
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    began = time.monotonic()
    models, broken = find_models([tmp_path])
    assert time.monotonic() - began < 20
    assert [model.name for model in models] == ["good"]
    assert len(broken) == len(HOSTILE) + 6
    for error in broken:
        assert isinstance(error, ModelError) and str(error).endswith(".") and len(str(error)) < 600
        assert "\n" not in str(error)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.mkfifo(tmp_path / "list.yaml")
    with pytest.raises(ModelError, match="no regular file"):
        model_info(tmp_path / "pipe.safetensors")
    with pytest.raises(HSFusionError, match="no regular file"):
        read_manifest(tmp_path / "list.yaml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"components": 10**9}, "components"),
        ({"components": 5}, "components that are not those"),
        ({"components": True}, "components"),
        ({"settings": {"components": 4, "width": 10**7}}, "settings"),
        ({"settings": {"components": 4, "depth": 400}}, "settings"),
        ({"settings": {"components": 4, "width": -1}}, "settings"),
        ({"schedule": {"kind": "linear", "steps": 10**9}}, "schedule"),
        ({"schedule": "linear"}, "schedule"),
        ({"default_steps": 0}, "default_steps"),
        ({"halo": -5}, "halo"),
        ({"halo": 1e9}, "halo"),
        ({"tile_multiple": 0}, "tile_multiple"),
        ({"fwhm": [1]}, "fwhm"),
        ({"msi_bands": "4"}, "msi_bands"),
        ({"spectral_mode": "full-band"}, "lacks bands"),
    ],
)
def test_a_card_is_validated_whole(change, words):
    assert words in problem({**FULL, **change}) and bool(words) == bool(problem({**FULL, **change}))


def test_the_shipped_cards_are_good():
    from pathlib import Path

    files = sorted((Path(__file__).resolve().parents[2] / "resources" / "models").glob("*.safetensors"))
    assert files
    for file in files:
        assert problem(read_card(file)) == ""


@pytest.mark.parametrize(
    "text", [LAUGHS, "models: " + "[" * 9000, "models: 2023-13-45", "models:\n- name: " + "9" * 5000, "\ufffe"]
)
def test_hostile_lists_of_models(tmp_path, text):
    (tmp_path / "models.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(HSFusionError, match="MANIFEST"):
        read_manifest(tmp_path / "models.yaml")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_value_or_a_value_error(text):
    try:
        value = plain_yaml.loaded(text)
    except ValueError:
        return
    json.dumps(value, allow_nan=False).encode("utf-8")
    problem(value)


def test_a_cards_record_against_the_closed_forms():
    good, bad = {"network": [41.0, 1.0], "map": [40.5, 1.1]}, {"network": [35.0, 1.0], "glp-hs": [40.0, 1.1]}
    assert beats_closed_forms({"scores": {"clean": good, "25 dB": good}})
    assert not beats_closed_forms({"scores": {"clean": {"a": good, "mean": bad}}})
    assert not beats_closed_forms({"scores": {"clean": good, "25 dB": bad}})
    assert not beats_closed_forms({"scores": {"clean": {"network": [41.0, 1.0]}}}) and not beats_closed_forms({})
