"""One infer request: read from its bytes, checked and reckoned before anything is computed, and answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request

from ..cards import ModelInfo, find_model
from ..errors import HSFusionError
from ..heap import give_back
from ..runners.engine import Engine
from ..wire import half, protocol
from ..wire.cost import Cost
from .desk import Busy, Desk
from .limits import Limits, TooLarge, announced_bytes

OUTPUTS = ("x", "std")
CLIENT = "X-HSFusion-Client"
"""Header by which all connections of one client are told from those of others, so that clients take turns."""

_MOST_NAME = 64
_DISCARDED = 64 << 20  # bytes of a refused body that are still taken, so that the client hears why
_DISCARD_S = 5.0


@dataclass(frozen=True)
class TileToDo:
    """A tile as it was asked for: its model and the hash that was wanted, its tensors, its request, and how the answer
    is wanted.
    """

    model: ModelInfo
    sha256: str
    tensors: Mapping[str, np.ndarray]
    request: Any
    outputs: list[str]
    binary: bool
    halved: bool

    def reply(self, tensors: dict[str, np.ndarray]) -> tuple[bytes, int | None]:
        """Body and head length of the answer; gives memory back to the system."""
        tensors = {name: array for name, array in tensors.items() if name in self.outputs}
        if self.halved:
            tensors = half.halved(tensors)
        try:
            return protocol.encode_reply(self.model.name, tensors, {"model_sha256": self.model.sha256}, self.binary)
        finally:
            give_back()


def read_tile(engine: Engine, name: str, body: bytearray, head: str | None, limits: Limits) -> TileToDo:
    """What a body asks for; `head` is the header that says how long its JSON is.

    Raises ProtocolError, UnknownModel, ModelError, Malformed, TooMuch, and TooLarge where JSON is used for what should
    be binary.
    """
    length = protocol.head_length(head)
    if length is None and len(body) > limits.json_bytes:
        raise TooLarge(
            f"A request without binary tensors may have {limits.json_bytes >> 10} KiB: use the binary tensor extension."
        )
    message = protocol.decode_request(body, length, limits.head_bytes)
    details = protocol.details(message.parameters)
    binary = protocol.wants_binary(message.head)
    model = find_model(name, engine.places)
    outputs = protocol.wanted_outputs(message.head, OUTPUTS)
    request = engine.request(model, details)
    if hasattr(request, "cost"):
        check_cost(request.cost(model.card), limits, binary)
        request.check_tensors(message.tensors, model.card)
    wanted = str(message.parameters.get("model_sha256") or "") or model.sha256
    return TileToDo(
        model, wanted, message.tensors, request, outputs, binary, bool(message.parameters.get(half.EXTENSION))
    )


def check_cost(cost: Cost, limits: Limits, binary: bool) -> None:
    """TooMuch where a tile costs more than the server gives to one, TooLarge where its answer would be a text of many
    megabytes.
    """
    cost.check(limits.of_a_tile())
    if not binary and cost.reply > limits.json_bytes:
        raise TooLarge("The answer is too large for JSON: ask for it with binary_data_output.")


def client_of(request: Request) -> Hashable:
    """Who asks: what the client calls itself, else its connection."""
    name = request.headers.get(CLIENT, "")
    if 0 < len(name) <= _MOST_NAME and name.isascii() and name.isprintable():
        return name
    return tuple(request.client) if request.client else ""


async def refuse_early(request: Request, desk: Desk, client: Hashable) -> None:
    """Busy where there is no place for this client, after its body has been taken: who sends cannot hear."""
    try:
        desk.admit(client)
    except Busy:
        if announced_bytes(request) <= _DISCARDED:
            await _discarded(request)
        raise


async def _discarded(request: Request) -> None:
    async def read() -> None:
        count = 0
        async for chunk in request.stream():
            count += len(chunk)
            if count > _DISCARDED:
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), _DISCARD_S)


def checked_name(name: Any) -> str:
    """A job's number as clients choose it; HSFusionError for another text."""
    if isinstance(name, str) and 0 < len(name) <= _MOST_NAME and name.isascii() and name.isalnum():
        return name
    raise HSFusionError(f"A job's number must be up to {_MOST_NAME} letters and digits.")
