"""Coordinate reference systems: when two are one, and how points get from one to the other."""

from __future__ import annotations

import numpy as np
from osgeo import osr

from ....models.errors import HSFusionError
from ..gdal_calls import collected_errors

UNMOVED = 0.01  # pixels by which a transformation may move points between two CRS that count as one
_POINTS = 9  # per axis of the grid of test points


def crs_name(wkt: str) -> str:
    """What a user calls the CRS."""
    return (osr.SpatialReference(wkt).GetName() if wkt else "") or "a CRS without a name"


def horizontal(wkt: str) -> osr.SpatialReference:
    """The horizontal part of a CRS, in the axis order of rasters: heights play no part in where a pixel lies."""
    reference = osr.SpatialReference(wkt)
    if reference.IsCompound():
        reference.StripVertical()
    if reference.IsGeographic() and reference.GetAxesCount() == 3:
        reference.DemoteTo2D()
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def is_geographic(wkt: str) -> bool:
    """Whether coordinates are degrees of longitude and latitude, so that x repeats every 360."""
    return bool(wkt) and bool(horizontal(wkt).IsGeographic())


def same_crs(first: str, second: str) -> bool:
    """Whether coordinates in both are the same numbers by definition; names, which GDAL drivers write differently, do
    not count.
    """
    if first == second:
        return True
    a, b = horizontal(first), horizontal(second)
    if a.IsSame(b, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", "CRITERION=EQUIVALENT_EXCEPT_AXIS_ORDER_GEOGCRS"]):
        return True
    texts = a.ExportToProj4().strip(), b.ExportToProj4().strip()
    return bool(texts[0]) and texts[0] == texts[1]


def same_there(
    first: str, second: str, bounds: tuple[float, float, float, float], pixel_size: tuple[float, float]
) -> bool:
    """Whether the two CRS are one within `bounds` (xmin, ymin, xmax, ymax): no test point moves by more than 0.01
    pixels.
    """
    if not (first and second) or same_crs(first, second):
        return first == second or bool(first and second)
    points = points_over(bounds)
    try:
        moved = np.abs(transformed(points, first, second) - points) / pixel_size
    except HSFusionError:
        return False
    return bool(moved.max() < UNMOVED)


def points_over(bounds: tuple[float, float, float, float]) -> np.ndarray:
    """(N, 2): x and y of points spread evenly over bounds (xmin, ymin, xmax, ymax), the edges included."""
    x, y = (np.linspace(bounds[i], bounds[i + 2], _POINTS) for i in (0, 1))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def transformed(points: np.ndarray, source: str, target: str) -> np.ndarray:
    """(N, 2): x and y of points (N, 2) in another CRS. HSFusionError where PROJ cannot tell for one of them."""
    found = None
    with collected_errors() as failures:
        change = osr.CoordinateTransformation(horizontal(source), horizontal(target))
        found = np.array(change.TransformPoints(np.asarray(points, float).tolist()))
    if found is None or failures or not np.isfinite(found).all():
        raise HSFusionError(
            f"Coordinates cannot be brought from {crs_name(source)} to {crs_name(target)} "
            f"({(failures or ['out of range'])[0]}); "
            "warp the raster to the other's CRS first (gdalwarp)."
        )
    return found[:, :2]


def wrapped(x: np.ndarray, middle: float) -> np.ndarray:
    """Longitudes within 180 degrees of `middle`."""
    return x - 360.0 * np.round((x - middle) / 360.0)
