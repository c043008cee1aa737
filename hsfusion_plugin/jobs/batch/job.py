"""hsfusion:fusefolder: pair after pair with one backend; what is done is skipped, and a pair that fails does not end
the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...backend.local.session import one_backend
from ...errors import Cancelled, HSFusionError
from ...rasters.writing.staging import check_writable
from ..fuse import with_model
from ..request import FusionRequest
from ..run.progress import Progress
from .ledger import NAME, Ledger
from .pairs import PairLine, read_pairs
from .table import Row, mark_outliers, write_table


@dataclass(frozen=True)
class BatchRequest:
    """The parameters of `hsfusion:fusefolder`. fusion: what is the same for all pairs; the flags: which further outputs
    each pair gets.
    """

    pairs: str
    output_folder: str
    fusion: FusionRequest
    table: str | None = None
    uncertainty: bool = False
    quality: bool = False
    report: bool = False

    def of(self, line: PairLine) -> FusionRequest:
        """The request of one pair."""
        stem = line.output.with_suffix("")
        return replace(
            self.fusion,
            hsi=line.hsi,
            msi=line.msi,
            mask=line.mask,
            output=str(line.output),
            uncertainty=f"{stem}_uncertainty.tif" if self.uncertainty else None,
            quality=f"{stem}_quality.tif" if self.quality else None,
            report=f"{stem}.html" if self.report else None,
        )


def run(request: BatchRequest, progress: Progress) -> dict[str, Any]:
    """Work through the list; returns the outputs by name. HSFusionError where the list is wrong or every pair failed;
    Cancelled.
    """
    folder = Path(request.output_folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder / NAME, role="OUTPUT_FOLDER")
    if request.table:
        check_writable(request.table, role="TABLE", inputs=[request.pairs])
    lines = read_pairs(request.pairs, folder)
    ledger, rows = Ledger(folder), []
    try:
        with one_backend():
            for number, line in enumerate(lines):
                part = progress.part(number / len(lines), (number + 1) / len(lines))
                rows.append(_pair(request.of(line), line, ledger, f"Pair {number + 1} of {len(lines)}", part))
                part.step(1.0)
    finally:
        if rows:
            mark_outliers(rows)
            if request.table:
                write_table(request.table, rows)
    return _summary(request, rows, progress)


def _pair(request: FusionRequest, line: PairLine, ledger: Ledger, title: str, progress: Progress) -> Row:
    known = ledger.done(request)
    if known is not None:
        progress.info(f"{title}, {line.output.name}: done before, skipped.")
        return Row(line, "skipped", results=known)
    progress.info(f"{title}: {line.output.name}")
    began = time.monotonic()
    try:
        line.output.parent.mkdir(parents=True, exist_ok=True)
        results = with_model.run(request, progress)
    except Cancelled:
        raise
    except (HSFusionError, MemoryError, OSError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        progress.warn(f"{title}, {line.output.name}, failed and the others go on: {message}")
        return Row(line, "failed", time.monotonic() - began, message=message)
    ledger.add(request, results)
    return Row(line, "done", time.monotonic() - began, results)


def _summary(request: BatchRequest, rows: list[Row], progress: Progress) -> dict[str, Any]:
    counts = {state: sum(row.state == state for row in rows) for state in ("done", "skipped", "failed")}
    progress.info(f"{counts['done']} pairs fused, {counts['skipped']} done before, {counts['failed']} failed.")
    for row in rows:
        if row.outlier:
            values = ", ".join(f"{name} {row.number(name):.3g}" for name in row.outlier)
            progress.warn(
                f"{row.line.output.name} stands out from the other pairs: {values}. Look at it before you use it."
            )
    if rows and counts["failed"] == len(rows):
        raise HSFusionError(f"All {len(rows)} pairs failed, the first one so: {rows[0].message}")
    return {
        "OUTPUT_FOLDER": request.output_folder,
        **({"TABLE": request.table} if request.table else {}),
        "DONE": counts["done"],
        "SKIPPED": counts["skipped"],
        "FAILED": counts["failed"],
    }
