"""YAML that another wrote, as plain values: no references, no dates, no types of a language, and nothing without a
bound.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

MOST_TEXT = 4_000_000  # bytes
MOST_DEPTH = 32
LARGEST_INTEGER = 2**63
_REFUSED_TAGS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:set")


class _Loader(yaml.SafeLoader):
    """The safe loader, without what makes little text into much: aliases, and nesting that Python cannot follow."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise ValueError("it refers to a part of itself")
        self.depth += 1
        try:
            if self.depth > MOST_DEPTH:
                raise ValueError("it is nested too deeply")
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REFUSED_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def loaded(text: str) -> Any:
    """The plain value of a YAML text: objects with texts as keys, lists, texts, finite numbers, true, false, null;
    dates stay texts.

    ValueError, in words, where it is something else.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"it has {len(text)} characters, and {MOST_TEXT} are the most")
    try:
        value = yaml.load(text, _Loader)  # nosec B506: a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML ({' '.join(str(error).split())[:100]})") from None
    except (TypeError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no YAML ({type(error).__name__})") from None
    _check(value)
    return value


def _check(value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ValueError("a key of it is no text")
            _check(name)
            _check(inner)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, str):
        value.encode("utf-8")  # a UnicodeEncodeError is a ValueError
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number of it is not finite")
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError("a number of it is too large")
    elif value is not None:
        raise ValueError(f"it holds a {type(value).__name__}")
