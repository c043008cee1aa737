"""The cards of the bundled published systems: what a run will say of them, and that they are worth running."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.jobs.methods.card_line import card_line
from hsfusion.models.cards import model_info

MODELS = Path(__file__).resolve().parents[2] / "resources" / "models"
VALIDATION = {"jasper_ridge", "indian_pines", "abu_beach_2", "abu_urban_3", "muufl_b", "pavia_centre", "chikusei_chip"}


@pytest.fixture(params=["ddpm-fus", "hsr-diff", "ddrf"])
def card(request):
    return model_info(MODELS / f"{request.param}.safetensors").card


def test_no_test_scene_was_trained_on(card):
    trained = {scene.split(",")[0] for scene in card["training"]["scenes"]}
    tested = {name for case in card["scores"].values() for name in case} - {"mean"}
    assert trained and tested == VALIDATION and not trained & (VALIDATION | {"san_diego", "abu_airport_2"})


def test_the_weights_are_above_interpolation_on_every_scene(card):
    assert set(card["scores"]) == {"clean", "35 dB"}
    for case in card["scores"].values():
        for methods in case.values():
            assert methods["network"][0] > methods["interpolation"][0]
        assert case["mean"]["network"][0] > case["mean"]["interpolation"][0] + 5


def test_one_line_says_what_they_are(card):
    line = card_line(card)
    assert line.startswith(f"{card['name']}: weights trained for ") and "on 11 scenes" in line
    assert "on 7 scenes left out (35 dB) it has " in line and "GLP-HS 42." in line
    assert card_line({"name": "x"}) == ""


def test_they_are_small_and_on_the_scale_of_the_hsi(card):
    assert (MODELS / f"{card['name']}.safetensors").stat().st_size < 4_000_000
    assert (
        card["normalisation"]["kind"] == "joint" and card["scale_input"] is True and card["residual"] in (True, False)
    )
