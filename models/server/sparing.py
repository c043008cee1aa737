"""A log that nobody can fill: of each kind of trouble one line a minute, and how many there were."""

from __future__ import annotations

import logging
import time

EVERY_S = 60.0
MOST_KINDS = 500


class Sparing(logging.Filter):
    """Lets through what has no kind, and the first of each kind in a minute. A record's kind is its attribute `kind`,
    and of warnings and errors without one the place that they come from.
    """

    def __init__(self, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._seen: dict[object, list[float]] = {}  # kind -> when one was let through, how many were not since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; it is completed by what was left out before it."""
        kind = getattr(record, "kind", None)
        if kind is None:
            if record.levelno < logging.WARNING:
                return True
            kind = (record.name, str(record.msg)[:80])
        now = time.monotonic()
        if kind not in self._seen and len(self._seen) >= MOST_KINDS:
            kind = "other"
        last = self._seen.get(kind)
        if last is not None and now - last[0] < self._every_s:
            last[1] += 1
            return False
        if last is not None and last[1]:
            record.msg = f"{record.getMessage()} (and {last[1]:.0f} more of this kind before)"
            record.args = ()
        self._seen[kind] = [now, 0]
        return True
