"""Multispectral cameras on drones: a GeoTIFF of reflectance for each colour (Pix4D, DJI Terra; MicaSense, DJI);
docs/formats/drone.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from ....models.errors import HSFusionError
from .reading.product import Product, Wanted, same_size
from .reading.responses import described
from .reading.source import Source
from .reading.stack import FileBand, Stack, grid_of, opened_file
from .reading.tiff_product import TIFF

FAMILY = "drone camera"
_COLOURS = {"blue": r"blue", "green": r"green", "red": r"red", "rededge": r"red[ _-]?edge", "nir": r"nir"}
_NAME = r"(?P<stem>.*?(?:reflectance|result|index_map|ortho)\w*?)[ _-]"
_FEWEST = 3


def recognise(source: Source) -> bool:
    """Whether a folder holds one GeoTIFF for each of several colours."""
    return len(_files(source)) >= _FEWEST


def open_product(source: Source, wanted: Wanted) -> Product:
    """All colours in the order of wavelength; the camera is told by the file's tags, else it is a MicaSense RedEdge."""
    if wanted.pan:
        raise HSFusionError("PAN: these cameras have no panchromatic band.")
    files = _files(source)
    first = next(iter(files.values()))
    grid = grid_of(first)
    for path in files.values():
        own = grid_of(path)
        same_size(f"'{path.name}'", (own.rows, own.cols), grid)
    sensor = _sensor(first)
    dataset = opened_file(first)
    nodata = dataset.GetRasterBand(1).GetNoDataValue()
    bands = [described(sensor, colour, colour) for colour in files]
    return Product(
        family=FAMILY,
        level="",
        identifier=first.parent.name,
        sensor=sensor,
        time="",
        quantity="surface reflectance",
        image=Stack([FileBand(str(path)) for path in files.values()], bands, grid, nodata),
    )


def _files(source: Source) -> dict[str, Path]:
    if source.main is not None:
        return {}
    found = {}
    for colour, pattern in _COLOURS.items():
        matches = source.find(rf"{_NAME}{pattern}{TIFF}")
        if len(matches) == 1:
            found[colour] = matches[0]
    return found if len({path.parent for path in found.values()}) == 1 else {}


def _sensor(path: Path) -> str:
    dataset = opened_file(path)
    text = " ".join(dataset.GetMetadata().values()) + path.name
    return "DJI-Multispectral" if re.search(r"dji|result_", text, re.IGNORECASE) else "MicaSense-RedEdge"
