"""How a job talks to whoever started it: messages, progress with the time left, cancel."""

from __future__ import annotations

import time

from ....models.listener import Listener

ANNOUNCE_EVERY_S = 10.0
FIRST_ESTIMATE_S = 3.0


class Progress(Listener):
    """A listener of a job, which has phases; it hears nothing: subclasses override the small methods and `_show`."""

    sentence = "The run was cancelled, and no output was written."

    def __init__(self) -> None:
        self._phase = ""
        self._fraction = 0.0
        self._phase_began: tuple[float, float] | None = None
        self._announced = 0.0

    def _show(self, fraction: float, text: str | None) -> None:
        """Show the overall fraction and, unless it is None, a new text beside it."""

    def phase(self, text: str) -> None:
        """Name the part of the work that begins."""
        self.check()
        self._phase = text
        self._phase_began = None
        self._show(self._fraction, text)

    def step(self, fraction: float) -> None:
        """Set the overall fraction (0 to 1), which never goes back; now and then say how much time is left."""
        self._fraction = min(1.0, max(self._fraction, fraction))
        now = time.monotonic()
        if self._phase_began is None:
            self._phase_began = (now, self._fraction)
            self._announced = now - ANNOUNCE_EVERY_S + FIRST_ESTIMATE_S
        began, start = self._phase_began
        text = None
        if now - self._announced >= ANNOUNCE_EVERY_S and self._fraction > start:
            left = (now - began) * (1.0 - self._fraction) / (self._fraction - start)
            text = f"{self._phase} ({time_left(left)})"
            self._announced = now
        self._show(self._fraction, text)

    def part(self, start: float, stop: float) -> Progress:
        """The same listener for a part of the work, whose own 0 to 1 is `start` to `stop` of the whole."""
        return Part(self, start, stop)


class Part(Progress):
    """A stretch of another progress."""

    def __init__(self, whole: Progress, start: float, stop: float) -> None:
        super().__init__()
        self._whole, self._start, self._stop = whole, start, stop
        self.info, self.warn, self.debug = whole.info, whole.warn, whole.debug
        self.cancelled, self.check, self.phase = whole.cancelled, whole.check, whole.phase

    def step(self, fraction: float) -> None:
        """Set the fraction of this part."""
        self._whole.step(self._start + min(1.0, max(0.0, fraction)) * (self._stop - self._start))


def time_left(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 60:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"
