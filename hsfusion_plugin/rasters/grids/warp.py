"""Rasters that do not lie on the MSI's grid brought onto it, on the fly: the HSI where its grid cannot be described by
ratio and phase, the mask.

The MSI is never resampled, because the fused raster lies on its grid and its detail is what the fusion is for.  The HSI
is resampled once, by cubic convolution, from its own file straight onto pixels that begin and end with MSI pixels, so
that nothing behind this has to move it again. What that does to the HSI's sharpness is part of the PSF that is
estimated from the warped image.
"""

from __future__ import annotations

import math

import numpy as np
from osgeo import gdal

from ....models.errors import HSFusionError
from ..gdal_calls import collected_errors, scratch_files
from ..products.reading.subdatasets import one_at_a_time
from ..products.reading.swath import places_of
from ..reading.raster import Raster
from .align import check_both_have_crs, check_grid, ratios, same_ratio
from .crs import crs_name, is_geographic, same_crs, transformed, wrapped
from .regrid import in_crs_of

AS_GOOD_AS_WHOLE = 0.02  # relative distance to a whole ratio at which the warped HSI gets that ratio
KERNEL = "cubic"  # GDAL's lanczos kernel misses the places of a turned grid by up to half a pixel
EDGE_POINTS = 21  # per side, by which the HSI's outline is carried over
_EXACT = 0.0  # error threshold: GDAL's own is an eighth of a pixel


def on_grid_of(hsi: Raster, msi: Raster) -> tuple[Raster, str]:
    """The HSI as `align` takes it, and one sentence for the log where it had to be warped, else "".

    Warped are a swath, a CRS whose coordinates differ by more than a shift, a rotated grid, and pixels of another shape
    than the MSI's. HSFusionError: no georeference, a CRS on one side only, a rotated MSI, no overlap, no transformation
    between the two CRS.
    """
    if not hsi.swath:
        check_grid(hsi, rotated=True)
    check_grid(msi)
    check_both_have_crs(hsi, msi)
    near = hsi if hsi.swath else in_crs_of(hsi, msi)
    if _same_crs(near, msi) and near.north_up and (same_ratio(near, msi) or max(ratios(near, msi)) <= 1):
        return near, ""
    ratio = _ratio(hsi, msi)
    return _warped(hsi, msi, _outline(hsi, msi), ratio), (
        f"The HSI {_reason(hsi, msi)}: it was warped onto the MSI's grid by cubic convolution, once and without a "
        f"file, to pixels of {ratio:.6g} MSI pixels; "
        "the MSI stays as it is. Positions are exact, but each new pixel mixes its neighbours, which widens the PSF a "
        "little: "
        "it is best estimated, since a PSF_FWHM of the sensor's data sheet does not know of it."
    )


def _same_crs(raster: Raster, msi: Raster) -> bool:
    return not raster.crs_wkt or same_crs(raster.crs_wkt, msi.crs_wkt)


def _reason(hsi: Raster, msi: Raster) -> str:
    """Why the HSI has to be warped."""
    if hsi.swath:
        return "lies as the sensor saw it, with a longitude and a latitude for every pixel"
    if not _same_crs(hsi, msi):
        return f"is in {crs_name(hsi.crs_wkt)} and the MSI in {crs_name(msi.crs_wkt)}"
    return "has pixels of another shape than the MSI's" if hsi.north_up else "has another orientation than the MSI"


def _ratio(hsi: Raster, msi: Raster) -> float:
    """HSI pixel / MSI pixel where the two meet, whole if it nearly is."""
    places = _places(hsi, msi)
    ratio = math.sqrt(abs(np.linalg.det(np.column_stack([places(0.5, 1), places(0.5, 0)]))))
    if abs(ratio - round(ratio)) < AS_GOOD_AS_WHOLE * ratio:
        ratio = float(round(ratio))
    if ratio <= 1:
        raise HSFusionError(
            f"The HSI's pixels are not larger than the MSI's (about {ratio:.2g} of their size); the two may have been "
            "swapped."
        )
    return ratio


def mask_on_grid_of(mask: Raster, msi: Raster) -> tuple[Raster, str]:
    """The mask as `align` takes it and a sentence for the log: in another CRS or rotated, it is looked up at the MSI's
    pixel centres.
    """
    if not mask.swath:
        check_grid(mask, rotated=True)
    check_both_have_crs(mask, msi)
    near = in_crs_of(mask, msi)
    if not mask.swath and near.north_up and _same_crs(near, msi):
        return near, ""
    options = {"resampleAlg": "near", "outputType": gdal.GDT_Float32, "dstNodata": math.nan, "dstAlpha": False}
    warped = _virtual(mask, msi, msi.bounds, (msi.cols, msi.rows), options)
    return (
        warped,
        f"MASK is in {crs_name(mask.crs_wkt)}, rotated or a swath: its nearest pixel decides at each MSI pixel's "
        "centre.",
    )


