"""The client: tiles to a backend and back, over the Open Inference Protocol v2. The same for the local child and any
endpoint.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import quote

import numpy as np
import requests

from ....models import card_schema
from ....models.errors import RunCancelled
from ....models.listener import never
from ....models.wire import half, protocol
from ....models.wire.cost import TooMuch
from ....models.wire.full_band import FullBandRequest
from ....models.wire.text import quoted
from ....models.wire.tile import TileRequest
from ....models.wire.values import plain as to_plain
from .errors import (
    BackendDied,
    BackendError,
    BackendHasNot,
    BackendOutOfMemory,
    BackendRefused,
    BackendUnreachable,
    BadReply,
    TileTooLarge,
)
from .pace import Pace, work_of
from .replies import (
    count_of,
    extensions_of,
    limits_of,
    most_bytes,
    reason,
    refuse,
    retry_after,
    unsaid,
    validated,
)
from .transport import MOST_WORDS, POLL_S, Oversized, Reply, Transport

RETRIED = (408, 429, 502, 503, 504)
LEAST_IN_FLIGHT, MOST_IN_FLIGHT = 2, 4  # tiles that a run sends at a time, more where a server works on several
TRIES = 5
RESTARTS = 3  # of a local child that dies without having finished a tile in between
LONGEST_WAIT_S = 30.0
RETURN_S = 120.0  # a server that has answered before is waited for, it may be on its way back
MOST_MODELS = 1000
_SHORT_REPLY_S = 30.0
_EXCHANGE_S = 120.0


@dataclass(frozen=True)
class Ask:
    """One request to a server. most: bytes of the answer that are read; work: of a tile, from which the pace is
    learned.
    """

    method: str
    path: str
    body: protocol.Body | None = None
    headers: dict[str, str] | None = None
    most: int = MOST_WORDS
    work: float = 0.0


class Client:
    """Speaks with one backend; threads may share it.

    `check` is called while waiting and before each new try, and raises if waiting is in vain (the local child has
    died); `restart` then gives the way to a new one. `patience_s` is how long a server that says it is busy is asked
    again. `replies`: "half" takes FP16 from servers that offer it.
    """

    def __init__(
        self,
        endpoint: str,
        token: str | None = None,
        check: Callable[[], None] | None = None,
        patience_s: float = 600.0,
        replies: str = "full",
        restart: Callable[[BackendDied], Transport] | None = None,
    ) -> None:
        self._transport = Transport(endpoint, token or "")
        self._check = check
        self._restart = restart
        self._patience_s = patience_s
        self._half = replies == "half"
        self._sha256: dict[str, str] = {}
        self._pace = Pace()
        self._answered = False
        self._deaths = 0
        self._largest: int | None = None
        self._limits: dict[str, float] = {}
        self._cards: dict[str, dict[str, Any]] = {}
        self._mending = threading.Lock()
        self.replies = "full"
        self.version = ""
        self.in_flight = LEAST_IN_FLIGHT

    @property
    def endpoint(self) -> str:
        """Where the backend is, without the protocol's paths."""
        return self._transport.endpoint

    def ready(self) -> bool:
        """Whether the backend answers that it is ready, asked once."""
        try:
            return self._transport.call("GET", "/v2/health/ready", never, read_s=_SHORT_REPLY_S).status_code == 200
        except requests.RequestException:
            return False

    def server(self, cancelled: Callable[[], bool] = never) -> dict[str, Any]:
        """What the server says of itself: name, version, extensions, and for one of ours `hsfusion` (wire, device,
        limits).
        """
        server = self._json("/v2", cancelled)
        self.version = quoted(server.get("version", ""))
        ours = server.get("hsfusion")
        if isinstance(ours, dict):
            self._largest = count_of(ours, "request_bytes")
            self._limits = limits_of(ours)
            together = (count_of(ours, "workers") or 1) * (count_of(ours, "batch") or 1)
            self.in_flight = max(LEAST_IN_FLIGHT, min(MOST_IN_FLIGHT, together + 1))
        if self._half and half.EXTENSION in extensions_of(server):
            self.replies = "half"
        return server

    def models(self, cancelled: Callable[[], bool] = never) -> list[dict[str, Any]]:
        """The backend's models: dicts with `name` and, from one of ours, `sha256` and `card`. From then on their hashes
        must not change.

        KServe lists names alone, and Triton has no such list: [].
        """
        try:
            models = self._json("/v2/models", cancelled).get("models")
        except BackendHasNot:
            return []
        if isinstance(models, list):
            models = [{"name": model} if isinstance(model, str) else model for model in models]
        if not (
            isinstance(models, list)
            and all(isinstance(model, dict) and isinstance(model.get("name"), str) for model in models)
        ):
            raise BadReply(f"The endpoint {self.endpoint} does not list its models as an HSFusion server does.")
        if len(models) > MOST_MODELS:
            raise BadReply(f"The endpoint {self.endpoint} lists {len(models)} models, and {MOST_MODELS} are the most.")
        for model in models:
            self.pin(model["name"], model.get("sha256"))
            if "card" in model:
                wrong = card_schema.problem(model["card"])
                if wrong:
                    raise BadReply(f"The card of the model '{quoted(model['name'])}' on {self.endpoint} {wrong}.")
                self._cards[model["name"]] = model["card"]
        return models

    def _check_cost(self, model: str, request: Any) -> None:
        """TileTooLarge where the server has told that it does not give that much to one tile; BackendRefused where no
        smaller one would do.
        """
        card = self._cards.get(model)
        if card is None or not self._limits or not hasattr(request, "cost"):
            return
        try:
            request.cost(card).check(self._limits)
        except TooMuch as error:
            raise (TileTooLarge if error.smaller else BackendRefused)(f"{self.endpoint}: {error}") from None

    def sha256(self, model: str) -> str:
        """The hash of a model as the backend gave it; empty if it never did (a server that is not ours)."""
        return self._sha256.get(model, "")

    def infer(
        self,
        model: str,
        tensors: Mapping[str, np.ndarray],
        request: TileRequest | FullBandRequest | Mapping[str, Any],
        cancelled: Callable[[], bool] = never,
        expect: Mapping[str, tuple[int, ...]] | None = None,
    ) -> dict[str, np.ndarray]:
        """One tile through the whole sampling loop: input tensors to output tensors (float32, finite).

        `request` goes along as JSON; `expect` gives the outputs' names and shapes. Raises RunCancelled, TileTooLarge or
        BackendOutOfMemory (a smaller tile may do), BackendRefused, BackendUnreachable, BackendDied, BadReply.
        """
        self._check_cost(model, request)
        plain = to_plain(request) if isinstance(request, Mapping) else request.to_message()
        parameters = {"hsfusion": json.dumps(plain), "model_sha256": self.sha256(model)}
        if self.replies == "half":
            parameters[half.EXTENSION] = True
        body, length = protocol.encode_request(tensors, parameters)
        if (
            self._largest is not None and len(body) > self._largest
        ):  # a server that refuses may hang up while we still send
            raise TileTooLarge(
                f"{self.endpoint} takes requests up to {self._largest >> 20} MiB: choose a smaller TILE_SIZE."
            )
        headers = {"Content-Type": "application/octet-stream", protocol.HEAD_LENGTH: str(length)}
        path = f"/v2/models/{quote(model, safe='')}/infer"
        work, deaths = work_of(tensors, plain), 0
        while True:
            transport = self._transport
            try:
                reply = self._message(Ask("POST", path, body, headers, most_bytes(expect), work), cancelled)
                break
            except BackendDied as error:
                deaths += 1
                self._mended(transport, error)
                if error.memory and deaths > 1:
                    raise BackendOutOfMemory(
                        "The backend was killed twice at the same tile, most likely because memory ran out: choose a "
                        "smaller TILE_SIZE."
                    ) from error
        self._deaths = 0
        self.pin(model, reply.parameters.get("model_sha256"))
        return validated(half.restored(reply.tensors), expect)

    def _mended(self, transport: Transport, error: BackendDied) -> None:
        """Go on with a new child, once for all threads that saw the old one die; the error itself where there is none
        to be had.
        """
        with self._mending:
            if self._transport is not transport:
                return
            if self._restart is None or self._deaths >= RESTARTS:
                raise error
            self._deaths += 1
            self._transport = self._restart(error)

    def exchange(
        self,
        method: str,
        path: str,
        read: Callable[[Reply], Any],
        cancelled: Callable[[], bool] = never,
        body: protocol.Body | None = None,
        headers: dict[str, str] | None = None,
        most: int = MOST_WORDS,
    ) -> Any:
        """A call that is not the protocol's own (an extension), with the same retries, bounds and errors."""
        return self._call(Ask(method, path, body, headers, most), read, cancelled, lambda: _EXCHANGE_S)

    def _message(self, ask: Ask, cancelled: Callable[[], bool]) -> protocol.Message:
        def read(response: Reply) -> protocol.Message:
            text = response.headers.get(protocol.HEAD_LENGTH, "")
            return protocol.decode_reply(response.content, protocol.head_length(text or None))

        def timed() -> float | None:
            # A child that is there but slow is not given up: its end would be noticed.
            return None if self._check else self._pace.allowed(ask.work)

        return self._call(ask, read, cancelled, timed)

    def _json(self, path: str, cancelled: Callable[[], bool]) -> dict[str, Any]:
        def read(response: Reply) -> dict[str, Any]:
            reply = response.json()
            if not isinstance(reply, dict):
                raise ValueError(path)
            return reply

        return self._call(Ask("GET", path), read, cancelled, lambda: _SHORT_REPLY_S)

    def _call(
        self,
        ask: Ask,
        read: Callable[[Reply], Any],
        cancelled: Callable[[], bool],
        timed: Callable[[], float | None],
    ) -> Any:
        """A call with its retries: on answers that mean "later", on broken connections and on replies cut short. timed:
        seconds for one try, None = as long as it takes.
        """
        stop = self._watching(cancelled)
        started = time.monotonic()
        failures, waits = 0, 0
        while True:
            advice, patience_s, began = 0.0, 0.0, time.monotonic()
            try:
                response = self._transport.call(ask.method, ask.path, stop, ask.body, ask.headers, timed(), ask.most)
                if response.status_code == 200:
                    result = read(response)
                    self._answered = True
                    if ask.work:
                        self._pace.measured(ask.work, time.monotonic() - began)
                    return result
                if response.status_code not in RETRIED and not unsaid(response):
                    refuse(response, self.endpoint)
                advice = retry_after(response)
                patience_s = self._patience_s if response.status_code in (429, 503) else 0.0
                problem: BackendError = BackendUnreachable(
                    f"{self.endpoint} has no time (HTTP {response.status_code}): try again later."
                )
            except Oversized as error:
                raise BadReply(f"{self.endpoint} answers what was not asked for: {error}.") from error
            except (protocol.ProtocolError, ValueError) as error:
                problem = BadReply(
                    f"The reply of {self.endpoint} is damaged ({str(error).rstrip('.')}): try again, or look at its "
                    "log."
                )
            except requests.exceptions.SSLError as error:
                sentence = f"The certificate of {self.endpoint} is not trusted ({reason(error)}): install its authority's certificate."  # noqa: E501
                raise BackendRefused(sentence) from error
            except requests.RequestException as error:
                problem = BackendUnreachable(
                    f"{self.endpoint} does not answer ({reason(error)}): check the address and that the server runs."
                )
                if isinstance(error, requests.ConnectionError) and self._answered:
                    patience_s = min(RETURN_S, self._patience_s)
            waits += 1
            failures += 0 if patience_s else 1
            if failures >= TRIES or (patience_s and time.monotonic() > started + patience_s):
                raise problem
            _wait(max(advice, min(LONGEST_WAIT_S, 0.25 * 2**waits) * random.uniform(0.5, 1.0)), stop)  # nosec B311

    def _watching(self, cancelled: Callable[[], bool]) -> Callable[[], bool]:
        def stop() -> bool:
            if self._check:
                self._check()
            return cancelled()

        return stop

    def pin(self, model: str, sha256: Any) -> None:
        """From now on the model must be the one of this hash; without one nothing changes."""
        if not sha256:
            return
        if self._sha256.setdefault(model, str(sha256)) != sha256:
            raise BadReply(f"The model '{model}' on {self.endpoint} changed during the run: start the run again.")


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stop():
            raise RunCancelled("The run was cancelled.")
        time.sleep(min(POLL_S, max(0.0, end - time.monotonic())))
