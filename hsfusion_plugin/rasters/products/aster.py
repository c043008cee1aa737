"""ASTER level 1T (NASA LP DAAC): HDF-EOS2, or GeoTIFFs of single bands; docs/formats/aster.md."""

from __future__ import annotations

import re
from pathlib import Path

from osgeo import gdal

from ....models.errors import HSFusionError
from .reading.product import Product, Wanted, utc
from .reading.responses import described
from .reading.source import Source
from .reading.stack import FileBand, Stack, opened_file
from .reading.tiff_product import TIFF, place_of

FAMILY = "ASTER"
_IMAGE = re.compile(
    rf"(?P<stem>AST_L1T_\w+?)_(?:VNIR_Swath_|SWIR_Swath_|SWIR_|VNIR_)?ImageData(?P<band>[1-9]N?){TIFF}", re.IGNORECASE
)
_VNIR, _SWIR = ("1", "2", "3N"), ("4", "5", "6", "7", "8", "9")


def recognise(source: Source) -> bool:
    """Whether the source is an ASTER L1T product."""
    return bool(_bands(source))


def open_product(source: Source, wanted: Wanted) -> Product:
    """The VNIR bands (15 m) or, with RESOLUTION 30, the SWIR bands; numbers as stored."""
    if wanted.pan:
        raise HSFusionError("PAN: ASTER has no panchromatic band.")
    files = _bands(source)
    names = [name for name in (_SWIR if wanted.resolution == 30 else _VNIR) if name in files]
    if not names or wanted.resolution not in (0, 15, 30):
        raise HSFusionError(
            f"RESOLUTION is {wanted.resolution:g}; this product has no such bands: 15 is VNIR and 30 SWIR."
        )
    gsd = 30.0 if wanted.resolution == 30 else 15.0
    bands = [described("ASTER", name, f"B{name}", gsd_m=gsd) for name in names]
    first = source.main or Path(files[names[0]])
    return Product(
        family=FAMILY,
        level="L1T",
        identifier=first.stem,
        sensor="ASTER",
        time=utc(_date(first.name)),
        quantity="",
        image=Stack([FileBand(files[name]) for name in names], bands, place_of(files[names[0]]), 0.0),
        notes=("ASTER: the numbers are those that the sensor stored; a fusion fits gain and offset.",),
    )


def _bands(source: Source) -> dict[str, str]:
    """Band name to GDAL's name of its image."""
    if source.main is not None and source.main.suffix.lower() == ".hdf":
        return _of_hdf(source.main)
    found = ((_IMAGE.fullmatch(file.name), file) for file in source.files)
    images = {match.group("band").upper(): (match.group("stem"), file) for match, file in found if match}
    if source.main is not None:
        own = _IMAGE.fullmatch(source.main.name)
        images = {k: v for k, v in images.items() if own and v[0] == own.group("stem")}
    return {band: str(file) for band, (_, file) in images.items()}


def _of_hdf(path: Path) -> dict[str, str]:
    if not path.name.upper().startswith("AST_L1T") or gdal.GetDriverByName("HDF4") is None:
        return {}
    names = [name for name, _ in opened_file(path).GetSubDatasets()]
    found = ((re.search(r"ImageData([1-9]N?)$", name), name) for name in names)
    return {match.group(1): name for match, name in found if match}


def _date(name: str) -> str:
    found = re.search(r"AST_L1T_\d{3}(\d\d)(\d\d)(\d{4})(\d{6})", name)  # version, month, day, year, time
    return f"{found.group(3)}{found.group(1)}{found.group(2)}T{found.group(4)}" if found else ""
