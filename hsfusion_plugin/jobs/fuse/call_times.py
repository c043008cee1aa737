"""How long a run had tiles with the network, and how much of what it sent was halo."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ....models.scene.tiles.plan import Tile


class CallTimes:
    """Gathers from several threads. calls: tiles sent; summed: seconds of all calls, those at the same time counted
    each.
    """

    def __init__(self) -> None:
        self.calls, self.summed = 0, 0.0
        self._seconds, self._since, self._under_way = 0.0, 0.0, 0
        self._core, self._sent = 0, 0
        self._lock = threading.Lock()

    @contextmanager
    def call(self, tile: Tile) -> Iterator[None]:
        """Count what happens inside as a call with `tile`."""
        began = time.monotonic()
        with self._lock:
            if self._under_way == 0:
                self._since = began
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                if self._under_way == 0:
                    self._seconds += time.monotonic() - self._since
                self.calls += 1
                self.summed += time.monotonic() - began
                self._core += tile.core.pixels
                self._sent += tile.place.fine.pixels

    @property
    def seconds(self) -> float:
        """Time with at least one call under way, of calls that have ended."""
        return self._seconds

    def record(self) -> dict[str, float]:
        """For provenance; {} where nothing was sent."""
        if not self.calls:
            return {}
        return {"sent": self.calls, "halo_share": self.halo_share, "seconds": self.seconds, "summed": self.summed}

    @property
    def halo_share(self) -> float:
        """Share of the pixels sent that belong to halos, 0 to 1; 0 where nothing was sent."""
        return 1.0 - self._core / self._sent if self._sent else 0.0
