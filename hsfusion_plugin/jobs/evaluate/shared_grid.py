"""The pixels that two rasters on one grid share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import HSFusionError
from ...rasters.grids.crs import same_there
from ...rasters.reading.raster import Raster

_SAME_PLACE = 0.01  # pixels by which two grids may differ at any corner


@dataclass(frozen=True)
class SharedGrid:
    """The same place in both rasters: row and column ranges of the reference and of the fused raster, of equal size."""

    reference: tuple[range, range]
    fused: tuple[range, range]
    geotransform: tuple[float, ...]
    crs_wkt: str
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return len(self.reference[0]), len(self.reference[1])


def shared_grid(reference: Raster, fused: Raster, ratio: float = 1.0) -> SharedGrid:
    """Where one raster lies on the other, pixel on pixel; without a georeference their first pixels are the same one.

    ratio: HSI pixel / MSI pixel; so many pixels less, simulation may have cut away at the south and east edge.
    HSFusionError, one sentence each: another number of bands, another CRS, grids that do not fall on each other, no
    common area, sizes that cannot be explained.
    """
    if reference.count != fused.count:
        raise HSFusionError(
            f"FUSED has {fused.count} bands and REFERENCE {reference.count}: choose the reference with the same bands."
        )
    sizes = f"FUSED has {fused.cols} x {fused.rows} pixels and REFERENCE {reference.cols} x {reference.rows}"
    warnings = []
    if reference.georeferenced and fused.georeferenced:
        crs = reference.crs_wkt, fused.crs_wkt
        if all(crs) and not same_there(*crs, fused.bounds, fused.pixel_size):
            raise HSFusionError("FUSED and REFERENCE have different CRSs: warp one of them to the other's grid.")
        row, col = _place(reference, fused, sizes)
    else:
        if max(abs(reference.rows - fused.rows), abs(reference.cols - fused.cols)) >= max(ratio, 1.0):
            raise HSFusionError(f"{sizes}, and one of them has no georeference: clip the larger one.")
        row = col = 0
        warnings.append("A raster has no georeference, so pixels were compared by row and column.")
    a, b = (max(row, 0), max(col, 0)), (max(-row, 0), max(-col, 0))
    rows = min(reference.rows - a[0], fused.rows - b[0])
    cols = min(reference.cols - a[1], fused.cols - b[1])
    if min(rows, cols) <= 0:
        raise HSFusionError(f"{sizes} and shares none of them: choose two rasters of the same place.")
    if not (rows, cols) == (reference.rows, reference.cols) == (fused.rows, fused.cols):
        warnings.append(f"{sizes}: only their common area of {cols} x {rows} was compared.")
    x0, dx, row_x, y0, col_y, dy = reference.geotransform
    origin = (x0 + a[1] * dx + a[0] * row_x, dx, row_x, y0 + a[1] * col_y + a[0] * dy, col_y, dy)
    return SharedGrid(
        reference=(range(a[0], a[0] + rows), range(a[1], a[1] + cols)),
        fused=(range(b[0], b[0] + rows), range(b[1], b[1] + cols)),
        geotransform=origin,
        crs_wkt=reference.crs_wkt or fused.crs_wkt,
        warnings=(*warnings, *_wavelength_doubt(reference, fused)),
    )


def _place(reference: Raster, fused: Raster, sizes: str) -> tuple[int, int]:
    """(row, col) of the fused raster's first pixel in the reference; refuses other pixels and fractions of a pixel."""
    a, b = (np.array(raster.geotransform).reshape(2, 3) for raster in (reference, fused))
    if abs(np.linalg.det(a[:, 1:])) == 0:
        raise HSFusionError("REFERENCE has pixels of zero size: give it a georeference first.")
    to_pixels = np.linalg.inv(a[:, 1:])
    corners = np.array([(x, y) for x in (0, fused.cols) for y in (0, fused.rows)]).T
    places = (
        to_pixels @ (b[:, :1] + b[:, 1:] @ corners - a[:, :1]) - corners
    )  # the same for every corner of a like grid
    if np.ptp(places, axis=1).max() > _SAME_PLACE:
        raise HSFusionError(f"{sizes} of another size or orientation: warp one of them to the other's grid.")
    col, row = np.rint(places.mean(axis=1)).astype(int)
    apart = np.abs(places - [[col], [row]]).max()
    if apart > _SAME_PLACE:
        raise HSFusionError(
            f"FUSED and REFERENCE have grids that lie {apart:.2g} of a pixel apart: warp one of them to the other's "
            "grid."
        )
    return int(row), int(col)


def _wavelength_doubt(reference: Raster, fused: Raster) -> list[str]:
    if reference.wavelengths is None or fused.wavelengths is None:
        return []
    good = ~(reference.bad | fused.bad)
    apart = np.abs(reference.wavelengths - fused.wavelengths)[good]
    if apart.size == 0 or apart.max() <= 1.0:
        return []
    return [f"Wavelengths of the same band differ by up to {apart.max():.1f} nm: check the order of the bands."]
