"""Fill that a raster's header does not name: found before anything is estimated, read as nodata from then on,
and said.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from ....models.errors import HSFusionError
from ....models.scene.sensors.defects.fill import Fill
from ....models.scene.sensors.defects.find_fill import find_fill
from ....models.scene.sensors.defects.survey import Survey
from ..gdal_calls import collected_errors
from .raster import Raster

if TYPE_CHECKING:
    from ...jobs.run.progress import Progress

AT_ONCE = 2_000_000  # values of a window
MOST_VALUES = 500_000_000  # of a larger raster, windows spread over it are surveyed
_ROWS = 64  # that are copied at a time


def find_unnamed_fill(
    raster: Raster, progress: Progress, rows: range | None = None, cols: range | None = None, saturation: bool = True
) -> list[str]:
    """Let the raster read unnamed fill (and, with `saturation`, saturated entries) as nodata; returns a sentence for
    each value found.

    Looked for in the window (default: the whole raster); bands that are marked bad take no part.
    """
    rows, cols = rows or range(raster.rows), cols or range(raster.cols)
    bands = [int(band) for band in np.flatnonzero(~raster.bad)]
    survey = Survey(len(bands), (len(rows), len(cols)))
    for window in windows(raster, rows, cols):
        progress.check()
        survey.add(raster.read(*window, bands), window[0].start - rows.start, window[1].start - cols.start)
    found = find_fill(survey)
    fill = Fill(
        tuple((bands[band], value) for band, value in found.entries),
        tuple((value, bands[probe]) for value, probe in found.flat),
        tuple((bands[band], value) for band, value in found.saturated) if saturation else (),
    )
    raster.read_as_nodata(fill)
    said = _fill_sentences(raster, found, survey)
    return said + (_saturation_sentence(raster, found, survey) if saturation else [])


def windows(raster: Raster, rows: range, cols: range) -> Iterator[tuple[range, range]]:
    """Windows that cover the area once, or of a very large one as many as cost is bounded by, in bands across and along
    it: every row and every column is seen somewhere.
    """
    down, across = raster.window_shape(AT_ONCE)
    starts = [(r, c) for r in range(rows.start, rows.stop, down) for c in range(cols.start, cols.stop, across)]
    tops, lefts = sorted({r for r, _ in starts}), sorted({c for _, c in starts})
    most = MOST_VALUES // (down * across * raster.count)
    if len(starts) > most:
        some = _spread(tops, most // (2 * len(lefts))), _spread(lefts, most // (2 * len(tops)))
        starts = [(r, c) for r, c in starts if r in some[0] or c in some[1]]
    for r, c in starts:
        yield range(r, min(r + down, rows.stop)), range(c, min(c + across, cols.stop))


def _spread(places: list[int], count: int) -> set[int]:
    """So many of the places, at least two, the first and the last among them."""
    picks = np.linspace(0, len(places) - 1, min(max(count, 2), len(places))).round().astype(int)
    return {places[pick] for pick in picks}


def copied_without_fill(raster: Raster, progress: Progress) -> Raster:
    """A temporary copy whose fill is NaN, for GDAL to warp: it would mix fill into its neighbours."""
    folder = tempfile.mkdtemp(prefix="hsfusion-")
    try:
        target = str(Path(folder) / "without_fill.tif")
        with collected_errors() as failures:
            _copy(raster, target, progress)
        if failures:
            raise HSFusionError(
                f"{raster.role}: '{raster.path}' cannot be copied to '{folder}' without its fill "
                f"({failures[0].rstrip('.')}); "
                "free some space, or name the fill value in the file (gdal_edit.py -a_nodata)."
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    copy = raster.seen_through(lambda: gdal.Open(target))
    copy.read_as_nodata(Fill())
    weakref.finalize(copy, shutil.rmtree, folder, ignore_errors=True)
    return copy


def _copy(raster: Raster, target: str, progress: Progress) -> None:
    options = ["TILED=YES", "BIGTIFF=IF_SAFER"]
    driver = gdal.GetDriverByName("GTiff")
    made = driver.Create(target, raster.cols, raster.rows, raster.count, gdal.GDT_Float32, options)
    if made is None:
        return
    if raster.georeferenced:
        made.SetGeoTransform(raster.geotransform)
    source = raster.handle()
    made.SetProjection(source.GetProjection())
    made.SetMetadata(source.GetMetadata("GEOLOCATION"), "GEOLOCATION")
    for number in range(raster.count):
        made.GetRasterBand(number + 1).SetNoDataValue(float("nan"))
    for top in range(0, raster.rows, _ROWS):
        progress.check()
        rows = range(top, min(top + _ROWS, raster.rows))
        values = raster.read(rows, range(raster.cols))
        made.WriteRaster(0, top, raster.cols, len(rows), values.tobytes(), raster.cols, len(rows))


def _fill_sentences(raster: Raster, found: Fill, survey: Survey) -> list[str]:
    """One per value: how much of the raster it fills, and in how many bands."""
    by_value: dict[float, list[int]] = defaultdict(list)
    for band, value in found.entries:
        by_value[value].append(band)
    sentences = []
    for value, bands in sorted(by_value.items()):
        counts = [dict((*survey.low.of(b), *((-v, n) for v, n in survey.high.of(b)))).get(value, 0) for b in bands]
        share = max(max(counts), survey.flat.get(value, 0)) / survey.pixels
        where = f"in up to {percent(share)} of the pixels of {len(bands)} of {survey.bands} bands"
        if len(bands) == survey.bands:
            where = f"in {percent(share)} of the pixels"
        sentences.append(_sentence(raster.role, value, where))
    for value, _ in found.flat:
        where = f"in all bands of {percent(survey.flat[value] / survey.pixels)} of the pixels"
        sentences.append(_sentence(raster.role, value, where))
    return sentences


def _sentence(role: str, value: float, where: str) -> str:
    return (
        f"{role}: the value {value:.9g} lies {where} and is no measurement, though the file does not name it: "
        f"it is treated as nodata (name it: gdal_edit.py -a_nodata {value:.9g})."
    )


def _saturation_sentence(raster: Raster, found: Fill, survey: Survey) -> list[str]:
    if not found.saturated:
        return []
    counts = [dict(survey.high.of(band)).get(-value, 0) for band, value in found.saturated]
    return [
        f"{raster.role}: {len(counts)} of {survey.bands} bands are saturated, in up to "
        f"{percent(max(counts) / survey.pixels)} of their pixels: "
        "these values take no part."
    ]


def percent(share: float) -> str:
    """A share in words: two digits, and never a rounded 0 %."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"
