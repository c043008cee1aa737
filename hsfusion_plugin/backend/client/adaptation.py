"""Scene adaptation at a backend that offers it, the extension `hsfusion_adapt`: start a job, ask how far it is, fetch
the model, end it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import Any, Callable

from ....models.errors import HSFusionError
from ....models.listener import never
from ....models.wire import protocol
from ....models.wire.adaptation import AdaptationRequest, Facts
from ....models.wire.scene_training import SceneTrainingRequest
from ....models.wire.values import Malformed
from .client import Client
from .errors import BackendError, BackendRefused
from .replies import count_of, extensions_of
from .transport import Reply

EXTENSION = "hsfusion_adapt"
LARGEST_MODEL = 1 << 30  # bytes
_LAST_WORD_S = 1.0  # for telling a server that its job is no longer wanted


class AdaptationJob:
    """One adaptation of `model` at the backend behind `client`, or the training on a scene that starts from no model;
    leaving the `with` block ends it there.
    """

    def __init__(self, client: Client, model: str = "") -> None:
        self._client, self._model = client, model
        self._number = secrets.token_hex(8)
        self._path = f"/v2/{EXTENSION}"

    def __enter__(self) -> AdaptationJob:
        return self

    def __exit__(self, *_: Any) -> None:
        end = time.monotonic() + _LAST_WORD_S
        # It may be gone, or out of reach: then the server ends the job by itself.
        with contextlib.suppress(HSFusionError):
            self._client.exchange("DELETE", f"{self._path}/{self._number}", _anything, lambda: time.monotonic() > end)

    def start(self, request: AdaptationRequest | SceneTrainingRequest, cancelled: Callable[[], bool] = never) -> Facts:
        """Send the examples; BackendRefused where the backend offers no adaptation or does not take that much."""
        server = self._client.server(cancelled)
        if EXTENSION not in extensions_of(server):
            raise BackendRefused(
                f"The server at {self._client.endpoint} does not offer scene adaptation: set BACKEND to local, or use "
                "a server that does."
            )
        tensors, plain = request.to_message()
        plain["job"] = self._number
        parameters = {"hsfusion": json.dumps(plain), "model_sha256": self._client.sha256(self._model)}
        body, length = protocol.encode_request(tensors, parameters)
        ours = server.get("hsfusion")
        limit = count_of(ours, "request_bytes") if isinstance(ours, dict) else None
        if limit is not None and len(body) > limit:
            raise BackendRefused(
                f"{self._client.endpoint} takes requests up to {limit >> 20} MiB, and this adaptation needs "
                f"{len(body) / 2**20:.0f}: set BACKEND to local."
            )
        headers = {"Content-Type": "application/octet-stream", protocol.HEAD_LENGTH: str(length)}
        return self._client.exchange("POST", self._path, _facts, cancelled, body, headers)

    def facts(self, cancelled: Callable[[], bool] = never) -> Facts:
        """How far the job is; BackendError where it failed or was cancelled."""
        facts: Facts = self._client.exchange("GET", f"{self._path}/{self._number}", _facts, cancelled)
        if facts.state in ("failed", "cancelled"):
            raise BackendError(facts.error or "The backend ended the adaptation: look at its log.")
        return facts

    def model(self, cancelled: Callable[[], bool] = never) -> bytes:
        """The adapted model's file."""
        path = f"{self._path}/{self._number}/model"
        return self._client.exchange("GET", path, _content, cancelled, most=LARGEST_MODEL)


def _facts(response: Reply) -> Facts:
    try:
        return Facts.from_message(response.json())
    except Malformed as error:
        raise ValueError(str(error)) from None


def _anything(response: Reply) -> None:
    """The last word needs no answer."""


def _content(response: Reply) -> bytes:
    return bytes(response.content)
