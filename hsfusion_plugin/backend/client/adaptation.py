"""Scene adaptation at a backend that offers it, the extension `hsfusion_adapt`: start a job, ask how far it is, fetch the model, end it."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import Any, Callable

from ....models.errors import HSFusionError
from ....models.wire import protocol
from ....models.wire.adaptation import AdaptationRequest
from .client import Client, never
from .errors import BackendError, BackendRefused
from .transport import Reply

EXTENSION = "hsfusion_adapt"
_LAST_WORD_S = 1.0  # for telling a server that its job is no longer wanted


class AdaptationJob:
    """One adaptation of `model` at the backend behind `client`; leaving the `with` block ends it there."""

    def __init__(self, client: Client, model: str) -> None:
        self._client, self._model = client, model
        self._number = secrets.token_hex(8)
        self._path = f"/v2/{EXTENSION}"

    def __enter__(self) -> AdaptationJob:
        return self

    def __exit__(self, *_: Any) -> None:
        end = time.monotonic() + _LAST_WORD_S
        # It may be gone, or out of reach: then the server ends the job by itself.
        with contextlib.suppress(HSFusionError):
            self._client.exchange("DELETE", f"{self._path}/{self._number}", _json, lambda: time.monotonic() > end)

    def start(self, request: AdaptationRequest, cancelled: Callable[[], bool] = never) -> dict[str, Any]:
        """Send the examples; BackendRefused where the backend offers no adaptation or does not take that much."""
        server = self._client.server(cancelled)
        if EXTENSION not in (server.get("extensions") or ()):
            raise BackendRefused(
                f"The server at {self._client.endpoint} does not offer scene adaptation: set BACKEND to local, or use a server that does."
            )
        tensors, plain = request.to_message()
        plain["job"] = self._number
        parameters = {"hsfusion": json.dumps(plain), "model_sha256": self._client.sha256(self._model)}
        body, length = protocol.encode_request(tensors, parameters)
        limit = (server.get("hsfusion") or {}).get("request_bytes")
        if isinstance(limit, int) and len(body) > limit:
            raise BackendRefused(
                f"{self._client.endpoint} takes requests up to {limit >> 20} MiB, and this adaptation needs {len(body) / 2**20:.0f}: set BACKEND to local."
            )
        headers = {"Content-Type": "application/octet-stream", protocol.HEAD_LENGTH: str(length)}
        return self._client.exchange("POST", self._path, _json, cancelled, body, headers)

    def facts(self, cancelled: Callable[[], bool] = never) -> dict[str, Any]:
        """state, step, loss, gain, seconds_left and, of a job that is done, better, validation_gain and history."""
        facts = self._client.exchange("GET", f"{self._path}/{self._number}", _json, cancelled)
        if facts.get("state") in ("failed", "cancelled"):
            raise BackendError(str(facts.get("error") or "The backend ended the adaptation: look at its log."))
        return facts

    def model(self, cancelled: Callable[[], bool] = never) -> bytes:
        """The adapted model's file."""
        return self._client.exchange("GET", f"{self._path}/{self._number}/model", _content, cancelled)


def _json(response: Reply) -> dict[str, Any]:
    reply = response.json()
    if not isinstance(reply, dict):
        raise ValueError("not a JSON object")
    return reply


def _content(response: Reply) -> bytes:
    return bytes(response.content)
