"""What is given, estimated and nominal of a pair's geometry, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.jobs.pair.geometry import find_geometry, first_sampling
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.models.errors import HSFusionError
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.sensors import placing
from hsfusion.models.scene.sensors.displacement import Start
from hsfusion.models.scene.sensors.registration import Estimate, Registration
from hsfusion.models.scene.sensors.shift_trend import Trend

PHASE = (0.25, -0.5)
STILL = Start()
BLOCK = whole_block(np.zeros((2, 8, 8), np.float32), np.zeros((1, 32, 32), np.float32))


def found(monkeypatch, request: FusionRequest, start: Start = STILL, **changes):
    """The geometry where the registration finds FWHM 1.2 x 0.9 and a shift of 1.5 south, 0.01 east."""
    estimates = {
        "fwhm_y": Estimate(1.2, 1.19, 1.21, True),
        "fwhm_x": Estimate(0.9, 0.89, 0.91, True),
        "shift_y": Estimate(1.5, 1.45, 1.55, True),
        "shift_x": Estimate(0.01, 0.0, 0.02, True),
    }
    asked = {}

    def register(blocks, sampling, fit_fwhm, fit_shift, check, searched):
        asked.update(fwhm=fit_fwhm, shift=fit_shift)
        given = {
            "fwhm_y": None if fit_fwhm[0] else Estimate.given(sampling.fwhm_y),
            "fwhm_x": None if fit_fwhm[1] else Estimate.given(sampling.fwhm_x),
            "shift_y": None if fit_shift[0] else Estimate.given(0.0),
            "shift_x": None if fit_shift[1] else Estimate.given(0.0),
        }
        return Registration(**{**estimates, **{k: v for k, v in given.items() if v}, **changes})

    monkeypatch.setattr(placing, "search", lambda *_: start)
    monkeypatch.setattr(placing, "find_displacement", lambda *_: None)
    monkeypatch.setattr(placing, "register", register)
    return find_geometry([BLOCK], first_sampling(4, PHASE, request), request), asked


def request(**settings) -> FusionRequest:
    return FusionRequest(hsi="", msi="", output="", **settings)


def test_everything_left_open_is_estimated(monkeypatch):
    result, asked = found(monkeypatch, request())
    assert asked == {"fwhm": (True, True), "shift": (True, True)}
    s = result.sampling
    assert (s.fwhm_y, s.fwhm_x, s.shift_y, s.shift_x) == pytest.approx((1.2, 0.9, 1.75, -0.5))
    assert result.shift == pytest.approx((1.5, 0.0)), "without the phase, and nothing below what is worth correcting"
    assert result.psf_source == "estimated" and result.shift_source.startswith("estimated") and not result.warnings


def test_what_is_given_is_taken(monkeypatch):
    result, asked = found(monkeypatch, request(psf_fwhm=1.3, shift_x=0.7))
    assert asked == {"fwhm": (False, False), "shift": (True, False)}
    s = result.sampling
    assert (s.fwhm_y, s.fwhm_x, s.shift_y, s.shift_x) == pytest.approx((1.3, 1.3, 1.75, 0.2))
    assert result.shift == pytest.approx((1.5, 0.7)) and result.psf_source == "given"
    result, asked = found(monkeypatch, request(psf_fwhm_y=1.3, shift_x=0.0, shift_y=0.0))
    assert asked == {"fwhm": (False, True), "shift": (False, False)}
    assert (result.sampling.fwhm_y, result.sampling.fwhm_x) == pytest.approx((1.3, 0.9))
    assert result.shift == (0.0, 0.0) and result.shift_source == "given"


def test_what_cannot_be_told_is_said(monkeypatch):
    unknown = {"fwhm_y": Estimate(1.0, 0.4, 3.0, False), "fwhm_x": Estimate(1.0, 0.4, 3.0, False)}
    unknown.update({"shift_y": Estimate(0.0, -6, 6, False), "shift_x": Estimate(0.0, -6, 6, False)})
    result, _ = found(monkeypatch, request(), **unknown)
    assert result.psf_source == "nominal" and "not determined" in result.shift_source
    assert any("give PSF_FWHM" in w for w in result.warnings) and any("give SHIFT_X" in w for w in result.warnings)


def test_a_shift_too_far_and_rotation_are_said(monkeypatch):
    far = {"shift_y": Estimate(0.0, 4, 5, False), "shift_x": Estimate(0.0, -5, -4, False), "beyond": (4.5, -4.2)}
    result, _ = found(monkeypatch, request(), **far)
    (warning,) = result.warnings
    assert "4.2 MSI pixels west and 4.5 MSI pixels south" in warning and "register the two rasters" in warning
    assert result.shift == (0.0, 0.0) and "too far" in result.shift_source
    result, _ = found(monkeypatch, request(), drift=1.4)
    (warning,) = result.warnings
    assert "1.4 MSI pixels" in warning and "rotation" in warning


def test_a_trend_is_said_and_smeared_widths_are_not_used(monkeypatch):
    monkeypatch.setattr(placing, "find_trend", lambda *_: Trend(4.7, 2.25, 1.03))
    unknown = {"shift_y": Estimate(0.0, -6, 6, False), "shift_x": Estimate(0.0, -6, 6, False)}
    result, _ = found(monkeypatch, request(), **unknown)
    said = [w for w in result.warnings if "register the two rasters" in w]
    assert len(said) == 1 and all(word in said[0] for word in ("2.2 degrees", "1.03", "4.7 MSI pixels"))
    assert not any("give SHIFT_X" in w for w in result.warnings)
    assert (result.sampling.fwhm_y, result.sampling.fwhm_x) == (1.0, 1.0) and result.psf_source == "nominal"
    result, _ = found(monkeypatch, request())
    assert not result.warnings, "asked only where no shift is found"


def test_registration_none_moves_nothing_but_what_is_given(monkeypatch):
    result, asked = found(monkeypatch, request(registration="none"))
    assert asked["shift"] == (False, False) and result.shift == (0.0, 0.0) and "REGISTRATION" in result.shift_source
    result, asked = found(monkeypatch, request(registration="none", shift_x=1.25))
    assert asked["shift"] == (False, False) and result.shift == (0.0, 1.25) and not result.warnings


def test_what_the_search_finds_is_part_of_the_shift(monkeypatch):
    result, _ = found(monkeypatch, request(), Start((8.0, -12.0), certain=True))
    assert result.shift == pytest.approx((9.5, -12.0)) and result.registration.shift_y.value == pytest.approx(9.5)
    assert result.sampling.displacement is not None, "so far that some HSI pixels see nothing of the scene"


def test_a_place_at_the_end_of_the_search_is_an_error(monkeypatch):
    with pytest.raises(HSFusionError, match="36.0 MSI pixels east .* limit of the search"):
        found(monkeypatch, request(), Start((0.0, 36.0), certain=True))
    with pytest.raises(HSFusionError, match="SHIFT_Y is 33 MSI pixels"):
        first_sampling(4, PHASE, request(shift_y=33.0))
