"""Polygons as masks on the grid of a raster, and what each member says of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from osgeo import gdal, ogr, osr

from ...errors import HSFusionError
from ...rasters.grids.grid import Grid
from .request import Polygons

MOST_VALUES = 30_000_000  # of all members that are kept for quantiles within polygons


@dataclass(frozen=True)
class Area:
    """The pixels of one polygon, by their centres: mask (h, w) bool from (row, col) on."""

    name: str
    row: int
    col: int
    mask: np.ndarray

    def within(self, row: int, col: int, height: int, width: int) -> tuple[tuple[slice, slice], np.ndarray] | None:
        """Of a window of the raster: its part (slices within the window) that the polygon's box meets, and the mask
        there; None = apart.
        """
        top, left = max(row, self.row), max(col, self.col)
        bottom = min(row + height, self.row + self.mask.shape[0])
        right = min(col + width, self.col + self.mask.shape[1])
        if top >= bottom or left >= right:
            return None
        mask = self.mask[top - self.row : bottom - self.row, left - self.col : right - self.col]
        return (slice(top - row, bottom - row), slice(left - col, right - col)), mask


def areas_of(polygons: Polygons, grid: Grid, role: str) -> list[Area]:
    """The polygons that hold the centre of a pixel; HSFusionError where none does."""
    transform = _transform(polygons.crs_wkt, grid.crs_wkt, role)
    found = []
    for name, wkb in polygons.shapes:
        shape = ogr.CreateGeometryFromWkb(wkb)
        if shape is None or shape.IsEmpty():
            continue
        if transform is not None and shape.Transform(transform) != 0:
            raise HSFusionError(f"{role}: polygon {name} cannot be brought to the raster's CRS: check the layer's CRS.")
        area = _rasterized(name, shape, grid)
        if area is not None:
            found.append(area)
    if not found:
        raise HSFusionError(
            f"{role}: no polygon of {polygons.source} holds the centre of a pixel: check its CRS and place."
        )
    return found


def _transform(source: str, target: str, role: str) -> osr.CoordinateTransformation | None:
    if not source or not target or source == target:
        return None
    systems = []
    for wkt in (source, target):
        system = osr.SpatialReference()
        if system.ImportFromWkt(wkt) != 0:
            raise HSFusionError(f"{role}: a CRS cannot be read: check the layer's CRS.")
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        systems.append(system)
    return osr.CoordinateTransformation(*systems)


def _rasterized(name: str, shape: ogr.Geometry, grid: Grid) -> Area | None:
    inverse = gdal.InvGeoTransform(grid.geotransform)
    west, east, south, north = shape.GetEnvelope()
    corners = [gdal.ApplyGeoTransform(inverse, x, y) for x in (west, east) for y in (south, north)]
    cols, rows = zip(*corners)
    left, right = max(0, int(np.floor(min(cols)))), min(grid.cols, int(np.ceil(max(cols))))
    top, bottom = max(0, int(np.floor(min(rows)))), min(grid.rows, int(np.ceil(max(rows))))
    if left >= right or top >= bottom:
        return None
    g = grid.geotransform
    x, y = gdal.ApplyGeoTransform(g, float(left), float(top))
    target = gdal.GetDriverByName("MEM").Create("", right - left, bottom - top, 1, gdal.GDT_Byte)
    target.SetGeoTransform((x, g[1], g[2], y, g[4], g[5]))
    if grid.crs_wkt:
        target.SetProjection(grid.crs_wkt)
    source = (ogr.GetDriverByName("Memory") or ogr.GetDriverByName("MEM")).CreateDataSource("")
    system = osr.SpatialReference(grid.crs_wkt) if grid.crs_wkt else None
    layer = source.CreateLayer("polygons", system)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(shape)
    layer.CreateFeature(feature)
    gdal.RasterizeLayer(target, [1], layer, burn_values=[1])
    plain = target.GetRasterBand(1).ReadRaster()
    mask = np.frombuffer(plain, np.uint8).reshape(bottom - top, right - left) > 0
    return Area(name, top, left, mask) if mask.any() else None


@dataclass
class Tally:
    """What the members say of one polygon: sums, largest values and pixels (n,) of a quantity, and the values
    themselves where few enough.
    """

    area: Area
    members: int
    sums: np.ndarray = field(init=False)
    counts: np.ndarray = field(init=False)
    largest: np.ndarray = field(init=False)
    values: list[np.ndarray] | None = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums, self.counts = np.zeros(self.members), np.zeros(self.members)
        self.largest = np.full(self.members, -np.inf)

    def add(self, row: int, col: int, quantity: np.ndarray) -> None:
        """quantity (n, rows, cols) of a window of the raster, NaN where unknown."""
        found = self.area.within(row, col, *quantity.shape[1:])
        if found is None:
            return
        where, mask = found
        inside = quantity[(slice(None), *where)][:, mask].astype(np.float64)
        known = np.isfinite(inside)
        self.sums += np.where(known, inside, 0.0).sum(axis=1)
        self.counts += known.sum(axis=1)
        if inside.shape[1]:
            self.largest = np.maximum(self.largest, np.where(known, inside, -np.inf).max(axis=1))
        if self.values is not None:
            self.values.append(inside.astype(np.float32))

    @property
    def mean(self) -> np.ndarray:
        """(n,), NaN where no pixel is known."""
        return np.divide(self.sums, self.counts, out=np.full(self.members, np.nan), where=self.counts > 0)

    def quantile(self, share: float) -> np.ndarray | None:
        """(n,): of the pixels' values in each member; None where they were too many to keep."""
        if not self.values:
            return None
        return np.nanquantile(np.concatenate(self.values, axis=1), share, axis=1)


def tallies(areas: list[Area], members: int) -> list[Tally]:
    """One per polygon."""
    keep = members * sum(int(area.mask.sum()) for area in areas) <= MOST_VALUES
    found = [Tally(area, members) for area in areas]
    if not keep:
        for tally in found:
            tally.values = None
    return found
