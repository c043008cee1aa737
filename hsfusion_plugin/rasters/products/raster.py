"""Any raster that GDAL opens and no other family knows: orthophotos, NAIP, multispectral stacks;
docs/formats/rasters.md.
"""

from __future__ import annotations

from pathlib import Path

from ....models.errors import HSFusionError
from ..gdal_calls import open_dataset
from ..reading.metadata import describe_bands
from .reading.product import Product, Wanted, utc
from .reading.source import Source
from .reading.stack import opened_file
from .reading.tiff_product import tiff_image

FAMILY = "raster"
LAST = True
_ENDINGS = r".*\.(?:tif|tiff|geotiff|img|jp2|vrt)"


def recognise(source: Source) -> bool:
    """Whether the source is a raster file, or a folder with one."""
    return source.hdf is None and _file(source) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The raster with what its bands say of themselves."""
    path = _file(source)
    if wanted.pan:
        raise HSFusionError("PAN: only products that are known by name have a panchromatic image.")
    dataset = opened_file(path)
    items = dataset.GetMetadata()
    date = items.get("ACQUISITION_TIME") or items.get("TIFFTAG_DATETIME", "").replace(":", "-", 2)
    return Product(
        family=FAMILY,
        level="",
        identifier=path.stem,
        sensor="",
        time=utc(date),
        quantity="",
        image=tiff_image(path, describe_bands(dataset).bands, None),
    )


def _file(source: Source) -> Path | None:
    path = source.main
    if path is None:
        found = source.find(_ENDINGS)
        path = found[0] if len(found) == 1 else None
    if path is None:
        return None
    dataset, _ = open_dataset(str(path))
    return path if dataset is not None and dataset.RasterCount else None
