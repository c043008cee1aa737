"""What a model's card says of the pairs that it knows, against what was estimated of this one."""

from __future__ import annotations

import pytest

from hsfusion.hsfusion_plugin.jobs.model_choice import beyond_training

CARD = {"fwhm": [0.7, 2.1], "snr_db": [21.0, 50.0]}


def test_a_pair_that_the_card_covers_gives_no_warning():
    assert beyond_training("m", CARD, (0.8, 2.0), 35.0) == []
    assert beyond_training("m", CARD, (1.0, 1.0), 60.0) == []  # cleaner than trained for does no harm
    assert beyond_training("m", {}, (9.0, 9.0), 3.0) == []  # a card that says nothing


@pytest.mark.parametrize(
    ("fwhm", "snr_db", "said"),
    [((2.6, 1.0), 35.0, "PSFs of 0.7 to 2.1 HSI pixels"), ((1.0, 0.5), 35.0, "0.50 wide"), ((1.0, 1.0), 12.4, "12 dB")],
)
def test_what_lies_outside_is_said(fwhm, snr_db, said):
    (warning,) = beyond_training("m", CARD, fwhm, snr_db)
    assert said in warning and "trust the guard" in warning
