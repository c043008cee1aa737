"""Model files: written whole, read back, and each kind of wrong file told apart in one sentence."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from hsfusion.models.cards import ModelError, UnknownModel, find_model, find_models, read_card
from hsfusion.models.runners.weights import load_state, save_model, sha256

CARD = {"name": "m", "architecture": "none", "spectral_mode": "fake", "ratios": [2, 8], "training": {"scenes": ["ä"]}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.ones(2, dtype=torch.float16)}, CARD)
    return path


def test_round_trip(path, tmp_path):
    assert read_card(path) == CARD
    state = load_state(path)
    assert torch.equal(state["b"], torch.arange(6.0).reshape(2, 3).T) and state["a"].dtype == torch.float16
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def test_the_hash_follows_the_file(path):
    before = sha256(path)
    assert len(before) == 64 and sha256(path) == before
    save_model(path, {"a": torch.zeros(1)}, CARD)
    assert sha256(path) != before


def spoil(path, kind):
    blob = bytearray(path.read_bytes())
    if kind == "empty":
        blob = b""
    elif kind == "short":
        blob = blob[:-4]
    elif kind == "long":
        blob += b"\0"
    elif kind == "text":
        blob = b"This is not a model, it is a letter to the editor."
    elif kind == "flipped":
        blob[-1] ^= 64
    elif kind in ("foreign", "list", "incomplete", "no yaml"):
        text = {"list": "[1]", "incomplete": "name: m", "no yaml": "a: [", "foreign": None}[kind]
        header = json.dumps({"__metadata__": {"format": "pt"} if text is None else {"card": text}}).encode()
        blob = struct.pack("<Q", len(header)) + header
    path.write_bytes(blob)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "damaged"),
        ("short", "damaged"),
        ("long", "damaged"),
        ("text", "damaged"),
        ("flipped", "checksum"),
        ("foreign", "no HSFusion model card"),
        ("list", "card .* is no object"),
        ("no yaml", "card .* cannot be read"),
        ("incomplete", "lacks architecture, spectral_mode"),
    ],
)
def test_wrong_files(path, kind, words):
    spoil(path, kind)
    with pytest.raises(ModelError, match=words) as caught:
        load_state(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    with pytest.raises(ModelError, match="There is no model file"):
        read_card(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path)
    with pytest.raises(UnknownModel, match="installed: none"):
        find_model("m", [tmp_path, tmp_path / "no folder"])


def test_finding_models(path, tmp_path):
    other = tmp_path / "other"
    save_model(other / "m.safetensors", {"a": torch.zeros(1)}, CARD)
    (other / "bad.safetensors").write_bytes(b"")
    models, broken = find_models([tmp_path, other])
    assert [model.path for model in models] == [path]
    assert len(broken) == 1 and "bad.safetensors" in str(broken[0])
    assert find_model("m", [other / "m.safetensors", tmp_path]).path == other / "m.safetensors"
    assert find_model("m", [other, tmp_path]).sha256 == sha256(other / "m.safetensors")
