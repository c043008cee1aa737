"""Band formulas: parsed into a tree of a few allowed operations, never evaluated as code."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from ...errors import HSFusionError

INDICES = {
    "NDVI": "(w842 - w665) / (w842 + w665)",
    "NDWI": "(w560 - w842) / (w560 + w842)",
    "NDRE": "(w790 - w720) / (w790 + w720)",
    "PRI": "(w531 - w570) / (w531 + w570)",
    "REIP": "700 + 40 * ((w670 + w780) / 2 - w700) / (w740 - w700)",
    "CLAY": "w1650 / w2200",
    "IRON": "w665 / w490",
}
FARTHEST_NM = 25.0  # that a wavelength may lie from the nearest band
LONGEST = 1000  # characters
MOST_PARTS = 400  # of a formula
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "sqrt": (np.sqrt, 1),
    "log": (np.log, 1),
    "exp": (np.exp, 1),
    "abs": (np.abs, 1),
    "minimum": (np.minimum, 2),
    "maximum": (np.maximum, 2),
}
_NAME = re.compile(r"(?P<kind>[bBwW])(?P<number>\d+(?:_\d+)?)$")


@dataclass(frozen=True)
class Formula:
    """A formula of bands; called with spectra (L, ...) it gives (...) float32, NaN where it is not defined."""

    text: str
    tree: ast.expr
    bands: dict[str, int]

    @classmethod
    def parse(cls, text: str, wavelengths: np.ndarray | None, names: Sequence[str], used: Sequence[int]) -> Formula:
        """Of the name of an index or a formula: b12 is band 12 of the file, w842 the band nearest 842 nm, other names
        are bands' own.

        wavelengths (L,) in nm and names (L,) of the bands that take part, whose numbers in the file are `used`.
        HSFusionError where it has an error.
        """
        formula = INDICES.get(text.strip().upper(), text.strip())
        if not formula or len(formula) > LONGEST:
            raise HSFusionError(
                f"FORMULA must have 1 to {LONGEST} characters: give an index such as NDVI, or a formula."
            )
        try:
            tree = ast.parse(formula, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise HSFusionError(f"FORMULA '{text}' cannot be read: check its brackets and signs.") from error
        bands: dict[str, int] = {}
        if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
            raise HSFusionError(f"FORMULA '{text[:40]}...' is too long: compute it in parts.")
        for node in ast.walk(tree):
            _check(node, text)
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node not in called:
                bands[node.id] = _band(node.id, wavelengths, names, used)
        if not bands:
            raise HSFusionError(
                f"FORMULA '{text}' names no band: write b12 for band 12, or w842 for the band at 842 nm."
            )
        return cls(formula, tree, bands)

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = np.asarray(self._value(self.tree, spectra), np.float64)
        found = np.broadcast_to(found, spectra.shape[1:])
        return np.where(np.isfinite(found), found, np.nan).astype(np.float32)

    def _value(self, node: ast.expr, spectra: np.ndarray) -> Any:
        if isinstance(node, ast.Constant):
            return np.float64(node.value)
        if isinstance(node, ast.Name):
            return spectra[self.bands[node.id]].astype(np.float64)
        if isinstance(node, ast.UnaryOp):
            return _OPERATORS[type(node.op)](self._value(node.operand, spectra))
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](self._value(node.left, spectra), self._value(node.right, spectra))
        function, _ = _FUNCTIONS[node.func.id]  # type: ignore[attr-defined]
        return function(*(self._value(argument, spectra) for argument in node.args))  # type: ignore[attr-defined]


def _check(node: ast.AST, text: str) -> None:
    """HSFusionError for whatever is no arithmetic."""
    if isinstance(node, (ast.BinOp, ast.UnaryOp)) and type(node.op) in _OPERATORS:
        return
    if isinstance(node, (ast.Name, ast.Load, *_OPERATORS)):
        return
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and abs(node.value) < 1e30:
        return
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _FUNCTIONS
        and not node.keywords
    ):
        if len(node.args) == _FUNCTIONS[node.func.id][1]:
            return
        raise HSFusionError(f"FORMULA '{text}': {node.func.id} takes {_FUNCTIONS[node.func.id][1]} value(s).")
    raise HSFusionError(
        f"FORMULA '{text}' may hold numbers, bands, + - * / **, brackets and {', '.join(_FUNCTIONS)} only: rewrite it."
    )


def _band(name: str, wavelengths: np.ndarray | None, names: Sequence[str], used: Sequence[int]) -> int:
    """Place among the bands that take part."""
    if name in names:
        return list(names).index(name)
    found = _NAME.match(name)
    if found is None:
        raise HSFusionError(
            f"FORMULA: the raster has no band {name}: write b12 for band 12, or w842 for that at 842 nm."
        )
    number = float(found["number"].replace("_", "."))
    if found["kind"] in "bB":
        if number - 1 not in used:
            raise HSFusionError(
                f"FORMULA: the raster has no usable band {found['number']}: choose one that holds data."
            )
        return list(used).index(int(number) - 1)
    if wavelengths is None:
        raise HSFusionError(
            f"FORMULA names {name}, but the raster has no wavelengths: name bands by number, such as b12."
        )
    nearest = int(np.nanargmin(np.abs(wavelengths - number)))
    if not abs(wavelengths[nearest] - number) <= FARTHEST_NM:
        low, high = np.nanmin(wavelengths), np.nanmax(wavelengths)
        raise HSFusionError(
            f"FORMULA: no band lies near {number:g} nm (the raster has {low:.0f} to {high:.0f} nm): choose another "
            "wavelength."
        )
    return nearest
