"""The desk: who works on which tiles, and together with which."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from hsfusion.models.server.desk import Busy, Desk, Job


async def never() -> bool:
    return False


def doubles(seen: list, seconds: float = 0.05):
    """A worker that takes its time, notes what it got and doubles it."""

    def work(jobs):
        seen.append([job.work for job in jobs])
        time.sleep(seconds)
        return [2 * job.work for job in jobs]

    return work


def served(desk: Desk, jobs: list[Job]) -> list:
    async def main():
        return await asyncio.gather(*(desk.run(job, never) for job in jobs), return_exceptions=True)

    return asyncio.run(main())


def test_waiting_tiles_of_a_kind_go_together_and_others_do_not():
    seen: list = []
    kinds = ["a", "a", "b", "a", None, None, "a", "a"]
    assert served(Desk(9, [doubles(seen)], most=3), [Job(n, kind) for n, kind in enumerate(kinds)]) == list(
        range(0, 16, 2)
    )
    assert seen == [[0], [1, 3, 6], [2], [4], [5], [7]], "the first goes at once, then whoever came first"


def test_every_worker_has_its_own_thread():
    meeting = threading.Barrier(2, timeout=20)

    def work(jobs):
        meeting.wait()
        return [threading.current_thread().name for _ in jobs]

    assert len(set(served(Desk(4, [work, work]), [Job(0), Job(1)]))) == 2


def test_one_tiles_error_is_its_own_and_a_workers_is_everybodys():
    def work(jobs):
        if jobs[0].work == "bug":
            raise ZeroDivisionError
        return [ValueError("mine") if job.work == "bad" else job.work for job in jobs]

    desk = Desk(9, [work], most=4)
    first, good, bad = served(desk, [Job("first", "k"), Job("good", "k"), Job("bad", "k")])
    assert (first, good, str(bad)) == ("first", "good", "mine")
    assert isinstance(served(desk, [Job("bug")])[0], ZeroDivisionError)
    assert served(desk, [Job("later")]) == ["later"] and desk.running == desk.waiting == 0


def test_a_client_that_left_is_told_to_the_worker():
    def work(jobs):
        return [jobs[0].stop.wait(20)]

    async def gone() -> bool:
        return True

    async def main():
        return await Desk(1, [work]).run(Job(0), gone, poll_s=0.01)

    assert asyncio.run(main()) is True


def test_the_line_is_bounded():
    desk = Desk(1, [doubles([])])
    with desk.place(), pytest.raises(Busy) as caught, desk.place():
        pass
    assert caught.value.retry_after >= 1
    with desk.place():
        assert desk.taken == 1


def test_jobs_that_hold_arrays_are_told_apart():
    """Two tiles of one client with equal arrays are two jobs."""
    import numpy as np

    def work(jobs):
        time.sleep(0.02)
        return [float(job.work.sum()) for job in jobs]

    assert served(Desk(9, [work]), [Job(np.ones(n)) for n in (3, 3, 4)]) == [3.0, 3.0, 4.0]


def test_clients_take_turns():
    seen: list = []
    jobs = [Job(n, None, client) for n, client in enumerate("aaaabbc")]
    served(Desk(9, [doubles(seen, 0.01)]), jobs)
    assert [work[0] for work in seen] == [0, 1, 4, 6, 2, 5, 3]


def test_who_was_sent_away_first_has_the_next_place():
    async def main():
        desk = Desk(1, [doubles([])])
        with desk.place("a"):
            for client in ("b", "c"):
                with pytest.raises(Busy):
                    desk.admit(client)
        with pytest.raises(Busy):
            desk.admit("c")
        with desk.place("b"):
            pass
        desk.admit("c")

    asyncio.run(main())
