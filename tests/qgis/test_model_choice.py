"""Which card a run goes by."""

from __future__ import annotations

import pytest

from hsfusion.hsfusion_plugin.backend.settings import BUNDLED_MODELS
from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.methods.choice import local_card, remote_card

NAME = "hsfusion-base"


def test_the_servers_own_card_comes_first():
    listed = [{"name": NAME, "sha256": "a" * 64, "card": {"name": "theirs"}}]
    assert remote_card(NAME, listed, [BUNDLED_MODELS]) == ({"name": "theirs"}, "a" * 64)


@pytest.mark.parametrize("listed", [[], [{"name": NAME}]], ids=["Triton", "KServe"])
def test_a_server_without_cards_is_taken_to_have_the_model_of_this_computer(listed, tmp_path):
    assert remote_card(NAME, listed, [BUNDLED_MODELS]) == local_card(NAME, None, [BUNDLED_MODELS])
    with pytest.raises(HSFusionError, match="copy the model's file to a model folder"):
        remote_card(NAME, listed, [tmp_path])


def test_a_model_that_the_server_lacks():
    with pytest.raises(HSFusionError, match="it has: other"):
        remote_card(NAME, [{"name": "other"}], [BUNDLED_MODELS])
