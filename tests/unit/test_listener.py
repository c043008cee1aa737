"""Whoever listens hears each part of the work as a stretch of the whole, and can end it."""

from __future__ import annotations

import pytest

from hsfusion.models.errors import RunCancelled
from hsfusion.models.listener import SILENT, Listener, heed


class Heard(Listener):
    """Keeps what it hears; cancels from a fraction on."""

    def __init__(self, until=2.0):
        self.fractions, self.texts, self.until = [], [], until

    def cancelled(self):
        return bool(self.fractions) and self.fractions[-1] >= self.until

    def step(self, fraction):
        self.fractions.append(fraction)

    def warn(self, text):
        self.texts.append(text)


def test_parts_of_parts():
    whole = Heard()
    part = whole.part(0.5, 1.0).part(0.0, 0.5)
    for fraction in (-1.0, 0.0, 0.5, 1.0, 2.0):
        part.advance(fraction)
    part.warn("look")
    assert whole.fractions == [0.5, 0.5, 0.625, 0.75, 0.75] and whole.texts == ["look"]


def test_a_part_is_cancelled_with_the_whole():
    whole = Heard(until=0.5)
    part = whole.part(0.0, 1.0)
    part.advance(0.4)
    part.advance(0.6)
    with pytest.raises(RunCancelled, match="The run was cancelled"):
        part.advance(0.7)


def test_silence():
    for call in (SILENT.check, SILENT.part(0, 1).check, lambda: SILENT.advance(0.5), lambda: heed(lambda: False)):
        call()
    with pytest.raises(RunCancelled):
        heed(lambda: True)
