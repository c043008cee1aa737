"""Metadata files as an attacker writes them: read in a moment, or said to be no metadata."""

from __future__ import annotations

import time

import pytest

from hsfusion.hsfusion_plugin.rasters.products.reading.dlr import parse_sidecar
from hsfusion.hsfusion_plugin.rasters.products.reading.xml import parse
from hsfusion.models.errors import HSFusionError

BAND = '<bandID number="{0}"><wavelengthCenterOfBand>{1}</wavelengthCenterOfBand><FWHMOfBand>7.5</FWHMOfBand>'
BAND += "<GainOfBand>1</GainOfBand></bandID>"
DESIS = "<band><bandNumber>{0}</bandNumber><wavelengthCenterOfBand>{1}</wavelengthCenterOfBand>"
DESIS += "<wavelengthWidthOfBand>3.5</wavelengthWidthOfBand><gainOfBand>0.1</gainOfBand></band>"


@pytest.mark.parametrize("band", [BAND, DESIS])
def test_honest_metadata(band):
    bands = "".join(band.format(number, 400 + 10 * number) for number in (1, 2, 3))
    found = parse_sidecar(
        f"<level><specific>{bands}<expectedChannelsList>1,3</expectedChannelsList></specific></level>", 3
    )
    assert found.wavelength.tolist() == [410, 420, 430] and found.delivered.tolist() == [True, False, True]
    assert found.fwhm[0] in (7.5, 3.5) and found.gain[0] in (1.0, 0.1)


HOSTILE = {
    "unclosed bands": '<bandID number="1">' * 20_000,
    "unclosed DESIS bands": "<band>" * 60_000,
    "half numbers": "<band><bandNumber>" + " " * 380_000,
    "deep": "<a>" * 100_000 + "</a>" * 100_000,
    "long number": f'<x><bandID number="{"9" * 300_000}"><wavelengthCenterOfBand>1</wavelengthCenterOfBand></bandID></x>',  # noqa: E501
    "blanks": "<x><expectedChannelsList>" + "1 ," * 120_000,
    "entities": '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;&b;</x>',
    "nothing": "",
    "binary": "\0\1\2" * 1000,
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_metadata_takes_no_time(kind):
    began = time.monotonic()
    assert parse_sidecar(HOSTILE[kind], 3) is None
    assert time.monotonic() - began < 5


def test_too_deep_is_said():
    with pytest.raises(HSFusionError, match="deeper than any"):
        parse("<a>" * 1000, "METADATA.XML")
