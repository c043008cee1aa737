"""Connections with deadlines: whoever opens one has to say what for, and whoever asks has to take the answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits

log = logging.getLogger("hsfusion.server")


def protocol_class(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol with the deadlines and the number of connections of `limits`."""

    class Connection(H11Protocol):
        """One connection. Silent until a request's header lines are there, it may be closed for the sake of others."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._deadline: asyncio.TimerHandle | None = None
            self._unsent = 0
            self._stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """A place for it, if need be that of a silent one."""
            if len(self.connections) >= limits.connections:
                idle = [other for other in self.connections if getattr(other, "waits_for_header", False)]
                victim = min(idle, key=lambda other: (other.cycle is not None, other.since), default=None)
                log.warning("as many connections as the server takes (%d)", limits.connections)
                if victim is None:
                    transport.abort()
                    return
                self.connections.discard(victim)
                victim.transport.abort()
            self.since = self.loop.time()
            super().connection_made(transport)
            self._wait_for_header()

        def connection_lost(self, exc: Exception | None) -> None:
            """No deadline is left behind."""
            self._let_be()
            self._unstick()
            if self.transport is not None:
                super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """The deadline of the header lines counts from their first byte, not from the last."""
            super().data_received(data)
            if self.waits_for_header:
                self._wait_for_header()
            else:
                self._let_be()

        @property
        def waits_for_header(self) -> bool:
            """Whether no request is under way."""
            return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

        def pause_writing(self) -> None:
            """The client does not take what is sent: it has to go on."""
            super().pause_writing()
            self._watch_sending()

        def resume_writing(self) -> None:
            """It does."""
            super().resume_writing()
            self._unstick()

        def _wait_for_header(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(limits.head_s, self._no_header)

        def _let_be(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _no_header(self) -> None:
            self._deadline = None
            if self.waits_for_header and not self.transport.is_closing():
                log.warning("a connection without a request is closed after %g seconds", limits.head_s)
                self.transport.abort()

        def _watch_sending(self) -> None:
            self._unstick()
            self._unsent = self.transport.get_write_buffer_size()
            self._stuck = self.loop.call_later(limits.silence_s, self._not_taken)

        def _unstick(self) -> None:
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None

        def _not_taken(self) -> None:
            self._stuck = None
            if self.transport.is_closing():
                return
            if self.transport.get_write_buffer_size() < self._unsent:
                self._watch_sending()
                return
            log.warning("a client that does not take its answer is cut off after %g seconds", limits.silence_s)
            self.transport.abort()

    return Connection
