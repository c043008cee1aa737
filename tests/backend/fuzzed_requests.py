"""Malformed requests by number: the same number is always the same request. What is mutated are honest messages of both
kinds of model.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsfusion.models.wire import protocol

JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    -0.5,
    "",
    "x",
    "\ud800",
    "9" * 400,
    "\0\r\n",
    [],
    [[]],
    {},
    {"": {}},
    [1, "a", None],
    [[1, 2], [3]],
    [10**400],
    float("nan"),
    float("inf"),
]
DIGITS = ["²", "-1", "1e3", "0x10", "٣", "9" * 30, "", " 5", "1_0", "5, 5"]
PATHS = ["%00", "..%2f..%2fetc%2fpasswd", "%ed%a0%80", "hsfusion-base%0d%0aX: y", "a" * 3000, "{}", "none", "%"]


@dataclass
class Request:
    """One HTTP request: what to send, and the path it goes to."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def fuzzed(number: int, honest: dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]]) -> Request:
    """Request `number`; honest: model -> tensors and details of a tile that it would take."""
    chance = random.Random(number)
    model = chance.choice(sorted(honest))
    tensors, details = honest[model]
    path = f"/v2/models/{model}/infer"
    kind = chance.randrange(8)
    if kind == 0:
        return _elsewhere(chance)
    if kind == 1:
        path, details = (
            "/v2/hsfusion_adapt",
            {"job": chance.choice(["a1", *JUNK]), "blocks": chance.choice(JUNK), **details},
        )
    if kind in (1, 2, 3):
        details = _mutated(details, chance, chance.randrange(1, 4))
    body, length = _message(tensors, details)
    if kind == 4:
        head = _mutated(json.loads(body[:length]), chance, chance.randrange(1, 3))
        text = json.dumps(head).encode("utf-8", "surrogatepass")
        body, length = text + body[length:], len(text)
    headers = {protocol.HEAD_LENGTH: str(length)}
    if kind == 5:
        body = _torn(body, length, chance)
    if kind == 6:
        headers = {protocol.HEAD_LENGTH: chance.choice([*DIGITS, str(length + chance.randrange(-9, 9)), str(10**15)])}
    if kind == 7:
        headers, body = (
            {},
            chance.choice([body[:length], b"{" * 50_000, b"[" * 50_000, b"", b"\xff" * 99, b"nul", b"1" * 6000]),
        )
    return Request(
        "POST", path, body, {name: value for name, value in headers.items() if value.isascii() or chance.random() < 2}
    )


def _elsewhere(chance: random.Random) -> Request:
    method = chance.choice(["GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS", "QUERY"])
    start = chance.choice(["/v2/models/", "/v2/hsfusion_adapt/", "/v2/", "/", "/metrics", "/v2/health/"])
    end = chance.choice(["", "/infer", "/ready", "/model", "?x=" + "y" * 500])
    return Request(method, start + chance.choice(PATHS) + end, chance.choice([b"", b"{}", b"\0" * 50]))


def _message(tensors: dict[str, np.ndarray], details: Any) -> tuple[bytes, int]:
    body, length = protocol.encode_request(tensors, {"hsfusion": json.dumps(details)})
    return bytes(body), length


def _torn(body: bytes, length: int, chance: random.Random) -> bytes:
    """Cut, stretched, or with other bytes in its head."""
    if chance.random() < 0.4:
        return body[: chance.randrange(len(body))]
    if chance.random() < 0.3:
        return body + bytes(chance.randrange(1, 99))
    torn = bytearray(body)
    for _ in range(chance.randrange(1, 6)):
        torn[chance.randrange(length)] = chance.randrange(256)
    return bytes(torn)


def _mutated(value: Any, chance: random.Random, times: int) -> Any:
    """A copy with junk at some places."""
    found = copy.deepcopy(value)
    for _ in range(times):
        inner = found
        while True:
            names = list(inner) if isinstance(inner, dict) else range(min(len(inner), 5))
            if not names:
                break
            name = chance.choice(list(names))
            if not isinstance(inner[name], (dict, list)) or not inner[name] or chance.random() < 0.35:
                if isinstance(inner, dict) and chance.random() < 0.15:
                    del inner[name]
                else:
                    inner[name] = copy.deepcopy(chance.choice(JUNK))
                break
            inner = inner[name]
    return found
