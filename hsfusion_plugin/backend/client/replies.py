"""What a backend's answers mean: the user's sentence for each refusal and failure, and the check of what came back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import requests

from ....models.errors import RunCancelled
from ....models.wire import protocol
from ....models.wire.cost import NAMES
from ....models.wire.text import encodable
from .errors import BackendHasNot, BackendOutOfMemory, BackendRefused, BadReply, TileTooLarge
from .transport import MOST_WORDS, Reply

_LARGEST_REPLY = 4 << 30  # bytes
_BYTES_AS_TEXT = 32  # of a number in JSON
_LONGEST_TRACEBACK = 100_000  # characters
_KNOWN = (
    "connection refused",
    "connection reset",
    "remote end closed connection",
    "name or service not known",
    "network is unreachable",
    "no route to host",
    "certificate has expired",
)


def refuse(response: Reply, endpoint: str) -> NoReturn:
    """Raise what an answer means that is neither a success nor worth another try."""
    status = response.status_code
    try:
        reply = response.json()
        kind, text = told(str(reply.get("error", "")))
        code = protocol.OUT_OF_MEMORY if kind == "OutOfMemory" else str(reply.get("code", ""))
        sentence = encodable(" ".join(text[:2000].split())[:400])
    except (ValueError, AttributeError):
        code, sentence = "", ""
    if code == protocol.CANCELLED:
        raise RunCancelled("The run was cancelled.")
    if code == protocol.OUT_OF_MEMORY or status == 507:
        raise BackendOutOfMemory(sentence or "The backend ran out of memory: choose a smaller TILE_SIZE.")
    if status == 413:
        raise TileTooLarge(sentence or f"{endpoint} does not take requests of this size: choose a smaller TILE_SIZE.")
    if status in (401, 403):
        sentence = f"{endpoint} refused the token (HTTP {status}): check HSFUSION_TOKEN or the HSFusion options."
    elif 300 <= status < 400:
        sentence = (
            f"{endpoint} redirects (HTTP {status}), which is not followed: set HSFUSION_ENDPOINT to the final address."
        )
    elif status == 404:
        sentence = (
            sentence
            or f"{endpoint} does not know this model, or is no Open Inference Protocol v2 server (HTTP 404): check HSFUSION_ENDPOINT."  # noqa: E501
        )
        raise BackendHasNot(sentence)
    raise BackendRefused(sentence or f"{endpoint} refused the request (HTTP {status}): look at the server's log.")


def unsaid(response: Reply) -> bool:
    """Whether an HTTP 500 comes from what stands before the model, which is back in a moment: Ray's proxy, whose
    replica died, sends no JSON, and Triton says that its Python process is not healthy while it starts that anew.
    """
    if response.status_code != 500:
        return False
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return True
    return str(error).rstrip(".").endswith("is not healthy")


def told(text: str) -> tuple[str, str]:
    """The kind of error and its sentence, out of the traceback that Triton sends; what is no traceback comes back as it
    is.
    """
    if "Traceback (most recent" not in text:
        return "", text
    for line in reversed(text[-_LONGEST_TRACEBACK:].splitlines()):
        name, colon, sentence = line.partition(": ")
        if colon and sentence.strip() and all(part.isidentifier() for part in name.split(".")):
            return name.rpartition(".")[2], sentence
    return "", text


def validated(tensors: dict[str, np.ndarray], expect: Mapping[str, tuple[int, ...]] | None) -> dict[str, np.ndarray]:
    """The tensors of a reply as float32; BadReply if one is missing, of another shape, not floating point or not
    finite.
    """
    for name, shape in (expect or {}).items():
        if name not in tensors:
            raise BadReply(f"The backend's reply lacks the tensor '{name}'.")
        if tensors[name].shape != tuple(shape):
            raise BadReply(
                f"The backend's reply has '{name}' of shape {tensors[name].shape} instead of {tuple(shape)}."
            )
    result = {}
    for name, array in tensors.items():
        if array.dtype.kind != "f":
            raise BadReply(f"The backend's reply has '{name}' of type {array.dtype} instead of floating point.")
        if not np.isfinite(array).all():
            raise BadReply(
                f"The backend's reply has values in '{name}' that are not finite: the model or its device is at fault."
            )
        result[name] = array.astype(np.float32, copy=False)
    return result


def retry_after(response: Reply) -> float:
    """The seconds that a server asks to wait, at most a minute."""
    try:
        seconds = float(response.headers.get("Retry-After", 0))
    except ValueError:  # a date, which nobody sends
        return 0.0
    return min(60.0, max(0.0, seconds)) if math.isfinite(seconds) else 0.0


def count_of(told: Mapping[str, Any], name: str) -> int | None:
    """A number of things that a server tells; None where it tells none that could be."""
    value = told.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else None


def limits_of(told: Mapping[str, Any]) -> dict[str, float]:
    """What a tile may cost at a server, of all that it tells."""
    limits = told.get("limits")
    if not isinstance(limits, dict):
        return {}
    good = {name: value for name, value in limits.items() if name in NAMES and isinstance(value, (int, float))}
    return {name: float(value) for name, value in good.items() if not isinstance(value, bool) and 0 < value < 1e300}


def extensions_of(server: Mapping[str, Any]) -> list[str]:
    """The extensions that a server names."""
    named = server.get("extensions")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def most_bytes(expect: Mapping[str, tuple[int, ...]] | None) -> int:
    """Of a reply with these tensors, JSON in place of binary included; without an expectation what fits into memory."""
    if expect is None:
        return _LARGEST_REPLY
    return MOST_WORDS + _BYTES_AS_TEXT * sum(math.prod(shape) for shape in expect.values())


def reason(error: BaseException) -> str:
    """The innermost cause in a few words, out of the nest of exceptions of requests and urllib3."""
    if isinstance(error, requests.Timeout):
        return "timed out"
    text = str(error)
    for known in _KNOWN:
        if known in text.lower():
            return known
    return " ".join(text.split())[:160] or type(error).__name__
