"""Who hears how some work goes on, and may end it: one object in place of a callable for each of these things."""

from __future__ import annotations

from collections.abc import Callable

from .errors import RunCancelled


class Listener:
    """A listener that hears nothing and never cancels; subclasses override what they want to hear.

    `check` is called often, between steps none of which takes long, and ends the work by raising RunCancelled.
    """

    sentence = "The run was cancelled."

    def cancelled(self) -> bool:
        """Whether the work is to end."""
        return False

    def check(self) -> None:
        """Raise RunCancelled if the work is to end."""
        if self.cancelled():
            raise RunCancelled(self.sentence)

    def step(self, fraction: float) -> None:
        """Hear how far the work is, from 0 to 1."""

    def advance(self, fraction: float) -> None:
        """Hear how far the work is, and end it if that is wanted."""
        self.check()
        self.step(fraction)

    def info(self, text: str) -> None:
        """Hear a fact that the user wants to read in the log."""

    def warn(self, text: str) -> None:
        """Hear of something to look at; the work goes on."""

    def debug(self, text: str) -> None:
        """Hear a detail for whoever looks for a fault."""

    def part(self, start: float, stop: float) -> Listener:
        """The same listener for a part of the work, whose own 0 to 1 is `start` to `stop` of the whole."""
        return _Part(self, start, stop)


class _Part(Listener):
    """A stretch of another listener's work."""

    def __init__(self, whole: Listener, start: float, stop: float) -> None:
        self._whole, self._start, self._stop = whole, start, stop
        self.info, self.warn, self.debug = whole.info, whole.warn, whole.debug
        self.cancelled, self.check = whole.cancelled, whole.check

    def step(self, fraction: float) -> None:
        """Set the fraction of this part."""
        self._whole.step(self._start + min(1.0, max(0.0, fraction)) * (self._stop - self._start))


SILENT = Listener()


def never() -> bool:
    """For a caller's flag: nobody cancels."""
    return False


def heed(cancelled: Callable[[], bool]) -> None:
    """Raise RunCancelled where a caller's flag says that the work is to end."""
    if cancelled():
        raise RunCancelled(Listener.sentence)
