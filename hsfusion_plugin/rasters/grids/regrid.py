"""An HSI in another CRS than the MSI's whose grid need not be resampled: the change of CRS moves nothing, or moves the
grid as a whole.
"""

from __future__ import annotations

import copy

import numpy as np

from ....models.errors import HSFusionError
from ..reading.raster import Raster
from .align import apart
from .crs import UNMOVED, crs_name, is_geographic, points_over, same_crs, transformed, wrapped

FEWEST_POINTS = 9  # of those that the raster holds, or the scene is too small a part of the MSI to look closely
STRAIGHT = 0.02  # MSI pixels by which a grid that is moved as a whole may miss the true places


def in_crs_of(raster: Raster, msi: Raster) -> Raster:
    """The raster with its grid told in the MSI's CRS where that takes no resampling, else as it is.

    The places of its pixels are looked up at points spread over what it shares with the MSI.
    """
    same = not raster.crs_wkt or same_crs(raster.crs_wkt, msi.crs_wkt)
    beside = same and is_geographic(msi.crs_wkt) and apart(raster, msi)
    if not raster.north_up or (same and not beside):
        return raster
    points = points_over(msi.bounds)
    try:
        found = transformed(points, msi.crs_wkt, raster.crs_wkt)
    except HSFusionError:
        return raster
    x0, dx, _, y0, _, dy = raster.geotransform
    if is_geographic(raster.crs_wkt):
        found[:, 0] = wrapped(found[:, 0], x0 + 0.5 * raster.cols * dx)
    pixels = (found - [x0, y0]) / [dx, dy]
    inside = ((pixels > -1) & (pixels < [raster.cols + 1, raster.rows + 1])).all(axis=1)
    if inside.sum() < FEWEST_POINTS:
        return raster
    fine = np.abs([msi.geotransform[1], msi.geotransform[5]])
    if (np.abs(found - points)[inside] < UNMOVED * fine).all():
        return _placed(raster, raster.geotransform, msi.crs_wkt)
    origin, step, error = _straight(pixels[inside], points[inside])
    if (error > STRAIGHT * fine).any() or (step * [dx, dy] <= 0).any():
        return raster
    why = (
        "lies 360 degrees beside the MSI"
        if beside
        else f"is in {crs_name(raster.crs_wkt)}, the MSI in {crs_name(msi.crs_wkt)}"
    )
    return _placed(
        raster,
        (origin[0], step[0], 0.0, origin[1], 0.0, step[1]),
        msi.crs_wkt,
        f"it {why}; over this scene that only moves its grid, and no pixel was resampled.",
    )


def _placed(raster: Raster, geotransform: tuple[float, ...], crs_wkt: str, fact: str = "") -> Raster:
    """The same pixels at another place."""
    other = copy.copy(raster)
    other.geotransform, other.crs_wkt = geotransform, crs_wkt
    other.facts = (*raster.facts, fact) if fact else raster.facts
    return other


def _straight(pixels: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """origin, step and largest error (2,) of points = origin + step pixels, least squares in x and y apart."""
    middle, centre = pixels.mean(axis=0), points.mean(axis=0)
    spread = ((pixels - middle) ** 2).sum(axis=0)
    step = ((pixels - middle) * (points - centre)).sum(axis=0) / np.maximum(spread, 1e-30)
    origin = centre - step * middle
    return origin, step, np.abs(origin + step * pixels - points).max(axis=0)