def _places(hsi: Raster, msi: Raster):
    """A function (share of the raster, axis) -> how far one HSI pixel along that axis (0 rows, 1 columns) moves in MSI
    pixels, at its middle.
    """

    def step(share: float, axis: int) -> np.ndarray:
        col, row = share * hsi.cols, share * hsi.rows
        ends = np.array([[col, row], [col + (axis == 1), row + (axis == 0)]])
        x, y = _carried(hsi, msi, ends)
        return np.array([(x[1] - x[0]) / msi.geotransform[1], (y[1] - y[0]) / msi.geotransform[5]])

    return step


def _carried(hsi: Raster, msi: Raster, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) in the MSI's CRS of HSI pixel coordinates (N, 2): column, row; NaN where a swath does not say."""
    if hsi.swath:
        x, y = places_of(hsi.handle(), pixels)
    else:
        x0, dx, row_x, y0, col_y, dy = hsi.geotransform
        x = x0 + pixels[:, 0] * dx + pixels[:, 1] * row_x
        y = y0 + pixels[:, 0] * col_y + pixels[:, 1] * dy
    points = np.column_stack([x, y])
    if not _same_crs(hsi, msi):
        known = np.isfinite(points).all(axis=1)
        points[known] = transformed(points[known], hsi.crs_wkt, msi.crs_wkt)
    if is_geographic(msi.crs_wkt):
        points[:, 0] = wrapped(points[:, 0], (msi.bounds[0] + msi.bounds[2]) / 2)
    return points[:, 0], points[:, 1]


def _outline(hsi: Raster, msi: Raster) -> tuple[float, float, float, float]:
    """(xmin, ymin, xmax, ymax) of the HSI in the MSI's CRS, cut to the MSI; HSFusionError where nothing is left."""
    share = np.linspace(0, 1, EDGE_POINTS)
    zero, one = np.zeros(EDGE_POINTS), np.ones(EDGE_POINTS)
    edge = np.concatenate(
        [np.column_stack(side) for side in ((share, zero), (share, one), (zero, share), (one, share))]
    )
    x, y = _carried(hsi, msi, edge * [hsi.cols, hsi.rows])
    left, bottom, right, top = msi.bounds
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    box = (left, bottom, left, bottom)
    if x.size and y.size:
        box = max(x.min(), left), max(y.min(), bottom), min(x.max(), right), min(y.max(), top)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise HSFusionError(
            f"HSI and MSI do not overlap, the HSI being in {crs_name(hsi.crs_wkt)} and the MSI in "
            f"{crs_name(msi.crs_wkt)}; "
            "choose two rasters of the same place."
        )
    return box


def _warped(hsi: Raster, msi: Raster, box: tuple[float, float, float, float], ratio: float) -> Raster:
    """The HSI on pixels of `ratio` MSI pixels, the first of which begins with an MSI pixel."""
    x0, dx, _, y0, _, dy = msi.geotransform
    left, top = round((box[0] - x0) / dx), round((box[3] - y0) / dy)
    cols = max(1, math.floor(((box[2] - x0) / dx - left + 0.5) / ratio + 1e-6))
    rows = max(1, math.floor(((box[1] - y0) / dy - top + 0.5) / ratio + 1e-6))
    xmin, ymax = x0 + left * dx, y0 + top * dy
    bounds = (xmin, ymax + rows * ratio * dy, xmin + cols * ratio * dx, ymax)
    options = {"resampleAlg": KERNEL, "outputType": gdal.GDT_Float32, "dstNodata": math.nan}
    return _virtual(hsi, msi, bounds, (cols, rows), options)


def _virtual(raster: Raster, msi: Raster, bounds: tuple[float, ...], size: tuple[int, int], options: dict) -> Raster:
    """A virtual warped raster; what is known of the bands is that of the original."""
    failures: list[str] = []

    def make() -> gdal.Dataset | None:
        made = None
        with collected_errors() as failed, scratch_files(), one_at_a_time(raster.path):
            made = gdal.Warp(
                "",
                raster.handle(),
                format="VRT",
                outputBounds=bounds,
                width=size[0],
                height=size[1],
                srcSRS=raster.crs_wkt or None,
                dstSRS=msi.crs_wkt or None,
                errorThreshold=_EXACT,
                workingType=gdal.GDT_Float32,
                **options,
            )
        failures.extend(failed)
        return made

    warped = raster.seen_through(make)
    if warped is None:
        raise HSFusionError(
            f"{raster.role}: '{raster.path}' cannot be warped to the MSI's grid "
            f"({failures[0] if failures else 'unknown'}); warp it first (gdalwarp)."
        )
    return warped
