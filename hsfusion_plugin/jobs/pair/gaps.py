"""Nodata in single bands: which bands it leaves out, what is predicted instead, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....models.scene.sensors.defects.gaps import Gaps
from ...rasters.grids.align import Alignment
from ...rasters.reading.fill import percent, windows
from ...rasters.reading.raster import Raster
from ..run.progress import Progress

MOST_MISSING = 0.9  # of an HSI band that is predicted where it lacks pixels; one that lacks more is left out
MOST_COST = 0.05  # share of the pixels that an MSI band may cost the others
LEAST_SAID = 0.001  # share of the pixels
_SAMPLE = 64  # pixels per axis that the prediction is fitted to


def hsi_gaps(
    hsi: Raster, bands: list[int], alignment: Alignment, progress: Progress
) -> tuple[list[int], np.ndarray, list[str]]:
    """The bands that take part, some of their pixels (bands, N), and sentences for log and report."""
    gaps, sample = _look(hsi, bands, alignment.coarse_rows, alignment.coarse_cols, progress)
    share = gaps.share()
    keep = np.flatnonzero(share <= MOST_MISSING)
    said = []
    if len(keep) < len(bands):
        said.append(
            f"HSI: {_named(bands, np.flatnonzero(share > MOST_MISSING), share)} the pixels that the others have: they "
            "take no part."
        )
    short = keep[share[keep] > 0]
    if short.size:
        said.append(
            f"HSI: {_named(bands, short, share)} the pixels that the others have: they are predicted there from the "
            "other bands."
        )
    if gaps.lost > LEAST_SAID * gaps.pixels:
        said.append(
            f"HSI: {percent(gaps.lost / gaps.pixels)} of the pixels hold nodata in half of their bands or more, and "
            "are lost in all of them."
        )
    for sentence in said:
        progress.warn(sentence)
    return [bands[k] for k in keep], sample[keep], said


def msi_gaps(msi: Raster, bands: list[int], alignment: Alignment, progress: Progress) -> tuple[list[int], list[str]]:
    """The bands that take part, without those that would cost the others many pixels, and sentences for log
    and report.
    """
    if len(bands) < 2:
        return bands, []
    gaps, _ = _look(msi, bands, alignment.fine_rows, alignment.fine_cols, progress)
    if gaps.whole == gaps.pixels:
        return bands, []
    left_out, said = gaps.costly(MOST_COST), []
    if left_out:
        names = ", ".join(str(bands[k] + 1) for k in sorted(left_out))
        said.append(
            f"MSI: band(s) {names} hold nodata where the others have data, and would cost them more than "
            f"{percent(MOST_COST)} of the pixels: "
            "they take no part."
        )
    lost = gaps.lost_without(left_out) / gaps.pixels
    if lost > LEAST_SAID:
        said.append(
            f"MSI: {percent(lost)} of the pixels hold nodata in some of the bands: there the result is the "
            "interpolated HSI."
        )
    for sentence in said:
        progress.warn(sentence)
    return [band for k, band in enumerate(bands) if k not in left_out], said


def _look(
    raster: Raster, bands: Sequence[int], rows: range, cols: range, progress: Progress
) -> tuple[Gaps, np.ndarray]:
    """The gaps of the area, and some of its pixels (bands, N)."""
    gaps, sample = Gaps(len(bands)), []
    step = [max(1, len(whole) // _SAMPLE) for whole in (rows, cols)]
    for window in windows(raster, rows, cols):
        progress.check()
        values = raster.read(*window, list(bands))
        gaps.add(values)
        first = [(whole.start - part.start) % s for whole, part, s in zip((rows, cols), window, step)]
        sample.append(values[:, first[0] :: step[0], first[1] :: step[1]].reshape(len(bands), -1))
    return gaps, np.concatenate(sample, axis=1)


def _named(bands: Sequence[int], places: np.ndarray, share: np.ndarray) -> str:
    """Such as "bands 3, 4 and 5 more hold nodata in up to 12 % of"."""
    names = [str(bands[k] + 1) for k in places[:6]]
    more = f" and {len(places) - 6} more" if len(places) > 6 else ""
    one = len(places) == 1
    verb = "holds nodata in" if one else "hold nodata in up to"
    return f"band{'' if one else 's'} {', '.join(names)}{more} {verb} {percent(float(share[places].max()))} of"
