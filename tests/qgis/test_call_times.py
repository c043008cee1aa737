"""What a run says of its network calls: the time with at least one under way, the sum of all, the share of halo."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hsfusion.hsfusion_plugin.jobs.fuse.call_times import CallTimes
from hsfusion.models.scene.tiles.plan import Tile
from hsfusion.models.scene.window import Place, Window


def tile() -> Tile:
    """A core of 40 x 40 pixels in a window of 80 x 50."""
    return Tile(Window.whole((40, 40)), Place(Window.whole((80, 50)), Window.whole((20, 13))))


def test_calls_at_the_same_time_are_counted_once_in_the_time_and_each_in_the_sum():
    times = CallTimes()

    def call(_: int) -> None:
        with times.call(tile()):
            time.sleep(0.3)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(call, range(3)))
    found = times.record()
    assert found["sent"] == 3 and found["halo_share"] == pytest.approx(1 - 1600 / 4000)
    assert found["seconds"] >= 0.3 and 0.9 <= found["summed"] <= 3 * found["seconds"] + 1e-6


def test_a_call_that_fails_has_taken_its_time_too():
    times = CallTimes()
    with pytest.raises(ZeroDivisionError), times.call(tile()):
        raise ZeroDivisionError
    assert times.calls == 1 and times.record()["seconds"] >= 0


def test_a_run_without_calls_has_nothing_to_tell():
    assert CallTimes().record() == {}
