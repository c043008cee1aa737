"""Open the backend that the settings name, whichever it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

from ....models.version import VERSION
from ....models.wire.protocol import WIRE_VERSION
from ..client.client import Client, never
from ..client.errors import BackendRefused
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

    `models` are model files or folders beyond the settings' (local only; a remote server has its own). Raises NoBackend, BackendRefused,
    BackendUnreachable, RunCancelled: in one sentence each, before any tile is sent.
    """
    with coming_backend(settings, kind, progress, models) as arrived:
        yield arrived()


@contextlib.contextmanager
def coming_backend(
    settings: Settings, kind: str = "auto", progress: Any = None, models: Iterable[Path] = (), load: str = ""
) -> Iterator[Callable[[], Client]]:
    """`open_backend` for who has other work to do meanwhile: a local child starts and loads the model `load` at once, and the call that is
    handed out waits for the child.

    NoBackend at once where there is nothing to start; everything else comes with the call.
    """
    if backend_kind(settings, kind) != "local":
        yield lambda: _remote(settings, progress)
        return
    with contextlib.ExitStack() as stack:
        child = LocalBackend(settings, progress, models, load=load)
        child.launch()
        stack.push(child)  # ended with the block, whether anybody asked for it or not
        yield child.__enter__


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
            f"Backend: {client.endpoint}, {server.get('name')} {server.get('version')}, device {ours.get('device', 'unknown')}"
        )
    return client
