"""The wire: Open Inference Protocol v2 over HTTP with the binary tensor extension, for both ends of it.

A message is a JSON head, then the raw little-endian bytes of each tensor in the order of the head; the HTTP header
`Inference-Header-Content-Length` says where the head ends (https://github.com/kserve/open-inference-protocol,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import HSFusionError
from .text import MOST_TEXT, parsed, quoted

WIRE_VERSION = 4
"""Counts up when the meaning of HSFusion's own tensors or parameters changes in a way that the other end must know."""

HEAD_LENGTH = "Inference-Header-Content-Length"
DTYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "INT32": "<i4", "INT64": "<i8", "UINT8": "|u1", "BOOL": "|b1"}
MOST_TENSORS = 4096
MOST_AXES = 8
LONGEST_NAME = 200
LARGEST_JSON_REPLY = 1 << 28  # bytes of a reply without binary tensors, from servers that know no other
_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}

# Codes that go with an error's sentence: {"error": sentence, "code": code}.
BAD_REQUEST = "bad-request"
BUSY = "busy"
CANCELLED = "cancelled"
INTERNAL = "internal"
MODEL_CHANGED = "model-changed"
OUT_OF_MEMORY = "out-of-memory"
REFUSED = "refused"
TOO_LARGE = "too-large"
UNAUTHORIZED = "unauthorized"
UNKNOWN_MODEL = "unknown-model"


class ProtocolError(HSFusionError):
    """A message breaks the protocol: cut short, of the wrong size, or not what its head says."""


class Body:
    """A message in parts, which are sent one after the other as often as it takes: joined it would be there twice."""

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return iter(self._parts)

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)


@dataclass(frozen=True)
class Message:
    """A message's tensors, the parameters of the request or reply, and its head as it came."""

    tensors: dict[str, np.ndarray]
    parameters: dict[str, Any]
    head: dict[str, Any]


def encode_request(tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Any]) -> tuple[Body, int]:
    """Body and head length of an infer request that asks for a binary reply."""
    return _encode("inputs", tensors, {"parameters": {**parameters, "binary_data_output": True}})


def encode_reply(
    model: str, tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Any], binary: bool = True
) -> tuple[bytes, int | None]:
    """Body and head length of an infer reply; plain JSON (no head length) if the client did not ask for binary
    tensors.
    """
    head: dict[str, Any] = {"model_name": model, "parameters": dict(parameters)}
    if binary:
        body, length = _encode("outputs", tensors, head)
        return bytes(body), length
    head["outputs"] = [
        {"name": name, "datatype": _NAMES[array.dtype], "shape": list(array.shape), "data": array.ravel().tolist()}
        for name, array in ((name, _plain(name, array)) for name, array in tensors.items())
    ]
    try:
        return json.dumps(head, allow_nan=False).encode("utf-8"), None
    except ValueError:
        raise ProtocolError("The result holds numbers that are not finite, which JSON cannot carry.") from None


def decode_request(body: bytes | bytearray, head_length: int | None, most_head: int = MOST_TEXT) -> Message:
    """Read an infer request whose JSON has at most `most_head` bytes; ProtocolError if it is malformed."""
    return _decode("inputs", body, head_length, most_head)


def decode_reply(body: bytes | bytearray, head_length: int | None) -> Message:
    """Read an infer reply; ProtocolError if it is malformed or cut short."""
    return _decode("outputs", body, head_length, LARGEST_JSON_REPLY)


