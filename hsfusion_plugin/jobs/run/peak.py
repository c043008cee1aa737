"""How much more memory this process holds while some work goes on, at its peak."""

from __future__ import annotations

import os
import threading
from types import TracebackType

EVERY_S = 0.02


class PeakMemory:
    """`with PeakMemory() as peak: work()`; then `peak.bytes`: the most beyond what was held before, by looking every
    EVERY_S. NaN where the system does not say (Windows, macOS).
    """

    def __init__(self) -> None:
        self.bytes = float("nan")
        self._end = threading.Event()

    def __enter__(self) -> PeakMemory:
        self._before = held_memory()
        self._most = self._before
        self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        self._look()
        if self._before is not None:
            self.bytes = float(self._most - self._before)

    def _watch(self) -> None:
        while not self._end.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        held = held_memory()
        if held is not None and self._most is not None:
            self._most = max(self._most, held)


def held_memory() -> int | None:
    """Bytes of this process in memory; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return None
