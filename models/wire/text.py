"""Text that another process wrote: read within bounds, and quoted without harm."""

from __future__ import annotations

import json
from typing import Any

MOST_TEXT = 1 << 24  # bytes of a message's JSON
MOST_DEPTH = 64  # brackets within brackets
_QUOTED = 60  # characters of a foreign text that a sentence repeats


def parsed(text: bytes | bytearray | memoryview | str, most: int = MOST_TEXT) -> Any:
    """The value of a JSON text; ValueError where it is no JSON, longer than `most` bytes or nested deeper than
    MOST_DEPTH.
    """
    if len(text) > most:
        raise ValueError(f"a JSON text of {len(text)} bytes, and {most} are the most")
    whole = text if isinstance(text, str) else bytes(text).decode("utf-8")
    try:
        value = json.loads(whole)
    except RecursionError:
        raise ValueError("a JSON text that is nested too deeply") from None
    if _deeper(value, MOST_DEPTH):
        raise ValueError("a JSON text that is nested too deeply")
    return value


def quoted(text: Any) -> str:
    """A foreign text for a sentence: short, on one line, and such that every encoding can write it."""
    plain = ascii(str(text))[1:-1]
    return plain if len(plain) <= _QUOTED else plain[:_QUOTED] + "..."


def encodable(text: str) -> str:
    """The text without lone surrogates, which JSON can name and UTF-8 cannot write."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects lie more than `depth` deep. Level by level: a flat list of numbers is passed over
    quickly.
    """
    level = [value]
    for _ in range(depth + 1):
        level = [part for part in level if isinstance(part, (list, dict))]
        if not level:
            return False
        level = [
            inner
            for part in level
            for inner in (part.values() if isinstance(part, dict) else part)
            if isinstance(inner, (list, dict))
        ]
    return bool(level)
