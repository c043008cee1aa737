"""What the server takes on: the size of one request and the length of the line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import HSFusionError

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(frozen=True)
class Limits:
    """Largest request body in bytes, tiles in the house at once (running and waiting), seconds that a client may be silent while sending.

    batch: waiting tiles of equal shape that go through the network together; 0 = 1 on a CPU, where it does not pay, and more on a GPU.
    """

    request_bytes: int = 512 * 1024 * 1024
    tiles: int = 8
    silence_s: float = 60.0
    batch: int = 0


DEFAULT_LIMITS = Limits()
DEFAULT_BATCH = 8  # on a GPU


class TooLarge(HSFusionError):
    """The request is larger than the server takes."""


class TooSlow(HSFusionError):
    """The client stopped sending in the middle of a request."""


async def read_body(request: Request, limits: Limits) -> bytearray:
    """The request's body, counted as it comes (a chunked body announces no length); TooLarge or TooSlow."""
    too_large = TooLarge(
        f"The request is larger than the server's limit of {limits.request_bytes >> 20} MiB: choose a smaller TILE_SIZE."
    )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limits.request_bytes:
        raise too_large
    body = bytearray()
    chunks = request.stream().__aiter__()
    while True:
        try:
            chunk = await asyncio.wait_for(chunks.__anext__(), limits.silence_s)
        except StopAsyncIteration:
            return body
        except asyncio.TimeoutError:
            raise TooSlow(f"The request stopped coming for {limits.silence_s:.0f} seconds.") from None
        if len(body) + len(chunk) > limits.request_bytes:
            raise too_large
        body += chunk
