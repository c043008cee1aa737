"""Where a fused raster lies on the scene that two rasters share."""

from __future__ import annotations

from ...errors import HSFusionError
from ...rasters.grids.crs import same_there
from ...rasters.reading.raster import Raster
from ..pair.pair import Pair

SAME_PLACE = 0.02  # pixels by which the grids may differ


def fused_window(fused: Raster, pair: Pair) -> tuple[range, range]:
    """(rows, cols) of the scene's fine pixels that FUSED covers; HSFusionError unless it is on the MSI's grid with the
    HSI's bands.
    """
    if fused.count != pair.hsi.count:
        raise HSFusionError(
            f"FUSED has {fused.count} bands and the HSI {pair.hsi.count}: choose the raster that was fused from this "
            "HSI."
        )
    crs = fused.crs_wkt, pair.alignment.crs_wkt
    if all(crs) and not same_there(*crs, fused.bounds, fused.pixel_size):
        raise HSFusionError("FUSED and the MSI have different CRSs: choose the raster that was fused from this MSI.")
    x0, dx, _, y0, _, dy = pair.alignment.geotransform
    fx, fdx, turn_x, fy, turn_y, fdy = fused.geotransform
    row, col = (fy - y0) / dy, (fx - x0) / dx
    drift = max(abs(fdx / dx - 1) * fused.cols, abs(fdy / dy - 1) * fused.rows)
    apart = max(abs(row - round(row)), abs(col - round(col)))
    if turn_x or turn_y or max(drift, apart) > SAME_PLACE:
        raise HSFusionError("FUSED is not on the MSI's grid: choose the raster that was fused from this MSI.")
    row, col = round(row), round(col)
    height, width = pair.alignment.scene_shape
    if row < 0 or col < 0 or row + fused.rows > height or col + fused.cols > width:
        raise HSFusionError("FUSED reaches beyond the area that HSI and MSI share: clip it to that area.")
    return range(row, row + fused.rows), range(col, col + fused.cols)
