"""Tables of spectral response as people have them: any usual delimiter, decimal points or commas, any usual
encoding.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import HSFusionError

_DELIMITERS = ("\t", ";", "|", ",", " ")
_WAVELENGTH = re.compile(r"wave|wl\b|wl_|lambda|λ|nm\b|nanomet|microm|[uµμ]m\b", re.IGNORECASE)
_NANOMETRES = re.compile(r"nm(?![a-z])|nanomet", re.IGNORECASE)
_LARGEST_UM = 30.0  # larger numbers are nanometres
_EXPECTED = "one column of wavelengths in nm and one column of numbers per MSI band, under a header"


@dataclass(frozen=True)
class ResponseTable:
    """wavelengths (N,) in nm, ascending; curves (l, N), none negative; names of the l columns."""

    wavelengths: np.ndarray
    curves: np.ndarray
    names: tuple[str, ...]


def read_response_table(path: Path | str) -> ResponseTable:
    """Read a CSV with a column of wavelengths (the first, or the one that its name tells) and a column per MSI band.

    Raises HSFusionError, one sentence, where the file is no such table.
    """
    try:
        text = _decoded(Path(path).read_bytes())
    except OSError as error:
        raise HSFusionError(f"The spectral response file {path} cannot be read ({error.strerror or error}).") from error
    lines = [line for line in text.splitlines() if line.strip(" \t;,|") and not line.lstrip().startswith("#")]
    found = next((table for delimiter in _DELIMITERS if (table := _table(lines, delimiter)) is not None), None)
    if found is None:
        raise HSFusionError(f"The spectral response file {path} is no table that can be read: it needs {_EXPECTED}.")
    names, values = found
    column = next((i for i, name in enumerate(names) if _WAVELENGTH.search(name)), 0)
    order = np.argsort(values[:, column], kind="stable")
    grid, curves = values[order, column], np.delete(values[order], column, axis=1).T
    if grid[-1] <= _LARGEST_UM and not _NANOMETRES.search(names[column]):
        grid = 1e3 * grid
    return ResponseTable(grid, np.clip(curves, 0.0, None), tuple(np.delete(names, column).tolist()))


def _decoded(raw: bytes) -> str:
    """Text in UTF-8 or UTF-16, with or without a mark, else in Western Europe's 8 bits."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")
    if b"\0" in raw[:2]:
        return raw.decode("utf-16-be" if raw[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _table(lines: list[str], delimiter: str) -> tuple[list[str], np.ndarray] | None:
    """Names and values (rows, columns), two of each at least; None where the lines are no table with this delimiter."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    if rows and all(row[-1] == "" for row in rows):
        rows = [row[:-1] for row in rows]
    if len(rows) < 2 or len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return None
    names, body = rows[0], rows[1:]
    if None not in map(_number, names):
        names, body = [f"column {i + 1}" for i in range(len(names))], rows
    values = [[_number(cell) for cell in row] for row in body]
    if len(values) < 2 or any(value is None for row in values for value in row):
        return None
    return names, np.array(values, float)


def _number(cell: str) -> float | None:
    word = cell.replace(",", ".") if re.fullmatch(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", cell) else cell
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
