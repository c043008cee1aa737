"""What a run says of a model where the pair lies outside its training, and of the error of what the guard ships
instead.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse.with_model import _shipped
from hsfusion.hsfusion_plugin.jobs.methods.choice import beyond_training, check_card
from hsfusion.models.scene.reduced.guard import Verdict

CARD = {"fwhm": [0.7, 2.1], "snr_db": [21.0, 50.0]}


def test_a_pair_that_the_card_covers_gives_no_warning():
    assert beyond_training("m", CARD, (0.8, 2.0), 35.0) == []
    assert beyond_training("m", CARD, (1.0, 1.0), 60.0) == []  # cleaner than trained for does no harm
    assert beyond_training("m", {}, (9.0, 9.0), 3.0) == []  # a card that says nothing
    assert beyond_training("m", {"fwhm": [1.0, 1.0]}, (1.000027, 0.99998), 35.0) == []  # as good as the same


@pytest.mark.parametrize(
    ("fwhm", "snr_db", "said"),
    [((2.6, 1.0), 35.0, "PSFs of 0.7 to 2.1 HSI pixels"), ((1.0, 0.5), 35.0, "0.50 wide"), ((1.0, 1.0), 12.4, "12 dB")],
)
def test_what_lies_outside_is_said(fwhm, snr_db, said):
    (warning,) = beyond_training("m", CARD, fwhm, snr_db)
    assert said in warning and "trust the guard" in warning


@pytest.mark.parametrize(
    ("residual", "std", "said"),
    [(None, [3.0, 4.0], "small scene cannot check"), (np.array([1.0, 2.0]), [1.0, 2.0], "at reduced resolution")],
)
def test_what_the_guard_ships_has_an_expected_error_that_says_what_it_is(residual, std, said):
    heard = []
    quiet = SimpleNamespace(expected_std=lambda: np.array([3.0, 4.0]))
    shipped = _shipped(
        SimpleNamespace(name="m"),
        Verdict("average", {}, residual, 0.0),
        SimpleNamespace(denoised=lambda: quiet),
        SimpleNamespace(uncertainty="std.tif"),
        SimpleNamespace(warn=heard.append),
    )
    assert shipped.name == "average" and shipped.filters, "of the filtered MSI, as it was checked"
    np.testing.assert_array_equal(shipped.band_std, std)
    assert len(heard) == 1 and said in heard[0]


def test_weights_that_were_trained_beside_other_closed_forms_are_refused_before_anything_is_computed():
    """A file that an earlier version's adaptation wrote, say."""
    card = {"name": "mine", "spectral_mode": "subspace", "objective": "x0 of the residual to something else"}
    with pytest.raises(HSFusionError, match="The model mine was trained beside the closed forms of another version"):
        check_card("mine", card, SimpleNamespace())
