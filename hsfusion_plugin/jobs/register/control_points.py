"""Ground control points of a displaced HSI: a file for QGIS's Georeferencer, and a VRT that holds the same for GDAL."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal

from ....models.observation import Displacement
from ....models.observation.axis import coarse_centres
from ...errors import HSFusionError
from ...rasters.gdal_calls import collected_errors
from ...rasters.writing.staging import write_text
from ..pair.estimates import Estimates
from ..pair.pair import Pair

PER_AXIS = 15  # at most
HEADER = ("mapX", "mapY", "sourceX", "sourceY", "enable", "dX", "dY", "residual")


@dataclass(frozen=True)
class ControlPoint:
    """Where the content of an HSI pixel lies (x, y in the MSI's CRS), where its grid says so, and the pixel itself:
    column and line, its centre at .5.
    """

    x: float
    y: float
    from_x: float
    from_y: float
    column: float
    line: float


def control_points(pair: Pair, estimates: Estimates) -> list[ControlPoint]:
    """Spread evenly over the overlap, its corner pixels included."""
    a, s = pair.alignment, estimates.sampling
    numbers = [np.unique(np.linspace(0, n - 1, min(n, PER_AXIS)).round().astype(int)) for n in a.coarse_shape]
    rows, cols = (coarse_centres(range(n), s.ratio, 0.0)[picks] for n, picks in zip(a.coarse_shape, numbers))
    moved = (s.displacement or Displacement(a.scene_shape)).at(rows, cols)
    x0, dx, _, y0, _, dy = a.geotransform
    found = []
    for i, row in enumerate(rows):
        for j, col in enumerate(cols):
            y, x = row + s.shift_y + moved[0, i, j] + 0.5, col + s.shift_x + moved[1, i, j] + 0.5
            from_y, from_x = row + a.phase_y + 0.5, col + a.phase_x + 0.5
            line, column = a.coarse_rows.start + numbers[0][i] + 0.5, a.coarse_cols.start + numbers[1][j] + 0.5
            place = (x0 + dx * x, y0 + dy * y, x0 + dx * from_x, y0 + dy * from_y)
            found.append(ControlPoint(*map(float, (*place, column, line))))
    return found


def write_control_points(path: str, hsi: str, pair: Pair, points: list[ControlPoint]) -> str:
    """The .points file, and beside it a VRT of the HSI with the same points; the VRT's path. HSFusionError where one
    cannot be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    for p in points:
        writer.writerow([*(repr(v) for v in (p.x, p.y, p.from_x, p.from_y)), 1, 0, 0, 0])
    write_text(path, stream.getvalue(), "GCPS")
    beside = str(Path(path).with_suffix(".vrt"))
    gcps = [gdal.GCP(p.x, p.y, 0.0, p.column, p.line) for p in points]
    made = None
    with collected_errors() as failures:
        source = gdal.Open(hsi)
        if source is not None and (source.RasterXSize, source.RasterYSize) == (pair.hsi.cols, pair.hsi.rows):
            made = gdal.Translate(beside, source, format="VRT", GCPs=gcps, outputSRS=pair.alignment.crs_wkt or None)
    if made is None:
        why = f" ({failures[0]})" if failures else ""
        raise HSFusionError(
            f"GCPS: no VRT of '{hsi}' can hold the control points{why}: give the HSI as a raster with a north-up grid "
            "in the MSI's CRS."
        )
    made.FlushCache()
    return beside
