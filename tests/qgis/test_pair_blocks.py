"""What is read for the estimates: bounded at any ratio, spread over the scene, never too narrow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.hsfusion_plugin.jobs.pair import blocks as module
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.models.observation import Sampling


@pytest.fixture(scope="module")
def windows():
    """Calls read_blocks for a pair of this size; returns the windows that it reads."""
    found = []
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "read_block", lambda pair, sampling, window: found.append(tuple(window.axes)))

    def read(rows, cols, ratio, bands):
        found.clear()
        alignment = SimpleNamespace(coarse_shape=(rows, cols), ratio=ratio)
        pair = SimpleNamespace(alignment=alignment, msi_bands=list(range(bands)), close=lambda: None)
        module.read_blocks(pair, Sampling(ratio), Progress())
        return list(found)

    yield read
    patch.undo()


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(8, 4000), cols=st.integers(8, 4000), ratio=st.floats(1.5, 40), bands=st.sampled_from([1, 4, 8, 12])
)
def test_memory_does_not_follow_the_ratio(windows, rows, cols, ratio, bands):
    """2.7 GB at ratio 20 and 12 GB at ratio 30 it was, with 8 bands."""
    read = windows(rows, cols, ratio, bands)
    values = sum(len(r) * len(c) for r, c in read) * ratio**2 * bands
    assert read and values <= 1.01 * module.MOST_VALUES
    assert all(0 <= r.start < r.stop <= rows and 0 <= c.start < c.stop <= cols for r, c in read)


def test_usual_pairs_are_read_as_ever(windows):
    """Up to ratio 10 or so the bound changes nothing."""
    assert windows(190, 190, 4, 10) == [(range(190), range(190))]
    assert windows(190, 190, 6, 12) == [(range(190), range(190))]
    assert len(windows(1000, 1200, 3, 10)) == 9 and len(windows(1000, 1200, 8, 8)) == 4


def test_a_pair_of_97_rows(windows):
    """Its last block had one row."""
    assert min(len(rows) for rows, _ in windows(97, 400, 3, 4)) == 48
