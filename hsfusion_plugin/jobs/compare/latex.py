"""The table of a comparison in LaTeX (package booktabs), methods grouped by family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\^{}"}


@dataclass(frozen=True)
class Line:
    """One method: its family, its name, its cells as text, "" where there is no number; best: set in bold."""

    family: str
    name: str
    cells: Sequence[str]
    best: bool = False


def latex_table(heads: Sequence[str], lines: Sequence[Line], caption: str) -> str:
    """A table environment; families in the order in which they first come, methods in their own."""
    rows = []
    for family in dict.fromkeys(line.family for line in lines):
        if family:
            rows.append(f"\\midrule\n\\multicolumn{{{len(heads) + 1}}}{{l}}{{\\textit{{{escaped(family)}}}}} \\\\")
        else:
            rows.append("\\midrule")
        rows += [_row(line) for line in lines if line.family == family]
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{escaped(caption)}}}",
            f"\\begin{{tabular}}{{l{'r' * len(heads)}}}",
            "\\toprule",
            " & ".join(["Method", *map(escaped, heads)]) + " \\\\",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def _row(line: Line) -> str:
    cells = [escaped(line.name), *(escaped(cell) or "--" for cell in line.cells)]
    return " & ".join(f"\\textbf{{{cell}}}" if line.best else cell for cell in cells) + " \\\\"


def escaped(text: str) -> str:
    """A text as LaTeX prints it."""
    return "".join(_SPECIAL.get(character, character) for character in text)
