"""What can go wrong with a backend, told apart; each message is one sentence that says what to do."""

from __future__ import annotations

from ....models.errors import HSFusionError

WITHOUT_BACKEND = "run hsfusion:setupbackend once to get a backend, or use hsfusion:fuseclassical, which needs none"


class BackendError(HSFusionError):
    """The backend did not do its work; the subclasses say why."""


class NoBackend(BackendError):
    """There is no backend to start or to reach."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: {WITHOUT_BACKEND}.")
        self.reason = reason


class BackendDied(BackendError):
    """The local child ended while it was needed; `memory`: in the way it does when memory runs out."""

    def __init__(self, sentence: str, memory: bool = False) -> None:
        super().__init__(sentence)
        self.memory = memory


class BackendUnreachable(BackendError):
    """Nothing answers at the endpoint, or the connection broke and did not come back."""


class BackendRefused(BackendError):
    """The backend answered that it will not do this: wrong token, unknown model, a request that it cannot serve."""


class BackendHasNot(BackendRefused):
    """There is nothing at this address of the backend (HTTP 404): another server, or no such model."""


class TileTooLarge(BackendError):
    """The server does not take requests of this size; a smaller tile will pass."""


class BackendOutOfMemory(TileTooLarge):
    """A tile did not fit into the backend's memory; a smaller tile may."""


class BadReply(BackendError):
    """The backend's reply is not what was asked for: cut short, of another shape, not finite, from another model."""
