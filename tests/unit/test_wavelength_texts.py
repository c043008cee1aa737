"""Wavelengths in texts: what is written in any usual way is read, and what is no wavelength is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsfusion.hsfusion_plugin.rasters.reading.wavelengths import (
    number,
    number_list,
    spectral_text,
    wavelengths_in_names,
)

UNITS = {"nm": 1.0, "Nanometers": 1.0, "nanometres": 1.0, "um": 1e3, "µm": 1e3, "Micrometers": 1e3, "microns": 1e3}
CENTRES = st.integers(4000, 140000).map(lambda tenths: tenths / 10)
WIDTHS = st.integers(20, 1900).map(lambda tenths: tenths / 10)
WITH_WIDTH = (
    "{c} {u}, FWHM {w} {u}",
    "Band 1 {c} {u} (bandwidth {w} {u})",
    "{c}{u} fwhm={w}{u}",
    "FWHM {w} {u} at {c} {u}",
    "{w} {u} wide, centre {c} {u}",
    "B12_{c}{u} width: {w} {u}",
    "{c} {u} ({w} {u})",
    "{c} {u} / {w} {u}",
)
RANGES = ("{a}-{b} {u}", "{a} - {b} {u}", "{a}–{b}{u}", "{a} {u} to {b} {u}", "Band 1 {a}-{b} {u}", "from {a}..{b} {u}")
MARGINS = ("{c} {u} +- {h} {u}", "{c} ± {h} {u}", "{c}{u}±{h}{u}", "Red {c} +/- {h} {u}")
PREFIXES = ("", "Band 3 ", "B8A ", "band 12 (", "Kanal 4: ", "x_")


def written(nm: float, unit: str, comma: bool) -> str:
    text = f"{nm / UNITS[unit]:.4f}" if UNITS[unit] > 1 else f"{nm:.1f}"
    return text.replace(".", ",") if comma else text


@given(c=CENTRES, u=st.sampled_from(sorted(UNITS)), prefix=st.sampled_from(PREFIXES), comma=st.booleans())
def test_a_value_with_a_unit(c, u, prefix, comma):
    centre, width = spectral_text(f"{prefix}{written(c, u, comma)} {u}")
    assert centre == pytest.approx(c, abs=0.06) and width is None


@given(c=CENTRES, w=WIDTHS, u=st.sampled_from(sorted(UNITS)), form=st.sampled_from(WITH_WIDTH), comma=st.booleans())
def test_a_width_is_not_the_centre(c, w, u, form, comma):
    centre, width = spectral_text(form.format(c=written(c, u, comma), w=written(w, u, comma), u=u))
    assert centre == pytest.approx(c, abs=0.06) and width == pytest.approx(w, abs=0.06)


@given(c=CENTRES, w=WIDTHS, u=st.sampled_from(sorted(UNITS)), form=st.sampled_from(RANGES), comma=st.booleans())
def test_the_centre_of_a_range(c, w, u, form, comma):
    ends = [written(c + side * w / 2, u, comma) for side in (-1, 1)]
    centre, width = spectral_text(form.format(a=ends[0], b=ends[1], u=u))
    assert centre == pytest.approx(c, abs=0.12) and width == pytest.approx(w, abs=0.22)


@given(c=CENTRES, w=WIDTHS, u=st.sampled_from(sorted(UNITS)), form=st.sampled_from(MARGINS))
def test_a_margin_is_half_the_width(c, w, u, form):
    centre, width = spectral_text(form.format(c=written(c, u, False), h=written(w / 2, u, False), u=u))
    assert centre == pytest.approx(c, abs=0.06) and width == pytest.approx(w, abs=0.22)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Blue 490 nm (458-523 nm)", (490, 65)),
        ("Band 300 - 490 nm", (490, None)),
        ("Band_433-441nm", (437, 8)),
        ("1,610 nm", (1610, None)),
        ("450-520 nm (30 m)", (485, 70)),
        ("[433..441] nm", (437, 8)),
        ("8.2 nm", (None, None)),
        ("B3 green", (None, None)),
        ("10 m resolution", (None, None)),
        ("", (None, None)),
    ],
)
def test_texts(text, found):
    assert spectral_text(text) == (found if found[0] is None else pytest.approx(found))


@given(
    values=st.lists(st.integers(440, 2400), min_size=2, max_size=40, unique=True),
    prefix=st.sampled_from(["Band_", "", "R", "b"]),
)
def test_names_with_bare_numbers(values, prefix):
    counted = set(np.abs(np.diff(values))) == {1} or (min(values) >= 1900 and max(values) <= 2100)
    found = wavelengths_in_names([f"{prefix}{value}" for value in values])
    assert np.isnan(found).all() if counted else np.array_equal(found, values)


@pytest.mark.parametrize(
    "names",
    [
        ["Band_1", "Band_2", "Band_3"],
        ["Band_201", "Band_209", "Band_426"],  # chosen from a cube
        ["B_1990", "B_2000", "B_2010"],
        ["1.0", "2.0"],
        ["Band_503", "cloud"],
        ["Band_503", "Band_503"],
        ["Band_503"],
    ],
)
def test_numbers_that_count_bands_or_years(names):
    assert np.isnan(wavelengths_in_names(names)).all()


@given(
    values=st.lists(st.integers(40000, 240000).map(lambda x: x / 100), min_size=2, max_size=30),
    separator=st.sampled_from([", ", ",", ";", "; ", ",\n ", " ", "\n"]),
    comma=st.booleans(),
)
def test_lists_with_points_and_commas(values, separator, comma):
    text = "{" + separator.join(f"{v:.2f}".replace(".", "," if comma else ".") for v in values) + "}"
    assert number_list(text, len(values)) == pytest.approx(np.array(values))
    assert number_list(text, 3 * len(values)) is None


def test_one_number():
    assert number("436,55") == number(" {436.55} ") == 436.55
    assert np.isnan([number(text) for text in ("", None, "4,5,6", "12 nm")]).all()
