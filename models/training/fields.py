"""Configurations as frozen dataclasses: plain YAML values in, every key checked by name and type."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

from ..errors import HSFusionError

KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
NESTED: dict[str, type] = {}
Class = TypeVar("Class", bound=type)


def nested(cls: Class) -> Class:
    """A dataclass that may stand inside a configuration; `shorthand` names the key that a bare text stands for."""
    NESTED[cls.__name__] = cls
    return cls


def build(cls: type, plain: dict[str, Any], prefix: str = "") -> Any:
    """An instance of the dataclass `cls` from a mapping; HSFusionError names a key that is unknown, missing or of a
    wrong type.
    """
    known = {f.name: f for f in fields(cls)}
    for key in plain:
        if key not in known:
            raise HSFusionError(
                f"The configuration's key {prefix}{key} is unknown; known keys are {', '.join(sorted(known))}."
            )
    values = {}
    for name, spec in known.items():
        if name in plain:
            values[name] = coerce(plain[name], str(spec.type), f"{prefix}{name}")
        elif spec.default is MISSING and spec.default_factory is MISSING:
            raise HSFusionError(f"The configuration's key {prefix}{name} is missing.")
    return cls(**values)


def coerce(value: Any, kind: str, key: str) -> Any:
    """`value` as the type that the annotation `kind` names."""
    if kind in NESTED:
        return _coerce_nested(value, NESTED[kind], key)
    if kind.startswith("tuple"):
        first, second = kind[len("tuple[") : -1].split(", ")
        if not isinstance(value, list):
            raise HSFusionError(f"The configuration's key {key} must be a list, but it is {value!r}.")
        values = tuple(coerce(v, first, f"{key}[{i}]") for i, v in enumerate(value))
        if second != "..." and (len(values) != 2 or values[0] > values[1]):
            raise HSFusionError(f"The configuration's key {key} must be a range [low, high], but it is {value!r}.")
        return values
    if kind.startswith("dict"):
        if not isinstance(value, dict):
            raise HSFusionError(f"The configuration's key {key} must be a mapping.")
        return value
    if not isinstance(value, KINDS[kind]) or (kind != "bool" and isinstance(value, bool)):
        raise HSFusionError(f"The configuration's key {key} must be of type {kind}, but it is {value!r}.")
    return value


def _coerce_nested(value: Any, cls: Any, key: str) -> Any:
    shorthand = getattr(cls, "shorthand", "")
    if shorthand and isinstance(value, str):
        value = {shorthand: value}
    if not isinstance(value, dict):
        raise HSFusionError(f"The configuration's key {key} must be a mapping.")
    return build(cls, value, f"{key}.")


def require(holds: bool, key: str, rule: str, value: Any) -> None:
    """HSFusionError `The configuration's key KEY must RULE, but it is VALUE.` where a check fails."""
    if not holds:
        raise HSFusionError(f"The configuration's key {key} must {rule}, but it is {value}.")


def plain(value: Any) -> Any:
    """Tuples as lists: YAML's safe dialect has none."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (tuple, list)) else value
