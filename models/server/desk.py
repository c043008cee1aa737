"""The desk: one worker per device; tiles wait in a line that is fair to clients, and whoever finds it full is told when
to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

from ..errors import HSFusionError, RunCancelled

Outcome = Any  # a result, or the exception that took its place

LONGEST_ADVICE_S = 60
PATIENCE_S = 10.0  # after its time has come, for which whoever was sent away keeps the turn


class Busy(HSFusionError):
    """The line is full; `retry_after` is the advice in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("The server has as many tiles waiting as it takes: try again in a moment.")
        self.retry_after = retry_after


class TookTooLong(HSFusionError):
    """A tile was worked on for longer than the server gives to one."""


@dataclass(eq=False)  # a job is itself: what it holds are arrays
class Job:
    """One tile: what the worker needs of it, and its kind; tiles of the same kind may be worked on together (None =
    alone).

    client: who sent it; clients take turns.
    """

    work: Any
    kind: Hashable | None = None
    client: Hashable = ""
    stop: threading.Event = field(default_factory=threading.Event)
    answer: asyncio.Future[Outcome] | None = None
    began: float | None = None
    late: bool = False


class Line:
    """Jobs that wait: clients take turns, and a client's own jobs keep their order."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[Hashable, deque[Job]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._jobs.values()))

    def add(self, job: Job) -> None:
        """To the end of its client's jobs."""
        self._jobs.setdefault(job.client, deque()).append(job)

    def remove(self, job: Job) -> bool:
        """Take a job out; whether it was there."""
        jobs = self._jobs.get(job.client, ())
        if job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._jobs[job.client]
        return True

    def next(self, kind: Hashable | None = None) -> Job | None:
        """The next job by turns, of one kind if that is wanted; its client goes to the end."""
        for client, jobs in self._jobs.items():
            job = next((job for job in jobs if kind is None or job.kind == kind), None)
            if job is not None:
                self.remove(job)
                if client in self._jobs:
                    self._jobs.move_to_end(client)
                return job
        return None


class Desk:
    """`workers` each do a list of jobs and return as many outcomes, on a thread of their own; used from one event loop.

    places: tiles in the house, running and waiting; room: bytes of all their bodies; seconds: that a tile may be worked
    on.
    """

    def __init__(
        self,
        places: int,
        workers: Sequence[Callable[[list[Job]], list[Outcome]]],
        most: int = 1,
        room: float = math.inf,
        seconds: float = math.inf,
    ) -> None:
        self.places, self.most, self.room, self.seconds = places, most, room, seconds
        self.taken = 0
        self.running = 0
        self.bytes = 0
        self._held: Counter[Hashable] = Counter()
        self._sent_away: OrderedDict[Hashable, float] = OrderedDict()  # client -> until when it keeps its turn
        self._usual = 1.0  # seconds of a tile
        self._line = Line()
        self._idle = [
            (worker, ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tile-{number}"))
            for number, worker in enumerate(workers)
        ]
        self._workers = len(self._idle)

    @property
    def waiting(self) -> int:
        """Tiles in the line."""
        return len(self._line)

    @contextlib.contextmanager
    def body(self, size: int) -> Iterator[Callable[[int], None]]:
        """Hold room for a body of `size` bytes; Busy if there is none. Yields what is to be told of each
        further byte.
        """
        held = 0

        def more(count: int) -> None:
            nonlocal held
            if self.bytes and self.bytes + count > self.room:
                raise Busy(self._advice(0))
            self.bytes += count
            held += count

        try:
            more(size)
            yield more
        finally:
            self.bytes -= held

    @contextlib.contextmanager
    def place(self, client: Hashable = "") -> Iterator[None]:
        """Hold a place in the house; Busy if there is none for this client."""
        self.admit(client)
        self._sent_away.pop(client, None)
        self.taken += 1
        self._held[client] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]

    def admit(self, client: Hashable) -> None:
        """Busy where the house is full, or its free places belong to those who were sent away before."""
        now = time.monotonic()
        while self._sent_away and next(iter(self._sent_away.values())) < now:
            self._sent_away.popitem(last=False)
        before = next((n for n, other in enumerate(self._sent_away) if other == client), len(self._sent_away))
        share = max(1, self.places // len(self._held.keys() | self._sent_away.keys() | {client}))
        free = self.places - self.taken
        if free > before and (self._held[client] < share or free > self.places // 2):
            return
        advice = self._advice(before)
        if client in self._sent_away or len(self._sent_away) < 16 * self.places:
            self._sent_away[client] = now + advice + PATIENCE_S  # who comes again keeps its turn
        raise Busy(advice)

    def _advice(self, before: int) -> int:
        """Seconds until a place is likely to be free for who has so many others before it."""
        ahead = min(self.taken, self.places // 2) + before
        return max(1, min(LONGEST_ADVICE_S, math.ceil(self._usual * ahead / self._workers)))

    async def run(self, job: Job, gone: Callable[[], Awaitable[bool]], poll_s: float = 0.1) -> Any:
        """Have `job` done; its `stop` is set once the client is `gone`, its time is up, or this call is itself
        cancelled.

        A client that left is seen only by asking, so the place in the line is held until the work has really ended.
        """
        job.answer = asyncio.get_running_loop().create_future()
        self._line.add(job)
        self._assign()
        try:
            while not (await asyncio.wait({job.answer}, timeout=poll_s))[0]:
                if job.stop.is_set():
                    continue
                if job.began is not None and time.monotonic() - job.began > self.seconds:
                    job.late = True
                    job.stop.set()
                elif await gone():
                    job.stop.set()
                    if self._line.remove(job):
                        raise RunCancelled("The client has gone.")
            outcome = job.answer.result()
        finally:
            job.stop.set()
            self._line.remove(job)
        if job.late and isinstance(outcome, RunCancelled):
            raise TookTooLong(
                f"The tile took longer than the {self.seconds:.0f} seconds that the server gives to one: "
                "choose a smaller TILE_SIZE, or fewer SAMPLES or STEPS."
            )
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _assign(self) -> None:
        """Give the line's first tile, and those that may go along, to each worker that has nothing to do."""
        while self._idle:
            first = self._line.next()
            if first is None:
                return
            jobs = [first]
            while first.kind is not None and len(jobs) < self.most:
                along = self._line.next(first.kind)
                if along is None:
                    break
                jobs.append(along)
            worker, thread = self._idle.pop(0)
            self.running += len(jobs)
            began = time.monotonic()
            for job in jobs:
                job.began = began
            future = asyncio.get_running_loop().run_in_executor(thread, worker, jobs)
            future.add_done_callback(self._finisher(worker, thread, jobs, began))

    def _finisher(
        self, worker: Callable[[list[Job]], list[Outcome]], thread: ThreadPoolExecutor, jobs: list[Job], began: float
    ) -> Callable[[asyncio.Future[list[Outcome]]], None]:
        def finish(done: asyncio.Future[list[Outcome]]) -> None:
            self.running -= len(jobs)
            self._usual += 0.3 * ((time.monotonic() - began) / len(jobs) - self._usual)
            self._idle.append((worker, thread))
            error = done.exception()
            outcomes = [error] * len(jobs) if error else done.result()
            for job, outcome in zip(jobs, outcomes):
                if job.answer is not None and not job.answer.done():
                    job.answer.set_result(outcome)
            self._assign()

        return finish
