"""Size and place of a raster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Rows and columns of a raster, GDAL's geotransform, and its CRS as WKT ("": none)."""

    rows: int
    cols: int
    geotransform: tuple[float, ...]
    crs_wkt: str = ""

    @property
    def pixel_area(self) -> float:
        """In the square of the CRS's unit."""
        g = self.geotransform
        return abs(g[1] * g[5] - g[2] * g[4])
