"""Open the backend that the settings name, whichever it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Callable

from ....models.listener import never
from ....models.version import VERSION
from ....models.wire.protocol import WIRE_VERSION
from ..client.client import Client
from ..client.errors import BackendDied, BackendRefused
from ..settings import Settings
from .child import LocalBackend


def backend_kind(settings: Settings, kind: str = "auto") -> str:
    """`local` or `remote`: what the run asks for, else what the settings say, else remote where an endpoint is set."""
    for wanted in (kind, settings.backend):
        if wanted != "auto":
            return wanted
    return "remote" if settings.endpoint else "local"


@contextlib.contextmanager
def open_backend(
    settings: Settings, kind: str = "auto", progress: Any = None, models: Iterable[Path] = ()
) -> Iterator[Client]:
    """A client for the backend, which is there for the time of the `with` block.

    `models` are model files or folders beyond the settings' (local only; a remote server has its own). Raises
    NoBackend, BackendRefused, BackendUnreachable, RunCancelled: in one sentence each, before any tile is sent.
    """
    with coming_backend(settings, kind, progress, models) as arrived:
        yield arrived()


@contextlib.contextmanager
def coming_backend(
    settings: Settings, kind: str = "auto", progress: Any = None, models: Iterable[Path] = (), load: str = ""
) -> Iterator[Callable[[], Client]]:
    """`open_backend` for who has other work to do meanwhile: a local child starts and loads the model `load` at once,
    and the call that is handed out waits for the child.

    NoBackend at once where there is nothing to start; everything else comes with the call.
    """
    if backend_kind(settings, kind) != "local":
        yield lambda: _remote(settings, progress)
        return
    kept = _KEPT.get()
    if kept is not None:
        yield kept.client(settings, progress, tuple(models), load)
        return
    with contextlib.ExitStack() as stack:
        child = LocalBackend(settings, progress, models, load=load)
        child.launch()
        stack.push(child)  # ended with the block, whether anybody asked for it or not
        yield child.__enter__


@contextlib.contextmanager
def one_backend() -> Iterator[None]:
    """Within the block a local child stays after its first run, and later runs with the same settings and models use
    it.
    """
    with contextlib.ExitStack() as stack:
        token = _KEPT.set(_Kept(stack))
        try:
            yield
        finally:
            _KEPT.reset(token)


class _Kept:
    """A local child that several runs share; it is started anew where it died or other models are asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._key: tuple[Any, ...] = ()
        self._child: LocalBackend | None = None
        self._client: Client | None = None

    def client(self, settings: Settings, progress: Any, models: tuple[Path, ...], load: str) -> Callable[[], Client]:
        """As coming_backend hands out."""
        if self._child is None or self._key != (settings, models) or not self._alive():
            if self._child is not None:
                self._child.close()
            self._key, self._client = (settings, models), None
            self._child = LocalBackend(settings, progress, models, load=load)
            self._child.launch()
            self._stack.push(self._child)
        return self._arrived

    def _arrived(self) -> Client:
        if self._client is None:
            self._client = self._child.__enter__()
        return self._client

    def _alive(self) -> bool:
        try:
            self._child.check()
        except BackendDied:
            return False
        return self._child.pid is not None


_KEPT: ContextVar[_Kept | None] = ContextVar("kept_backend", default=None)


def _remote(settings: Settings, progress: Any) -> Client:
    if not settings.endpoint:
        raise BackendRefused(
            "No endpoint is set for the remote backend: set HSFUSION_ENDPOINT, or choose the local backend."
        )
    client = Client(settings.endpoint, settings.token, replies=settings.replies)
    cancelled = progress.cancelled if progress is not None else never
    server = client.server(cancelled)
    ours = server.get("hsfusion") or {}
    if ours.get("wire", WIRE_VERSION) != WIRE_VERSION:
        raise BackendRefused(
            f"The server at {client.endpoint} (HSFusion {server.get('version')}) and this plugin ({VERSION}) "
            "speak different protocols: update the older one."
        )
    if progress is not None:
        progress.debug(
            f"Backend: {client.endpoint}, {server.get('name')} {server.get('version')}, device "
            f"{ours.get('device', 'unknown')}"
        )
    return client
