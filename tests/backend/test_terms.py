"""Cards list the terms of their scenes, and bundled weights use only scenes whose terms let them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hsfusion.models.cards import model_info
from hsfusion.models.training.terms import NOT_TOLD, TABLE, not_to_be_bundled, scenes_of, terms_of, with_terms

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = sorted((ROOT / "resources" / "models").glob("*.safetensors"))
FORBIDDEN = ("nonprofit", "challenge", "not told", "no licence told", "education and research only", "planet labs")


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_weights_use_only_scenes_that_may_be_used(path):
    card = model_info(path).card
    assert scenes_of(card) and not not_to_be_bundled(card)
    if path.stem == "hsfusion-base" or "terms" in card:
        assert card["terms"] == with_terms(card)["terms"]


@pytest.mark.parametrize("path", sorted((ROOT / "resources" / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_of_bundled_weights_name_no_other_scenes(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem in {model.stem for model in BUNDLED}:
        named = [*config.get("scenes", ()), *config.get("held_out", ())]
        assert not not_to_be_bundled({"training": {"scenes": named}})


def test_terms_that_forbid_it_are_not_bundled():
    for entry in yaml.safe_load(TABLE.read_text(encoding="utf-8")):
        assert entry["bundled"] is not any(word in entry["terms"].lower() for word in FORBIDDEN), entry["terms"]


def test_a_scene_is_found_by_name_part_or_pattern_and_an_unknown_one_may_not_be_bundled():
    assert terms_of("abu_urban_4").text.startswith("ABU data set") and terms_of("abu_urban_4").bundled
    assert terms_of("samson.tif, rows 0-40") == terms_of("samson")
    assert not terms_of("hyperview_0").bundled and not terms_of("cuprite_spectir").bundled
    assert terms_of("somebody's").text == NOT_TOLD and not terms_of("somebody's").bundled


def test_the_scenes_of_earlier_stages_count():
    card = {"training": {"scenes": ["samson"], "started_from": {"training": {"scenes": ["wv2_ms"], "held_out": ["x"]}}}}
    assert scenes_of(card) == ["samson", "wv2_ms", "x"] and not_to_be_bundled(card) == ["wv2_ms", "x"]
    assert with_terms(card)["terms"]["wv2_ms"].startswith("DigitalGlobe/Maxar")