def details(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """HSFusion's own part of a request's parameters, which travels as JSON text; ProtocolError if it is anything else
    than an object.
    """
    try:
        found = parsed(parameters.get("hsfusion", "{}"))
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise ProtocolError("The parameter 'hsfusion' must be a JSON object, as text.")
    return found


def wants_binary(head: Mapping[str, Any]) -> bool:
    """Whether a request's head asks for binary outputs, for all of them or for each."""
    if _object(head.get("parameters"), "parameters").get("binary_data_output"):
        return True
    outputs = head.get("outputs") or []
    return bool(outputs) and all(
        _object(o.get("parameters"), "outputs' parameters").get("binary_data") for o in outputs
    )


def wanted_outputs(head: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """The outputs that a request's head names, all of `known` where it names none; ProtocolError for others."""
    known, outputs = list(known), head.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise ProtocolError("The request's outputs must be a list of objects.")
    names = [output.get("name") for output in outputs]
    for name in names:
        if name not in known:
            raise ProtocolError(f"There is no output '{quoted(name)}': a model gives {', '.join(known)}.")
    return names or known


def head_length(text: str | None) -> int | None:
    """The value of the header HEAD_LENGTH; ProtocolError if it is no number."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ProtocolError(f"The header {HEAD_LENGTH} must be a number.")
    return int(text)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    """`value` if it is an object, {} for nothing."""
    if value is not None and not isinstance(value, dict):
        raise ProtocolError(f"The message's {name} must be an object.")
    return value or {}


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in _NAMES:
        raise ProtocolError(f"Tensor '{name}' has type {array.dtype}, which the protocol does not carry.")
    return array


def _encode(key: str, tensors: Mapping[str, np.ndarray], head: dict[str, Any]) -> tuple[Body, int]:
    arrays = {name: _plain(name, np.asarray(array)) for name, array in tensors.items()}
    head[key] = [
        {
            "name": name,
            "datatype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    text = json.dumps(head, allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 64)  # tensors then start aligned, and the other end need not copy them
    return Body([text, *(memoryview(array).cast("B") for array in arrays.values() if array.size)]), len(text)


def _decode(key: str, body: bytes | bytearray, head_length: int | None, most_head: int) -> Message:
    length = len(body) if head_length is None else head_length
    if not 0 <= length <= len(body):
        raise ProtocolError(f"The message says that its head has {length} bytes, but only {len(body)} bytes came.")
    if length > most_head:
        raise ProtocolError(
            f"The message's JSON has {length} bytes and {most_head} are the most: send tensors in binary form."
        )
    try:
        head = parsed(memoryview(body)[:length], most_head)
        entries: list[dict[str, Any]] = head[key]
        parameters = head.get("parameters") or {}
        if not (isinstance(entries, list) and len(entries) <= MOST_TENSORS and isinstance(parameters, dict)):
            raise TypeError(key)
        tensors: dict[str, np.ndarray] = {}
        position = length
        for entry in entries:
            name = entry["name"]
            if not (isinstance(name, str) and len(name) <= LONGEST_NAME):
                raise ProtocolError(f"A tensor's name must be a text of at most {LONGEST_NAME} characters.")
            if name in tensors:
                raise ProtocolError(f"The message holds two tensors called '{quoted(name)}'.")
            tensors[name], position = _tensor(name, entry, body, position)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ProtocolError(
            f"The message's head is not that of an Open Inference Protocol message ({type(error).__name__})."
        ) from error
    if position != len(body):
        raise ProtocolError(f"The message has {len(body) - position} bytes more than its head says.")
    return Message(tensors, parameters, head)


def _tensor(name: str, entry: dict[str, Any], body: bytes | bytearray, position: int) -> tuple[np.ndarray, int]:
    name, shape = quoted(name), entry["shape"]
    if not (isinstance(entry["datatype"], str) and entry["datatype"] in DTYPES):
        raise ProtocolError(f"Tensor '{name}' has type {quoted(entry['datatype'])}, which HSFusion does not use.")
    if not (
        isinstance(shape, list)
        and len(shape) <= MOST_AXES
        and all(isinstance(side, int) and not isinstance(side, bool) and 0 <= side < 2**63 for side in shape)
    ):
        raise ProtocolError(f"Tensor '{name}' has the impossible shape {quoted(shape)}.")
    shape = tuple(shape)
    dtype = np.dtype(DTYPES[entry["datatype"]])
    count = math.prod(shape)
    if "data" in entry:
        array = np.asarray(entry["data"])
        if array.size and array.dtype.kind not in "biuf":
            raise ProtocolError(f"Tensor '{name}' holds something else than numbers.")
        array = array.astype(dtype).ravel()
        if array.size != count:
            raise ProtocolError(f"Tensor '{name}' has {array.size} numbers, its shape {shape} needs {count}.")
        return array.reshape(shape), position
    size = _object(entry.get("parameters"), "inputs' parameters").get("binary_data_size")
    if isinstance(size, bool) or not isinstance(size, int) or size != count * dtype.itemsize:
        raise ProtocolError(
            f"Tensor '{name}' announces {quoted(size)} bytes, its shape {shape} needs {count * dtype.itemsize}."
        )
    if position + size > len(body):
        raise ProtocolError(f"The message is cut short within tensor '{name}'.")
    array = np.frombuffer(body, dtype, count, position).reshape(shape)
    return np.require(array, requirements=["ALIGNED", "WRITEABLE"]), position + size
