"""A proxy before a real server that does harm to chosen tiles, and counts what passes. For tests of what a run does
about it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable

import numpy as np

from hsfusion.models.wire import protocol

Reply = tuple[int, dict[str, str], bytes]
Fault = Callable[["Visit"], None]


class Visit:
    """One tile's request on its way: `forward()` asks the real server, `send()` answers the client."""

    def __init__(self, handler: BaseHTTPRequestHandler, port: int, body: bytes) -> None:
        self.handler, self.port, self.body = handler, port, body

    def forward(self) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            headers = {k: v for k, v in self.handler.headers.items() if k.lower() not in ("host", "connection")}
            connection.request(self.handler.command, self.handler.path, self.body or None, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def send(self, status: int, headers: dict[str, str], body: bytes, announced: int | None = None) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "server", "date"):
                self.handler.send_header(name, value)
        self.handler.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def reset(self) -> None:
        """Cut the connection as a router does that has forgotten it."""
        linger = b"\1\0\0\0\0\0\0\0"
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.handler.close_connection = True


class Proxy:
    """`harm(fault, numbers)` says what befalls the tiles of these numbers, counted from 0 in the order in which they
    are sent.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent, self.served = 0, 0
        self._faults: dict[int, Fault] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._pass(Visit(self, outer.port, b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer._lock:
                    fault = outer._faults.get(outer.sent)
                    outer.sent += 1
                visit = Visit(self, outer.port, body)
                if fault is None:
                    outer._pass(visit, tile=True)
                else:
                    fault(visit)

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def harm(self, fault: Fault, numbers: Iterable[int]) -> None:
        self._faults = dict.fromkeys(numbers, fault)
        self.sent = self.served = 0

    def heal(self) -> None:
        self.harm(cut, ())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _pass(self, visit: Visit, tile: bool = False) -> None:
        try:
            reply = visit.forward()
        except OSError:
            visit.reset()
            return
        if tile and reply[0] == 200:
            with self._lock:
                self.served += 1
        with contextlib.suppress(OSError):  # the client may be dead by now
            visit.send(*reply)


def cut(visit: Visit) -> None:
    """The connection breaks before the reply."""
    visit.reset()


def cut_in_the_reply(visit: Visit) -> None:
    """The connection breaks in the middle of the reply."""
    status, headers, body = visit.forward()
    visit.send(status, headers, body[: len(body) // 2], announced=len(body))
    visit.reset()


def truncated(visit: Visit) -> None:
    """The reply is short, and says so itself."""
    status, headers, body = visit.forward()
    visit.send(status, headers, body[: len(body) // 2])


def status(code: int, **headers: str) -> Fault:
    """The server (or what stands before it) answers with this code."""

    def fault(visit: Visit) -> None:
        visit.send(code, {"Retry-After": "0", **headers}, json.dumps({"error": "", "code": ""}).encode())

    return fault


def trickle(visit: Visit) -> None:
    """The reply comes in small pieces over some seconds."""
    status, headers, body = visit.forward()
    visit.send(status, headers, body[:1000], announced=len(body))
    pieces = [body[1000 + i * len(body) // 8 : 1000 + (i + 1) * len(body) // 8] for i in range(8)]
    for piece in pieces:
        time.sleep(0.3)
        visit.handler.wfile.write(piece)


def silence(visit: Visit) -> None:
    """No reply ever comes."""
    time.sleep(30)
    visit.reset()


def changed(change: Callable[[np.ndarray], np.ndarray], sha256: str = "") -> Fault:
    """The reply's tensors are others than they should be, or another model's."""

    def fault(visit: Visit) -> None:
        status, headers, body = visit.forward()
        length = {name.lower(): value for name, value in headers.items()}[protocol.HEAD_LENGTH.lower()]
        message = protocol.decode_reply(body, int(length))
        tensors = {name: change(array) for name, array in message.tensors.items()}
        parameters = {**message.parameters, **({"model_sha256": sha256} if sha256 else {})}
        body, length = protocol.encode_reply("m", tensors, parameters)
        visit.send(status, {"Content-Type": "application/octet-stream", protocol.HEAD_LENGTH: str(length)}, body)

    return fault
