"""Several files of neighbouring tiles as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from osgeo import gdal

from .....models.errors import HSFusionError
from ...gdal_calls import collected_errors
from .product import Grid
from .stack import opened_file


def mosaic_path(paths: Sequence[Path], grid: Grid, nodata: float | None = None) -> str:
    """The path of the one file, or of a virtual mosaic of several, in memory, that covers `grid` with the files' own
    pixels.
    """
    if len(paths) == 1:
        return str(paths[0])
    x0, dx, _, y0, _, dy = grid.geotransform
    bounds = (x0, y0 + grid.rows * dy, x0 + grid.cols * dx, y0)
    key = hashlib.sha256("|".join(map(str, paths)).encode()).hexdigest()[:16]
    target = f"/vsimem/hsfusion-mosaic-{key}.vrt"
    made = None
    with collected_errors() as failures:
        made = gdal.BuildVRT(
            target, [opened_file(p) for p in paths], outputBounds=bounds, srcNodata=nodata, VRTNodata=nodata
        )
    if made is None:
        raise HSFusionError(f"PRODUCT: the tiles cannot be laid side by side ({(failures or ['unknown reason'])[0]}).")
    made = None
    return target
