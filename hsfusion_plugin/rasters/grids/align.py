"""How the grid of the HSI lies on the grid of the MSI, and which pixels of both take part."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ....models.errors import HSFusionError
from ..edit_advice import edit_advice
from ..reading.raster import Raster
from .crs import crs_name, same_crs
from .grid import Grid

RATIO_TOLERANCE = 1e-3
# MSI pixels by which a ratio that is not quite whole may carry the grids apart between middle and edge.
LARGEST_DRIFT = 0.25
FEWEST_PIXELS = 8


@dataclass(frozen=True)
class Alignment:
    """The overlap of a pair. "Fine" pixels are the MSI's, "coarse" ones the HSI's; the scene starts at the overlap's
    first fine pixel.

    Coarse pixel i of the overlap has its centre at (i + 0.5) ratio - 0.5 + phase in fine pixels of the scene, in y and
    x alike; the phase is 0 where the grids nest, and at most half a pixel otherwise where the ratio is whole. The scene
    is ratio times as large as its coarse part, to half a fine pixel where the ratio is no whole number.
    """

    ratio: float
    coarse_rows: range
    coarse_cols: range
    fine_rows: range
    fine_cols: range
    phase_y: float
    phase_x: float
    output_rows: range  # what EXTENT leaves, in fine pixels of the scene
    output_cols: range
    geotransform: tuple[float, float, float, float, float, float]  # of the scene
    crs_wkt: str
    warnings: tuple[str, ...] = ()

    @property
    def scene_shape(self) -> tuple[int, int]:
        """(rows, cols) of the overlap in fine pixels."""
        return len(self.fine_rows), len(self.fine_cols)

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """(rows, cols) of the overlap in coarse pixels."""
        return len(self.coarse_rows), len(self.coarse_cols)

    @property
    def output_pixels(self) -> int:
        """Number of fine pixels that are written."""
        return len(self.output_rows) * len(self.output_cols)

    @property
    def output_grid(self) -> Grid:
        """Of the raster that is written."""
        rows, cols = self.output_rows, self.output_cols
        return Grid(len(rows), len(cols), self.geotransform_of(rows, cols), self.crs_wkt)

    def geotransform_of(self, rows: range, cols: range) -> tuple[float, float, float, float, float, float]:
        """GDAL geotransform of a window of the scene, given in its fine pixels."""
        x0, dx, _, y0, _, dy = self.geotransform
        return (x0 + cols.start * dx, dx, 0.0, y0 + rows.start * dy, 0.0, dy)


def align(
    hsi: Raster,
    msi: Raster,
    extent: tuple[float, float, float, float] | None = None,
    mask: Raster | None = None,
) -> Alignment:
    """Lay the HSI's grid on the MSI's.

    `extent` is (xmin, ymin, xmax, ymax) in the rasters' CRS; it cuts the output at the nearest pixel edges and changes
    nothing else. `mask` is only checked here (masks.py reads it). HSFusionError, one sentence each: too few bands, no
    georeference, a rotated grid, different CRS, a ratio that is not above 1 or not the same along rows and columns, no
    overlap, less than 8 x 8 HSI pixels of it, an empty extent. `warp.py` brings an HSI that this refuses onto the MSI's
    grid first.
    """
    check_bands(hsi, msi)
    others = [] if mask is None else [mask]
    for raster in (hsi, msi, *others):
        check_grid(raster)
    for raster in (hsi, *others):
        _check_crs(raster, msi)
    ratio = _ratio(hsi, msi)
    x0, dx, _, y0, _, dy = msi.geotransform
    left, top = (hsi.geotransform[0] - x0) / dx, (hsi.geotransform[3] - y0) / dy  # HSI corner in MSI pixels
    pitch_x, pitch_y = hsi.geotransform[1] / dx, hsi.geotransform[5] / dy
    if apart(hsi, msi):
        raise HSFusionError("HSI and MSI do not overlap; choose two rasters of the same place.")
    if mask is not None and apart(mask, msi):
        raise HSFusionError(f"MASK: '{mask.path}' does not reach the MSI; choose a mask of the same place.")
    coarse_rows, fine_rows, phase_y = _axis(top, pitch_y, ratio, hsi.rows, msi.rows)
    coarse_cols, fine_cols, phase_x = _axis(left, pitch_x, ratio, hsi.cols, msi.cols)
    if min(len(coarse_rows), len(coarse_cols)) < FEWEST_PIXELS:
        raise HSFusionError(
            f"HSI and MSI share only {len(coarse_cols)} x {len(coarse_rows)} whole HSI pixels, and at least "
            f"{FEWEST_PIXELS} x {FEWEST_PIXELS} are needed; use rasters that overlap more."
        )
    scene = (x0 + fine_cols.start * dx, dx, 0.0, y0 + fine_rows.start * dy, 0.0, dy)
    rows, cols = _cut(extent, scene, len(fine_rows), len(fine_cols))
    notes = () if msi.crs_wkt else ("HSI and MSI name no CRS: their coordinates are taken to be of the same one.",)
    return Alignment(
        float(ratio),
        coarse_rows,
        coarse_cols,
        fine_rows,
        fine_cols,
        phase_y,
        phase_x,
        rows,
        cols,
        scene,
        msi.crs_wkt,
        notes,
    )


def check_bands(hsi: Raster, msi: Raster) -> None:
    """HSFusionError where the numbers of usable bands cannot be those of a pair."""
    bands, fine = int((~hsi.bad).sum()), int((~msi.bad).sum())
    if bands < 2:
        raise HSFusionError(
            f"HSI: '{hsi.path}' has {bands} usable band(s) and fusion needs at least 2; choose the hyperspectral "
            "raster."
        )
    if fine < 1:
        raise HSFusionError(f"MSI: '{msi.path}' marks all its bands as bad; correct its bad-band list.")
    if bands < fine:
        raise HSFusionError(f"The HSI has fewer bands ({bands}) than the MSI ({fine}); the two may have been swapped.")


def check_grid(raster: Raster, rotated: bool = False) -> None:
    """HSFusionError unless the raster is georeferenced and, where `rotated` is not allowed, north-up."""
    if not raster.georeferenced:
        raise HSFusionError(f"{raster.role}: '{raster.path}' {_where_it_could_lie(raster)}.")
    if not (rotated or raster.north_up):
        raise HSFusionError(f"{raster.role}: '{raster.path}' has a rotated grid; bring it north-up first (gdalwarp).")


def _where_it_could_lie(raster: Raster) -> str:
    """What a raster without a grid has instead, and the next step."""
    dataset = raster.handle()
    if dataset.GetGCPCount():
        return (
            f"has {dataset.GetGCPCount()} ground control points and no grid; bring it onto a map first: "
            "gdalwarp -tps -t_srs EPSG:... in out.tif"
        )
    if dataset.GetMetadata("RPC"):
        return (
            "has rational polynomial coefficients (RPC) and no grid; bring it onto a map first: "
            "gdalwarp -rpc -to RPC_DEM=dem.tif -t_srs EPSG:... in out.tif"
        )
    return "has no georeference; give it one (gdal_translate -a_srs -a_ullr)"


def check_both_have_crs(raster: Raster, msi: Raster) -> None:
    """HSFusionError where one of two rasters names a CRS and the other does not."""
    if bool(raster.crs_wkt) != bool(msi.crs_wkt):
        bare = msi if raster.crs_wkt else raster
        raise HSFusionError(
            f"{bare.role}: '{bare.path}' has no CRS while the other raster has one; assign it "
            f"({edit_advice(bare.path, '-a_srs EPSG:CODE')})."
        )


def _check_crs(raster: Raster, msi: Raster) -> None:
    check_both_have_crs(raster, msi)
    if raster.crs_wkt and not same_crs(raster.crs_wkt, msi.crs_wkt):
        names = " and ".join(crs_name(r.crs_wkt) for r in (raster, msi))
        raise HSFusionError(
            f"{raster.role} and MSI have different CRS ({names}); warp the {raster.role} to the MSI's CRS first."
        )


def apart(first: Raster, second: Raster) -> bool:
    """Whether two rasters in one CRS share no area."""
    (a0, b0, a1, b1), (c0, d0, c1, d1) = first.bounds, second.bounds
    return min(a1, c1) <= max(a0, c0) or min(b1, d1) <= max(b0, d0)


def ratios(hsi: Raster, msi: Raster) -> tuple[float, float]:
    """HSI pixel / MSI pixel along columns and along rows, in one CRS."""
    (hx, hy), (mx, my) = hsi.pixel_size, msi.pixel_size
    return hx / mx, hy / my


def same_ratio(hsi: Raster, msi: Raster) -> bool:
    """Whether one ratio serves rows and columns without carrying the grids apart."""
    rx, ry = ratios(hsi, msi)
    reach = max(min(msi.cols, rx * hsi.cols), min(msi.rows, ry * hsi.rows)) / 2
    return abs(rx - ry) / (rx + ry) * reach <= LARGEST_DRIFT


def _ratio(hsi: Raster, msi: Raster) -> float:
    """The whole number that the ratio is as good as, else the ratio itself."""
    (hx, hy), (mx, my) = hsi.pixel_size, msi.pixel_size
    rx, ry = ratios(hsi, msi)
    sizes = f"{hx:g} x {hy:g} against {mx:g} x {my:g}"
    if max(rx, ry) <= 1 + RATIO_TOLERANCE:
        raise HSFusionError(f"The HSI's pixels are not larger than the MSI's ({sizes}); the two may have been swapped.")
    whole = max(round(rx), 2)
    drift = (
        max(abs(rx - whole) / rx * min(msi.cols, rx * hsi.cols), abs(ry - whole) / ry * min(msi.rows, ry * hsi.rows))
        / 2
    )
    if max(abs(rx - whole), abs(ry - whole)) <= RATIO_TOLERANCE and drift <= LARGEST_DRIFT:
        return float(whole)
    if not same_ratio(hsi, msi):
        raise HSFusionError(
            f"The HSI's pixels are another shape than the MSI's ({sizes}); resample the HSI to pixels of the MSI's "
            "shape first (gdalwarp -tr)."
        )
    return math.sqrt(rx * ry)


def _axis(offset: float, pitch: float, ratio: float, coarse_count: int, fine_count: int) -> tuple[range, range, float]:
    """Coarse and fine pixels of one axis, and the phase; coarse pixel i spans offset + [i, i + 1] pitch in fine pixels.

    A coarse pixel counts when it lies within the fine raster to half a fine pixel.
    """
    slack = 0.5 + 1e-6
    first = max(0, math.ceil((-offset - slack) / pitch))
    last = min(coarse_count, math.floor((fine_count - offset + slack) / pitch))
    count = max(0, last - first)
    start = offset + first * pitch + 0.5 * count * (pitch - ratio)  # exact in the middle of the overlap
    corner = math.floor(start + 0.5 * (count * ratio - _span(count, ratio)) + 0.5 - 1e-6)
    if corner + _span(count, ratio) > fine_count:  # half a pixel out at the far edge
        corner = fine_count - _span(count, ratio)
    corner = max(corner, 0)
    while count and corner + _span(count, ratio) > fine_count:
        count -= 1
    phase = start - corner
    stop = corner + _span(count, ratio)
    return range(first, first + count), range(corner, stop), 0.0 if abs(phase) < 1e-6 else phase


def _span(count: int, ratio: float) -> int:
    """Fine pixels that `count` coarse ones cover."""
    return round(count * ratio)


def _cut(
    extent: tuple[float, float, float, float] | None, scene: tuple[float, ...], rows: int, cols: int
) -> tuple[range, range]:
    if extent is None:
        return range(rows), range(cols)
    xmin, ymin, xmax, ymax = extent
    x0, dx, _, y0, _, dy = scene
    if not all(math.isfinite(v) for v in extent) or xmax <= xmin or ymax <= ymin:
        raise HSFusionError("EXTENT has no area; draw it again.")
    edges = [math.floor((x - x0) / dx + 0.5) for x in (xmin, xmax)] + [
        math.floor((y - y0) / dy + 0.5) for y in (ymax, ymin)
    ]
    if edges[1] <= edges[0] or edges[3] <= edges[2]:
        raise HSFusionError("EXTENT is smaller than a pixel of the MSI; make it larger.")
    left, right, top, bottom = max(edges[0], 0), min(edges[1], cols), max(edges[2], 0), min(edges[3], rows)
    if right <= left or bottom <= top:
        raise HSFusionError("EXTENT lies outside the area that HSI and MSI share; move it there.")
    return range(top, bottom), range(left, right)
