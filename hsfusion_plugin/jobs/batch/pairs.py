"""The list of pairs that a batch works through."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import HSFusionError

_COLUMNS = ("hsi", "msi", "mask", "output")
_GDAL_NAME = re.compile(r"^(?:[A-Z][A-Za-z0-9_]+:|/vsi)")


@dataclass(frozen=True)
class PairLine:
    """One pair: paths or GDAL strings, and the name of its output below the folder of the batch."""

    hsi: str
    msi: str
    mask: str | None
    output: Path


def read_pairs(path: str | Path, folder: str | Path) -> list[PairLine]:
    """The lines of a CSV with the columns hsi, msi and, if you like, mask and output; relative paths start at the CSV.

    Comma, semicolon or tab, names of columns in any case. An output without a name is called after its HSI.
    HSFusionError: no such columns, an empty field, an output that two lines share or that lies outside of the folder.
    """
    file, root = Path(path), Path(folder).absolute()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise HSFusionError(f"PAIRS: '{path}' cannot be read ({error}); give a CSV file in UTF-8.") from error
    lines = text.splitlines()
    separator = max(",;\t", key=(lines[0] if lines else "").count)
    rows = list(csv.DictReader(lines, delimiter=separator))
    known = {name: name.strip().lower() for name in (rows[0] if rows else {}) if name}
    if not {"hsi", "msi"} <= set(known.values()):
        raise HSFusionError(
            f"PAIRS: '{path}' needs a first line with the columns {', '.join(_COLUMNS)}, and a line for each pair."
        )
    found: list[PairLine] = []
    for number, row in enumerate(rows, 2):
        fields = {known[name]: (value or "").strip() for name, value in row.items() if name in known}
        found.append(_line(fields, file.absolute().parent, root, f"PAIRS: line {number} of '{file.name}'", found))
    return found


def _line(fields: dict[str, str], base: Path, root: Path, where: str, before: list[PairLine]) -> PairLine:
    if not fields["hsi"] or not fields["msi"]:
        raise HSFusionError(f"{where} names no {'HSI' if not fields['hsi'] else 'MSI'}.")
    hsi, msi, mask = (_resolved(fields.get(name, ""), base) for name in ("hsi", "msi", "mask"))
    name = fields.get("output") or _free_name(
        Path(hsi.rstrip("/\\")).stem.strip('"') or "fused", [line.output for line in before], root
    )
    output = (
        (root / name).resolve() if Path(name).suffix.lower() in (".tif", ".tiff") else (root / f"{name}.tif").resolve()
    )
    if root.resolve() not in output.parents:
        raise HSFusionError(f"{where} names the output '{name}', which lies outside of OUTPUT_FOLDER.")
    if any(line.output == output for line in before):
        raise HSFusionError(f"{where} names the output '{output.name}' a second time.")
    return PairLine(hsi, msi, mask or None, output)


def _resolved(text: str, base: Path) -> str:
    if not text or _GDAL_NAME.match(text) or Path(text).is_absolute():
        return text
    return str(base / text)


def _free_name(stem: str, taken: list[Path], root: Path) -> str:
    stem = re.sub(r"[^\w.-]", "_", stem)
    names = (f"{stem}_fused{'' if n == 1 else f'_{n}'}.tif" for n in range(1, len(taken) + 2))
    return next(name for name in names if (root / name).resolve() not in taken)
