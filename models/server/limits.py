"""What the server takes on: sizes, times, memory and work of one request, and how many there may be at once. Each has a
bound.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from ..errors import HSFusionError
from ..wire.cost import LIMITS

if TYPE_CHECKING:
    from starlette.requests import Request

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, then of all together.

    request_bytes: the body's. head_bytes: its JSON. json_bytes: a body without binary tensors. memory, reply: bytes
    that a tile may take while it is worked on (0 = a share of the machine's) and that its answer may have. samples;
    passes: samples x steps; work: pixels x passes. job_s: seconds of work on a tile. silence_s: seconds that a client
    may be silent while sending or receiving. body_s and least_rate: a body has so many seconds and one for each
    `least_rate` bytes. head_s: seconds for a request's header lines.

    tiles: in the house at once, running and waiting. house_bytes: of all bodies in the house. connections: open at
    once. batch: waiting tiles of equal shape that go through the network together; 0 = 1 on a CPU, where it does not
    pay, and more on a GPU. minutes: of an adaptation.
    """

    request_bytes: PositiveInt = 512 * _MIB
    head_bytes: PositiveInt = 16 * _MIB
    json_bytes: PositiveInt = 1 * _MIB
    memory: NonNegativeInt = 0
    reply: PositiveInt = LIMITS["reply"]
    samples: PositiveInt = LIMITS["samples"]
    passes: PositiveInt = LIMITS["passes"]
    work: PositiveFloat = LIMITS["work"]
    job_s: PositiveFloat = 3600.0
    silence_s: PositiveFloat = 60.0
    body_s: PositiveFloat = 60.0
    least_rate: PositiveInt = 64 * 1024
    head_s: PositiveFloat = 10.0
    tiles: PositiveInt = 128
    house_bytes: PositiveInt = 2048 * _MIB
    connections: PositiveInt = 1024
    batch: NonNegativeInt = 0
    minutes: PositiveFloat = 240.0

    def of_a_tile(self) -> dict[str, float]:
        """What a tile may cost, in the names of `wire.cost.Cost`: told to clients, which cut their tiles to fit."""
        return {name: getattr(self, name) for name in ("samples", "passes", "memory", "reply", "work")}

    def seconds_for(self, announced: int) -> float:
        """How long a body of so many bytes may take to come."""
        return self.body_s + announced / self.least_rate


DEFAULT_LIMITS = Limits()
DEFAULT_BATCH = 8  # on a GPU


class TooLarge(HSFusionError):
    """The request is larger than the server takes."""


class TooSlow(HSFusionError):
    """The client stopped sending in the middle of a request, or sends it too slowly."""


async def read_body(request: Request, limits: Limits, more: Callable[[int], Any]) -> bytearray:
    """The request's body, counted as it comes (a chunked body announces no length); TooLarge or TooSlow.

    more(bytes): told of what came, may raise to refuse it.
    """
    too_large = TooLarge(
        f"The request is larger than the server's limit of {limits.request_bytes >> 20} MiB: choose a smaller "
        "TILE_SIZE."
    )
    announced = announced_bytes(request)
    if announced > limits.request_bytes:
        raise too_large
    loop = asyncio.get_running_loop()
    begun, body = loop.time(), bytearray()
    chunks = request.stream().__aiter__()
    while True:
        left = begun + limits.seconds_for(max(announced, len(body))) - loop.time()
        try:
            chunk = await asyncio.wait_for(chunks.__anext__(), max(0.001, min(limits.silence_s, left)))
        except StopAsyncIteration:
            return body
        except asyncio.TimeoutError:
            raise TooSlow(f"The request did not come within {loop.time() - begun:.0f} seconds.") from None
        if len(body) + len(chunk) > limits.request_bytes:
            raise too_large
        if len(body) + len(chunk) > announced:
            more(len(body) + len(chunk) - max(announced, len(body)))
        body += chunk


def announced_bytes(request: Request) -> int:
    """The body's length as the request announces it; 0 if it does not."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
