"""The desk: one worker per device, a few tiles may wait, the others are sent away with the advice when to come back."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

from ..errors import HSFusionError

Outcome = Any  # a result, or the exception that took its place


class Busy(HSFusionError):
    """The line is full; `retry_after` is the advice in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("The server has as many tiles waiting as it takes: try again in a moment.")
        self.retry_after = retry_after


@dataclass
class Job:
    """One tile: what the worker needs of it, and its kind; tiles of the same kind may be worked on together (None = alone)."""

    work: Any
    kind: Hashable | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    answer: asyncio.Future[Outcome] | None = None


class Desk:
    """`workers` each do a list of jobs and return as many outcomes, on a thread of their own; used from one event loop."""

    def __init__(self, places: int, workers: Sequence[Callable[[list[Job]], list[Outcome]]], most: int = 1) -> None:
        self.places, self.most = places, most
        self.taken = 0
        self.running = 0
        self._seconds = 1.0  # a tile's usual time
        self._waiting: deque[Job] = deque()
        self._idle = [
            (worker, ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tile-{number}"))
            for number, worker in enumerate(workers)
        ]
        self._workers = len(self._idle)

    @property
    def waiting(self) -> int:
        """Tiles in the line."""
        return len(self._waiting)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the house; Busy if there is none."""
        if self.taken >= self.places:
            raise Busy(retry_after=max(1, min(60, math.ceil(self._seconds * self.places / 2 / self._workers))))
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(self, job: Job, gone: Callable[[], Awaitable[bool]], poll_s: float = 0.1) -> Any:
        """Have `job` done; its `stop` is set once the client is `gone` or this call is itself cancelled.

        A client that left is seen only by asking, so the place in the line is held until the work has really ended.
        """
        job.answer = asyncio.get_running_loop().create_future()
        self._waiting.append(job)
        self._assign()
        try:
            while not (await asyncio.wait({job.answer}, timeout=poll_s))[0]:
                if not job.stop.is_set() and await gone():
                    job.stop.set()
            outcome = job.answer.result()
        finally:
            job.stop.set()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _assign(self) -> None:
        """Give the line's first tile, and those behind it that may go along, to each worker that has nothing to do."""
        while self._idle and self._waiting:
            jobs = [self._waiting.popleft()]
            if jobs[0].kind is not None:
                along = [job for job in self._waiting if job.kind == jobs[0].kind][: self.most - 1]
                for job in along:
                    self._waiting.remove(job)
                jobs += along
            worker, thread = self._idle.pop(0)
            self.running += len(jobs)
            began = time.monotonic()
            future = asyncio.get_running_loop().run_in_executor(thread, worker, jobs)
            future.add_done_callback(self._finisher(worker, thread, jobs, began))

    def _finisher(
        self, worker: Callable[[list[Job]], list[Outcome]], thread: ThreadPoolExecutor, jobs: list[Job], began: float
    ) -> Callable[[asyncio.Future[list[Outcome]]], None]:
        def finish(done: asyncio.Future[list[Outcome]]) -> None:
            self.running -= len(jobs)
            self._seconds += 0.3 * ((time.monotonic() - began) / len(jobs) - self._seconds)
            self._idle.append((worker, thread))
            error = done.exception()
            outcomes = [error] * len(jobs) if error else done.result()
            for job, outcome in zip(jobs, outcomes):
                if job.answer is not None and not job.answer.done():
                    job.answer.set_result(outcome)
            self._assign()

        return finish
