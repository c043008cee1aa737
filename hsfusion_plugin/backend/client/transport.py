"""HTTP that can be given up at once: a call waits on a thread, and its socket is shut when the user cancels."""

from __future__ import annotations

import ipaddress
import math
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ....models.errors import RunCancelled
from ....models.wire import protocol
from ....models.wire.text import parsed
from ...backend import qgis_network
from .errors import BackendRefused

POLL_S = 0.1
CONNECT_S = 5.0
SEND_S = 60.0  # for a piece of a request to be taken
MOST_WORDS = 32 << 20  # bytes of an answer without tensors: lists of models hold their cards
LEAST_RATE = 16 * 1024  # bytes a second, below which a request or reply is as good as none
CLIENT = "X-HSFusion-Client"
_BLOCK = 1 << 18  # bytes that are read at a time


@dataclass(frozen=True)
class Reply:
    """An answer, all of it; its tensors are read where they lie, for they are most of what a tile takes."""

    status_code: int
    headers: Mapping[str, str]
    content: bytearray

    @classmethod
    def read(cls, response: requests.Response, most: int, came: Callable[[int], None]) -> Reply:
        """Into one piece of memory that grows: `response.content` would hold everything twice for a while.

        Raises Oversized beyond `most` bytes. came(bytes): told of what has come so far.
        """
        most = most if response.status_code == 200 else min(most, MOST_WORDS)
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise Oversized("its answer is compressed, which was not asked for")
        announced = response.headers.get("Content-Length", "")
        if announced.isascii() and announced.isdigit() and (len(announced) > 15 or int(announced) > most):
            raise Oversized(f"its answer has {announced[:20]} bytes and at most {most} were expected")
        content = bytearray()
        for block in response.iter_content(_BLOCK):
            content += block
            if len(content) > most:
                raise Oversized(f"its answer has more than the {most} bytes that were expected")
            came(len(content))
        return cls(response.status_code, response.headers, content)

    def json(self) -> Any:
        """ValueError where it is no JSON, or deeper than any message."""
        return parsed(self.content, len(self.content))


class Oversized(ValueError):
    """An answer is larger than anything that was asked for."""


class _Bearer(AuthBase):
    """Sets the token; given as `auth`, so that an entry in ~/.netrc cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Adapter(HTTPAdapter):
    """Remembers the connection in use, so that another thread can shut it."""

    def __init__(self) -> None:
        self.connection: Any = None
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._remember(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._remember(manager)
        return manager

    def abort(self) -> None:
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # it was closed in the meantime
                return

    def _remember(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: self._remembering(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def _remembering(self, pool: type) -> type:
        adapter = self

        class Connection(pool.ConnectionCls):  # type: ignore[name-defined]
            def connect(self) -> None:
                adapter.connection = self
                super().connect()
                self.sock.settimeout(SEND_S)  # the connection's own few seconds are for connecting
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


class Transport:
    """Calls to one endpoint; several threads may call at once, each on a connection of its own."""

    def __init__(self, endpoint: str, token: str) -> None:
        self.endpoint, loopback = _checked(endpoint, token)
        self.token = token
        self._auth = _Bearer(token)
        self._name = secrets.token_hex(8)  # by which the server tells this run's connections from those of others
        self._trust_env = not loopback  # proxies are for the world outside
        self._idle: list[requests.Session] = []
        self._lock = threading.Lock()

    def call(
        self,
        method: str,
        path: str,
        cancelled: Callable[[], bool],
        body: protocol.Body | None = None,
        headers: dict[str, str] | None = None,
        read_s: float | None = None,
        most: int = MOST_WORDS,
    ) -> Reply:
        """One call, tried once; its answer has at most `most` bytes and comes within `read_s` seconds, or what its size
        needs.

        Raises requests' own errors, Oversized, and RunCancelled within a moment of `cancelled()` turning true (which
        may itself raise, to say that waiting is in vain).
        """
        session = self._session()
        outcome: dict[str, Any] = {}
        until = math.inf if read_s is None else time.monotonic() + CONNECT_S + read_s

        def work() -> None:
            try:
                response = session.request(
                    method,
                    self.endpoint + path,
                    data=body,
                    headers=headers,
                    timeout=(CONNECT_S, read_s),
                    allow_redirects=False,
                    stream=True,
                )
                with response:
                    outcome["reply"] = Reply.read(response, most, lambda count: outcome.update(count=count))
            except Exception as error:
                outcome["error"] = error

        thread = threading.Thread(target=work, name="hsfusion-call", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(POLL_S)
                if thread.is_alive() and cancelled():
                    raise RunCancelled("The run was cancelled.")
                # A socket's own deadline is for silence: whoever sends a byte now and then would never be given up.
                moved = (len(body) if body is not None else 0) + outcome.get("count", 0) + _BLOCK
                if thread.is_alive() and time.monotonic() > until + moved / LEAST_RATE:
                    raise requests.ReadTimeout("the answer did not end in time")
        except BaseException:
            session.get_adapter(self.endpoint).abort()
            raise
        if "error" in outcome:
            raise outcome["error"]
        with self._lock:
            self._idle.append(session)
        return outcome["reply"]

    def _session(self) -> requests.Session:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        session = requests.Session()
        session.trust_env = self._trust_env
        qgis_network.apply(session, self.endpoint, proxies=self._trust_env)
        session.auth = self._auth
        session.headers[CLIENT] = self._name
        session.headers["Accept-Encoding"] = (
            "identity"  # Triton would else compress tensors, thirty times slower than sending them
        )
        session.mount("https://", _Adapter())
        session.mount("http://", _Adapter())
        return session


def _checked(endpoint: str, token: str) -> tuple[str, bool]:
    """The endpoint without a trailing `/v2` or slash, and whether it is on this machine; BackendRefused if it may not
    be used.

    Neither is ever quoted whole: an address may hold a password.
    """
    if not (token.isascii() and (token.isprintable() or not token) and token == token.strip()):
        raise BackendRefused(
            "The token holds characters that no HTTP header can carry (line breaks, blanks around it, or others than "
            "ASCII): "
            "set HSFUSION_TOKEN or the HSFusion options anew."
        )
    endpoint = endpoint.strip()
    wrong = BackendRefused(
        "The endpoint is not an http(s) address: set HSFUSION_ENDPOINT to one such as https://gpu.example.org:8000."
    )
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:  # a port that is no number, brackets that do not close
        raise wrong from None
    if parts.username is not None or parts.password is not None:
        raise BackendRefused("The endpoint holds a user name or password: leave them out and set HSFUSION_TOKEN.")
    if parts.scheme not in ("http", "https") or not parts.hostname or not endpoint.isprintable() or " " in endpoint:
        raise wrong
    if parts.query or parts.fragment:
        raise BackendRefused("The endpoint holds a query ('?') or a fragment ('#'): give the address alone.")
    loopback = _is_loopback(parts.hostname)
    if token and parts.scheme == "http" and not loopback:
        raise BackendRefused(
            f"A token would travel unencrypted to {parts.hostname}: use an https address, or a tunnel to this machine."
        )
    path = parts.path.rstrip("/")
    path = path[:-3] if path.endswith("/v2") else path
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}", loopback


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
