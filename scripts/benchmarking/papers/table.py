"""The papers' tables: what was measured here beside what is printed there."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsfusion.scripts.benchmarking.papers.catalogue import DataSet

OURS = {"network": "this network, measured", "interpolation": "interpolation, measured", "glp-hs": "GLP-HS, measured"}


def tables(paper: str, results: list[tuple[DataSet, dict[str, Any]]], command: str) -> list[str]:
    """Markdown: one table per data set, means over its test scenes."""
    lines = [f"# {paper}: the paper's tables", ""]
    for data, found in results:
        lines += [f"## {data.name} ({data.table})", "", *_table(data, found), ""]
    lines += [
        "PSNR is the mean over bands of 8-bit images, peak 255; SAM in degrees; ERGAS with the ratio of pixel sizes; "
        "without a truth D_LAMBDA,",
        "D_S and HQNR. Printed numbers are those of the paper that are known here; columns left empty are not.",
        "",
        f"Command: `{command}`",
        "",
    ]
    return lines


def _table(data: DataSet, found: dict[str, Any]) -> list[str]:
    scenes = found["scenes"]
    lines = [f"| method | {' | '.join(data.columns)} |", "|---|" + "---|" * len(data.columns)]
    for method, says in OURS.items():
        rows = [scene[method] for scene in scenes.values()]
        means = {column: float(np.mean([row[column] for row in rows])) for column in data.columns}
        lines.append(_line(says, means, data.columns))
    lines += [_line(f"{method}, printed", numbers, data.columns) for method, numbers in data.printed.items()]
    lines += ["", f"{len(scenes)} test scenes; training steps {' + '.join(map(str, found['steps']))}."]
    if found["missing"]:
        lines.append(f"Not there, and so left out: {', '.join(found['missing'])}.")
    return lines


def _line(name: str, numbers: dict[str, float], columns: tuple[str, ...]) -> str:
    return f"| {name} | {' | '.join(f'{numbers[c]:.4g}' if c in numbers else '' for c in columns)} |"
