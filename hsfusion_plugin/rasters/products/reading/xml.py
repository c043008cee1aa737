"""XML by GDAL's own small parser, which knows no entities and so cannot be misused by a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from osgeo import gdal

from .....models.errors import HSFusionError
from ...gdal_calls import collected_errors

MOST_DEPTH = 200  # elements within elements
MOST_TEXT = 20_000_000  # characters


class Node:
    """An element. Names are compared without their name space."""

    def __init__(self, raw: list[Any]) -> None:
        self._raw = raw
        self.name = raw[1].rpartition(":")[2]

    @property
    def children(self) -> list[Node]:
        """The elements inside."""
        return [Node(part) for part in self._raw[2:] if part[0] == gdal.CXT_Element and not part[1].startswith("?")]

    @property
    def text(self) -> str:
        """The text inside, without blanks around it."""
        return "".join(part[1] for part in self._raw[2:] if part[0] == gdal.CXT_Text).strip()

    def attribute(self, name: str) -> str:
        """An attribute; "" where there is none."""
        found = (p[2][1] for p in self._raw[2:] if p[0] == gdal.CXT_Attribute and p[1].rpartition(":")[2] == name)
        return next(found, "")

    def all(self, name: str) -> Iterator[Node]:
        """Every element of this name below, at any depth, in the file's order."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.all(name)

    def first(self, *path: str) -> Node | None:
        """The first element reached by these names, each at any depth below the one before."""
        if not path:
            return self
        for found in self.all(path[0]):
            inner = found.first(*path[1:])
            if inner is not None:
                return inner
        return None

    def value(self, *path: str) -> str:
        """The text of `first`; "" where there is none."""
        found = self.first(*path)
        return found.text if found is not None else ""

    def number(self, *path: str) -> float | None:
        """The text of `first` as a number, or None."""
        return number(self.value(*path))


def number(text: str) -> float | None:
    """A number in a text, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def deeper_than(text: str, most: int) -> bool:
    """Whether elements lie within more than `most` others; in one pass, for what follows is recursive."""
    depth = 0
    for part in text.split("<")[1:]:
        if part.startswith("/"):
            depth -= 1
        elif not part.startswith(("!", "?")) and not part.partition(">")[0].endswith("/"):
            depth += 1
            if depth > most:
                return True
    return False


def parse(text: str, name: str) -> Node:
    """The document's root; HSFusionError where the text is no XML, or one that no product has."""
    if len(text) > MOST_TEXT or deeper_than(text, MOST_DEPTH):
        raise HSFusionError(f"PRODUCT: '{name}' is larger or deeper than any product's metadata: get it again.")
    raw = None
    with collected_errors() as failures:
        raw = gdal.ParseXMLString(text)
    if raw is None:
        reason = (failures or ["empty"])[0]
        raise HSFusionError(
            f"PRODUCT: '{name}' is no whole XML file ({reason}): its download may be incomplete, so get it again."
        )
    tops = [raw] if raw[1] else raw[2:]
    roots = [part for part in tops if part[0] == gdal.CXT_Element and not part[1].startswith("?")]
    if not roots:
        raise HSFusionError(f"PRODUCT: '{name}' holds no XML element: its download may be incomplete, so get it again.")
    return Node(roots[0])
