"""Dataclasses as plain values (what JSON holds) and back: every value is read by its field's type, within its range and
with its shape.

The fields' annotations say the types: float, int, bool, str, numpy.ndarray (float64), range (as [start, stop]), tuples
of a fixed or free length, another dataclass, each also `| None`. Rules add what a type does not say.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import HSFusionError
from .text import quoted

LARGEST = 1e30  # of a number that is no size: its square is far from the largest float64
LARGEST_INTEGER = 2**53
MOST_NUMBERS = 4_000_000  # of one array
MOST_AXES = 4
MOST_ITEMS = 10_000  # of a list that is no array
LONGEST_TEXT = 300

T = TypeVar("T")


class Malformed(HSFusionError):
    """A message holds something else than it should; the sentence names the place."""


@dataclass(frozen=True)
class Rules:
    """What a field's type does not say, by the field's place such as `kernel.weights`.

    shapes: the axes of an array, one letter each ("K l"); a letter means the same size everywhere in the message.
    sizes: the most that a letter may mean. ranges: least and most of a number, or of all numbers of an array. choices:
    the texts that are possible.
    """

    shapes: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def under(self, place: str) -> Rules:
        """The same rules for a message that holds this one at `place`."""
        shapes, ranges, choices = (
            {f"{place}.{name}": rule for name, rule in table.items()}
            for table in (self.shapes, self.ranges, self.choices)
        )
        return Rules(shapes, self.sizes, ranges, choices)

    def __or__(self, other: Rules) -> Rules:
        """Both."""
        return Rules(
            {**self.shapes, **other.shapes},
            {**self.sizes, **other.sizes},
            {**self.ranges, **other.ranges},
            {**self.choices, **other.choices},
        )


def plain(value: Any) -> Any:
    """A value as JSON can write it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, range):
        return [value.start, value.stop]
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value


def read(kind: type[T], value: Any, rules: Rules, sizes: dict[str, int] | None = None) -> T:
    """The dataclass `kind` out of a plain value; Malformed where a value is missing, unknown, of another type, shape or
    size.

    sizes: what the letters of shapes mean; it is completed on the way.
    """
    return _Reader(rules, {} if sizes is None else sizes).of_class(kind, value, "")


class _Reader:
    def __init__(self, rules: Rules, sizes: dict[str, int]) -> None:
        self._rules, self._sizes = rules, sizes

    def of_class(self, kind: type[T], value: Any, place: str) -> T:
        if not isinstance(value, dict):
            raise Malformed(f"{place or 'The message'} must be an object.")
        known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
        unknown = sorted(set(value) - set(known))
        if unknown:
            raise Malformed(f"{_at(place, quoted(unknown[0]))} is not known.")
        found: dict[str, Any] = {}
        for name, wanted in kinds(kind).items():
            if name in value:
                found[name] = self._of(wanted, value[name], _at(place, name))
            elif known[name].default is MISSING and known[name].default_factory is MISSING:
                raise Malformed(f"{_at(place, name)} is missing.")
        return kind(**found)

    def _of(self, kind: Any, value: Any, place: str) -> Any:
        if get_origin(kind) is Union:
            if value is None:
                return None
            kind = next(part for part in get_args(kind) if part is not type(None))
        if is_dataclass(kind):
            return self.of_class(kind, value, place)
        if kind is np.ndarray:
            return self._array(value, place)
        if kind is range:
            return self._range(value, place)
        if kind in (float, int):
            return self._number(kind, value, place)
        if kind is bool:
            if not isinstance(value, bool):
                raise Malformed(f"{place} must be true or false.")
            return value
        if kind is str:
            return self._text(value, place)
        if get_origin(kind) is tuple:
            parts = get_args(kind)
            if not isinstance(value, list) or len(value) > MOST_ITEMS:
                raise Malformed(f"{place} must be a list of at most {MOST_ITEMS} values.")
            if parts[-1] is Ellipsis:
                parts = parts[:1] * len(value)
            if len(value) != len(parts):
                raise Malformed(f"{place} must be a list of {len(parts)} values.")
            return tuple(self._of(part, item, place) for part, item in zip(parts, value))
        raise TypeError(f"{place}: {kind} does not travel")

    def _number(self, kind: type, value: Any, place: str) -> float | int:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or (kind is int and not isinstance(value, int))
        ):
            raise Malformed(f"{place} must be {'an integer' if kind is int else 'a number'}.")
        default = (-LARGEST, LARGEST) if kind is float else (-LARGEST_INTEGER, LARGEST_INTEGER)
        least, most = self._rules.ranges.get(place, default)
        if not least <= value <= most:  # NaN too
            raise Malformed(f"{place} must be {least:g} to {most:g}.")
        return kind(value)

    def _text(self, value: Any, place: str) -> str:
        if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
            raise Malformed(f"{place} must be a text of one line and at most {LONGEST_TEXT} characters.")
        choices = self._rules.choices.get(place)
        if choices is not None and value not in choices:
            raise Malformed(f"{place} must be one of {', '.join(choices)}.")
        return value

    def _range(self, value: Any, place: str) -> range:
        if not (isinstance(value, list) and len(value) == 2):
            raise Malformed(f"{place} must be a first and a last number.")
        first, last = (self._number(int, end, place) for end in value)
        if first >= last:
            raise Malformed(f"{place} is empty.")
        return range(first, last)

    def _array(self, value: Any, place: str) -> np.ndarray:
        array = _numbers(value, place)
        least, most = self._rules.ranges.get(place, (-LARGEST, LARGEST))
        if array.size and not (array.min() >= least and array.max() <= most):  # NaN too
            raise Malformed(f"{place} must hold numbers from {least:g} to {most:g}.")
        letters = self._rules.shapes.get(place)
        if letters is not None:
            self._shaped(array, letters.split(), place)
        return array

    def _shaped(self, array: np.ndarray, letters: list[str], place: str) -> None:
        if array.ndim != len(letters):
            raise Malformed(f"{place} must have {len(letters)} axes.")
        for letter, size in zip(letters, array.shape):
            if not size <= self._rules.sizes.get(letter, MOST_NUMBERS):
                raise Malformed(f"{place} is larger than HSFusion works with.")
            if self._sizes.setdefault(letter, size) != size:
                raise Malformed(f"{place} has {size} values along an axis where {self._sizes[letter]} belong.")


def _numbers(value: Any, place: str) -> np.ndarray:
    """A nested list of numbers as float64."""
    wrong = Malformed(f"{place} must be a list of numbers.")
    if isinstance(value, np.ndarray):  # within one process nothing is written out
        value = value.tolist()
    if not isinstance(value, list):
        raise wrong
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # lists of unequal lengths
        raise wrong from None
    if not array.size:
        return array.astype(np.float64)
    if array.dtype.kind not in "iuf" or array.ndim > MOST_AXES or array.size > MOST_NUMBERS:
        raise wrong
    return array.astype(np.float64)


@functools.lru_cache(maxsize=64)
def kinds(kind: type) -> dict[str, Any]:
    """Field -> type of a dataclass; `X | None` is read on every version of Python."""
    texts = {f.name: f.type for f in fields(kind)}
    optional = {
        name: f"Optional[{text[: -len(' | None')]}]" if isinstance(text, str) and text.endswith(" | None") else text
        for name, text in texts.items()
    }
    stand_in = type(kind.__name__, (), {"__annotations__": optional, "__module__": kind.__module__})
    scope = {**vars(sys.modules[kind.__module__]), "Optional": Optional}
    return get_type_hints(stand_in, scope)


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
