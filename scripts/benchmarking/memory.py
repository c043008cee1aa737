"""What a fusion holds in memory at several sizes of raster: what `benchmark.py --memory` prints."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hsfusion.models.errors import HSFusionError
from hsfusion.scripts.benchmarking.speed.pair import RATIO, write_pair
from hsfusion.scripts.benchmarking.speed.runs import qgis_in
from hsfusion.scripts.benchmarking.watch import BACKEND, QGIS, Watched, watch

RUNS = (
    # On some sizes of this pair, all mixtures of six spectra, the guard would choose a closed form, which holds less.
    ("fuse", ("UNCERTAINTY=std.tif", "GUARD=false")),
    ("fuseclassical", ("METHOD=average",)),
)
STEADY = (0.5, 1.0)  # share of a run in which what it holds must not grow any more


def memory_tables(sizes: Sequence[int], bands: int, work: Path | None = None) -> list[str]:
    """Markdown: peak of QGIS and backend per algorithm and size, and how the peak grows from the smallest size to the
    others.

    The rasters and results of the largest size take bands x pixels x 10 bytes of disk in `work`.
    """
    lines = [
        *("# Memory", ""),
        f"Synthetic pairs of {bands} HSI bands and 4 MSI bands at ratio {RATIO}, default settings but for the guard "
        "(off), results as Int16; "
        "the processes' peaks as Linux keeps them (10^6 bytes).",
        "",
        "| algorithm | pixels | QGIS, MB | growth | backend, MB | growth | second half of the run beyond the first, "
        "MB: QGIS | backend | minutes | s per MP |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for algorithm, extra in RUNS:
        first: Watched | None = None
        for size in sizes:
            found = _run(algorithm, extra, size, bands, work)
            first = first or found
            cells = []
            for role in (QGIS, BACKEND):
                there = role in found.held
                grown = 100 * (found.peak_mb(role) / first.peak_mb(role) - 1) if there else 0.0
                cells += [f"{found.peak_mb(role):.0f}", f"{grown:+.0f} %"] if there else ["", ""]
            later = [_later(found, role) for role in (QGIS, BACKEND)]
            megapixels = size * size / 1e6
            lines.append(
                f"| {algorithm} | {size} x {size} | {' | '.join(cells)} | {' | '.join(later)} | "
                f"{found.seconds / 60:.1f} "
                f"| {found.seconds / megapixels:.1f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    text = ",".join(map(str, sizes))
    return [*lines, "", f"Command: `python scripts/benchmark.py --memory --sizes {text} --bands {bands}`", ""]


def _later(found: Watched, role: str) -> str:
    if role not in found.held:
        return ""
    held, (middle, end) = found.held[role], STEADY
    return f"{(held.peak_between(middle, end) - held.peak_between(0.0, middle)) / 1e6:+.0f}"


def _run(algorithm: str, extra: Sequence[str], size: int, bands: int, work: Path | None) -> Watched:
    """One whole run, watched; HSFusionError where it fails."""
    with tempfile.TemporaryDirectory(prefix="hsfusion-memory-", dir=work) as name:
        folder = Path(name)
        qgis = qgis_in(folder)
        if qgis is None:
            raise HSFusionError("There is no qgis_process on this machine: memory is measured on whole runs of it.")
        program, environment = qgis
        hsi, msi = write_pair(folder, size, size, bands)
        places = [
            f"{key}={folder / value}" if value.endswith(".tif") else f"{key}={value}"
            for key, value in map(_split, extra)
        ]
        command = [program, "run", f"hsfusion:{algorithm}", "--", f"HSI={hsi}", f"MSI={msi}", "DATA_TYPE=Int16"]
        found = watch([*command, *places, f"OUTPUT={folder / 'fused.tif'}"], environment)
        if found.code:
            raise HSFusionError(f"hsfusion:{algorithm} fails at {size} pixels: {found.printed.strip()[-400:]}")
        json.loads((folder / "fused.json").read_text(encoding="utf-8"))
        return found


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value
