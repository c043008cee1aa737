"""What a preview on the map canvas fuses: which two of the project's layers, and which part of them."""

from __future__ import annotations

from collections.abc import Iterable

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)

from ..errors import HSFusionError

LARGEST_PX = 512  # MSI pixels on each side; seconds on a laptop's CPU
FEWEST_HSI_BANDS = 12
FEWEST_PX = 8


def likely_pair(layers: Iterable[QgsMapLayer]) -> tuple[QgsRasterLayer, QgsRasterLayer] | None:
    """(HSI, MSI): the raster with the most bands, and the finest one with fewer bands that overlaps it; None if there
    is none.
    """
    rasters = [
        layer
        for layer in layers
        if isinstance(layer, QgsRasterLayer) and layer.isValid() and layer.providerType() == "gdal"
    ]
    for hsi in sorted(rasters, key=lambda layer: -layer.bandCount()):
        if hsi.bandCount() < FEWEST_HSI_BANDS:
            break
        finer = [layer for layer in rasters if layer.bandCount() < hsi.bandCount() and _finer(layer, hsi)]
        if finer:
            return hsi, min(finer, key=lambda layer: (layer.rasterUnitsPerPixelX(), layer.bandCount()))
    return None


def preview_extent(
    seen: QgsRectangle, crs: QgsCoordinateReferenceSystem, hsi: QgsRasterLayer, msi: QgsRasterLayer
) -> QgsRectangle:
    """The middle of what is seen of both rasters, at most LARGEST_PX wide and high, in the MSI's CRS; HSFusionError if
    nothing is.
    """
    if crs.isValid() and msi.crs().isValid() and crs != msi.crs():
        seen = QgsCoordinateTransform(crs, msi.crs(), QgsProject.instance()).transformBoundingBox(seen)
    both = seen.intersect(msi.extent()).intersect(hsi.extent())
    wide, high = msi.rasterUnitsPerPixelX(), msi.rasterUnitsPerPixelY()
    if both.isEmpty() or both.width() < FEWEST_PX * wide or both.height() < FEWEST_PX * high:
        raise HSFusionError(
            f"The map canvas shows nothing that both {hsi.name()} and {msi.name()} cover: zoom to the place where they "
            "overlap."
        )
    return QgsRectangle.fromCenterAndSize(
        both.center(), min(both.width(), LARGEST_PX * wide), min(both.height(), LARGEST_PX * high)
    )


def extent_text(extent: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> str:
    """An extent as a parameter takes it: xmin,xmax,ymin,ymax [CRS]."""
    numbers = (extent.xMinimum(), extent.xMaximum(), extent.yMinimum(), extent.yMaximum())
    text = ",".join(f"{number:.12g}" for number in numbers)
    return f"{text} [{crs.authid()}]" if crs.authid() else text


def _finer(layer: QgsRasterLayer, hsi: QgsRasterLayer) -> bool:
    same = layer.crs() == hsi.crs() or not layer.crs().isValid() or not hsi.crs().isValid()
    small = layer.rasterUnitsPerPixelX() < hsi.rasterUnitsPerPixelX()
    return same and small and layer.extent().intersects(hsi.extent())
