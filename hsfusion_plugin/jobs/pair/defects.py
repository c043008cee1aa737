"""DEFECTS: what is wrong with the HSI's detector, found once before anything is estimated, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ....hsfusion_plugin import reports
from ....models.scene.sensors.defects.find import Found, find_defects
from ....models.scene.sensors.defects.prediction import Prediction
from ....models.scene.sensors.defects.repair import Repair
from ...rasters.grids.align import Alignment
from ...rasters.reading.fill import percent, windows
from ...rasters.reading.raster import Raster
from ..run.progress import Progress

KEPT = 40_000_000  # values of an HSI that is small enough to be read once for all looks at it
NAMED = 6  # columns that are named one by one


def hsi_defects(
    hsi: Raster, bands: list[int], sample: np.ndarray, alignment: Alignment, wanted: bool, progress: Progress
) -> tuple[Found, list[str]]:
    """What is done to the HSI whenever it is read, and sentences for log and report; without `wanted`, only missing
    values are predicted.

    sample (bands, N): some of its pixels, NaN where unknown.
    """
    if not wanted:
        return Found(Repair(Prediction.fit(sample) if np.isnan(sample).any() else None)), []
    progress.phase("Looking for defects of the HSI")
    found = find_defects(_Look(hsi, bands, alignment, progress), sample, alignment.coarse_shape)
    said = _sentences(found, bands)
    for sentence in said:
        progress.warn(sentence)
    return found, said


class _Look:
    """The overlap of the HSI in windows, at each call anew: (values, first row, first column)."""

    def __init__(self, hsi: Raster, bands: list[int], alignment: Alignment, progress: Progress) -> None:
        self._hsi, self._bands, self._progress = hsi, bands, progress
        self._rows, self._cols = alignment.coarse_rows, alignment.coarse_cols
        self._small = len(self._rows) * len(self._cols) * len(bands) <= KEPT
        self._kept: list[tuple[np.ndarray, int, int]] = []

    def __call__(self) -> Iterator[tuple[np.ndarray, int, int]]:
        if self._kept:
            yield from self._kept
            return
        for rows, cols in windows(self._hsi, self._rows, self._cols):
            self._progress.check()
            one = (
                self._hsi.read(rows, cols, self._bands),
                rows.start - self._rows.start,
                cols.start - self._cols.start,
            )
            if self._small:
                self._kept.append(one)
            yield one


def defect_maps(found: Found) -> list[reports.Map]:
    """For the report: where values are predicted, and the gains that were taken out."""
    maps = []
    if found and found.places is not None:
        maps.append(
            reports.Map(
                "Bands of the HSI that are predicted, because their values were bad or missing",
                found.places,
                "share of the bands",
                high=max(float(np.nanmax(found.places)), 0.01),
                text="One value per HSI pixel: 0 where all bands are as they were measured.",
            )
        )
    gains = found.repair.gains
    if gains is not None:
        limit = float(np.quantile(np.abs(gains - 1.0), 0.98))
        maps.append(
            reports.Map(
                "Gain of the HSI's columns that was taken out (rows: bands, columns: columns of the HSI)",
                gains - 1.0,
                "relative to the band",
                low=-limit,
                high=limit,
                diverging=True,
                text="One value per band and column of the HSI: 0 where nothing was changed.",
            )
        )
    return maps


def defect_record(found: Found, bands: Sequence[int]) -> dict[str, Any]:
    """For provenance: bands and columns from 1, as the sentences count them."""
    repair = found.repair
    gains = repair.gains
    return {
        "columns": _listed(repair.columns, bands),
        "lines": _listed(repair.lines, bands),
        "spikes_share": found.spikes,
        "striped_bands": [] if gains is None else [bands[b] + 1 for b in np.flatnonzero(np.ptp(gains, axis=1) > 0)],
        "stripes_rms": 0.0 if gains is None else float((gains - 1.0).std()),
        "missing_values_predicted": repair.prediction is not None,
    }


def _listed(bad: np.ndarray | None, bands: Sequence[int]) -> dict[str, list[int]]:
    """The bad bands of each column."""
    if bad is None:
        return {}
    return {str(n + 1): [bands[b] + 1 for b in np.flatnonzero(bad[:, n])] for n in np.flatnonzero(bad.any(axis=0))}


def _sentences(found: Found, bands: Sequence[int]) -> list[str]:
    repair, said = found.repair, []
    for name, places in (("column", repair.columns), ("line", repair.lines)):
        if places is None:
            continue
        numbers = np.flatnonzero(places.any(axis=0))
        named = ", ".join(str(n + 1) for n in numbers[:NAMED]) + (", ..." if len(numbers) > NAMED else "")
        of_bands = int(places.any(axis=1).sum())
        said.append(
            f"HSI: {len(numbers)} {name}{'' if len(numbers) == 1 else 's'} of the overlap ({named}) show nothing of "
            f"the scene in {of_bands} of "
            f"{len(bands)} bands: these values are predicted from the other bands."
        )
    if repair.gains is not None:
        striped = np.ptp(repair.gains, axis=1) > 0
        size = float(np.median(repair.gains[striped].std(axis=1)))
        said.append(
            f"HSI: the columns of {int(striped.sum())} of {len(bands)} bands differ in gain, by {percent(size)} "
            "(stripes): the gains are taken out."
        )
    if repair.spikes is not None:
        said.append(
            f"HSI: {percent(found.spikes)} of the values are spikes: they are predicted from the other bands of their "
            "pixel."
        )
    return said
