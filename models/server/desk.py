"""The desk: tiles are worked on one at a time, a few may wait, the others are sent away with the advice when to come back."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

from ..errors import HSFusionError

T = TypeVar("T")


class Busy(HSFusionError):
    """The line is full; `retry_after` is the advice in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("The server has as many tiles waiting as it takes: try again in a moment.")
        self.retry_after = retry_after


class Desk:
    """One worker (one device) with a bounded line; used from one event loop."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self._seconds = 1.0  # a tile's usual time
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tile")

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the line; Busy if there is none."""
        if self.taken >= self.places:
            raise Busy(retry_after=max(1, min(60, math.ceil(self._seconds * self.places / 2))))
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(
        self, work: Callable[[Callable[[], bool]], T], gone: Callable[[], Awaitable[bool]], poll_s: float = 0.1
    ) -> T:
        """Do `work(cancelled)` on the worker's thread; `cancelled()` turns true once the client is `gone` or this call is itself cancelled.

        A client that left is seen only by asking, so the place in the line is held until the work has really ended.
        """
        stop = threading.Event()

        def timed() -> T:
            start = time.monotonic()
            result = work(stop.is_set)
            self._seconds += 0.3 * (time.monotonic() - start - self._seconds)
            return result

        future = asyncio.get_running_loop().run_in_executor(self._worker, timed)
        try:
            while not (await asyncio.wait({future}, timeout=poll_s))[0]:
                if not stop.is_set() and await gone():
                    stop.set()
            return future.result()
        finally:
            stop.set()
