"""How many tiles a processor works on at a time."""

from __future__ import annotations

import pytest

from hsfusion.models.server.cores import share_out, usable_cores


@pytest.mark.parametrize(
    ("cores", "asked", "expected"),
    [(1, 0, (1, 1)), (2, 0, (1, 2)), (8, 0, (1, 8)), (8, 1, (1, 8)), (8, 2, (2, 4)), (2, 4, (4, 1))],
)
def test_every_core_has_work_and_none_has_too_much(cores, asked, expected):
    assert share_out(cores, asked) == expected


def test_there_is_a_core():
    assert usable_cores() >= 1
