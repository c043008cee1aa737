"""DESIS, levels 1B, 1C and 2A (DLR, DESIS Products and Product Format): GeoTIFFs and a METADATA.xml;
docs/formats/desis.md.
"""

from __future__ import annotations

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.dlr_product import DlrFiles, band_list, dlr_files, layer_of
from .reading.product import Grid, Product, QualityClass, Wanted, utc
from .reading.source import Source, missing
from .reading.stack import FileBand, Stack, opened_file

FAMILY = "DESIS"
# Bands of QL_QUALITY-2, from 1; the values are 0 and 1.
_BANDS = {
    "shadow": (1,),
    "snow": (3,),
    "haze": (4, 5),
    "cloud": (6, 7),
    "water": (8,),
}


def recognise(source: Source) -> bool:
    """Whether the source is a DESIS product."""
    return dlr_files(source, FAMILY) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The product as it is described by its METADATA.xml."""
    files = dlr_files(source, FAMILY)
    if wanted.pan:
        raise HSFusionError("PAN: DESIS has no panchromatic band.")
    path = files.file("SPECTRAL_IMAGE")
    if path is None:
        raise missing(source, f"{files.prefix}SPECTRAL_IMAGE.tif", f"which '{files.metadata.name}' describes")
    _, image = band_list(files, path)
    return Product(
        family=FAMILY,
        level=files.level,
        identifier=files.prefix.rstrip("-_."),
        sensor=FAMILY,
        time=utc(files.xml.value("temporalCoverage", "startTime") or files.xml.value("startTime")),
        quantity="surface reflectance" if files.level == "L2A" else "radiance in mW/(cm2 sr um)",
        image=image,
        classes=_classes(files, image.grid),
    )


def _classes(files: DlrFiles, grid: Grid) -> dict[str, QualityClass]:
    layer = layer_of(files, "QL_QUALITY-2", grid)
    if layer is None:
        return {}
    path = layer.parts[0].path
    count = opened_file(path).RasterCount
    stack = Stack([FileBand(path, i + 1) for i in range(count)], [BandInfo()] * count, grid)
    return {
        name: QualityClass(stack, (1,), bands=[band - 1 for band in bands])
        for name, bands in _BANDS.items()
        if max(bands) <= count
    }
