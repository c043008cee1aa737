"""Cubes that cannot be read in windows, made readable once at the beginning of a job."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from osgeo import gdal

from ....models.errors import HSFusionError
from ..gdal_calls import collected_errors
from ..products.reading.subdatasets import Cube, cube_behind, one_at_a_time
from .raster import Raster

if TYPE_CHECKING:
    from ...jobs.run.progress import Progress


def unpacked(raster: Raster, progress: Progress) -> Raster:
    """The raster, or a temporary copy of a cube that its file holds in blocks of many bands, as EMIT's and some of
    PRISMA's are.

    Each band of a window would cost as much as all bands: a copy takes seconds per gigabyte, reading it so took minutes
    per tile. HSFusionError where there is no room for the copy or the file is damaged.
    """
    with one_at_a_time(raster.path):
        cube = cube_behind(raster.path)
        return raster if cube is None or not cube.packed else _copied(raster, cube, progress)


def _copied(raster: Raster, cube: Cube, progress: Progress) -> Raster:
    folder, size = tempfile.mkdtemp(prefix="hsfusion-"), cube.size
    try:
        free = shutil.disk_usage(folder).free
        if free < 1.1 * size:
            raise HSFusionError(
                f"{raster.role}: '{raster.path}' must be unpacked to '{Path(folder).parent}', which has "
                f"{free / 1e9:.2f} GB left while "
                f"{size / 1e9:.2f} GB are needed; free some space or set TMPDIR to another disk."
            )
        progress.info(
            f"{raster.role}: the cube is unpacked to a temporary file ({size / 1e9:.2f} GB), because its file holds "
            "all bands together."
        )
        target = str(Path(folder) / "cube.tif")
        with collected_errors() as failures:
            cube.copy(target, progress)
        if failures:
            raise HSFusionError(
                f"{raster.role}: '{raster.path}' cannot be unpacked ({failures[0].rstrip('.')}); the file is damaged."
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    copy = raster.seen_through(lambda: gdal.Open(target))
    weakref.finalize(copy, shutil.rmtree, folder, ignore_errors=True)
    return copy
