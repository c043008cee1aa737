"""SPOT 6 and 7, Pleiades and Pleiades Neo (Airbus, DIMAP 2): tiles of GeoTIFF or JPEG 2000 and a DIM_*.XML;
docs/formats/dimap.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.product import Product, Wanted, utc
from .reading.responses import described
from .reading.source import Source
from .reading.stack import FileBand, Stack, opened_file
from .reading.tiff_product import place_of
from .reading.xml import Node, number, parse

FAMILY = "SPOT or Pleiades"
_NAMES = {"B0": "blue", "B1": "green", "B2": "red", "B3": "nir", "P": "pan", "PAN": "pan"}
_NEO = {"DB": "bluecoastal", "B": "blue", "G": "green", "R": "red", "RE": "rededge", "NIR": "nir"}
_REFLECTANCE = 1e-4


def recognise(source: Source) -> bool:
    """Whether the source is a DIMAP 2 product."""
    return bool(_documents(source))


def open_product(source: Source, wanted: Wanted) -> Product:
    """Radiance = number / GAIN + BIAS, in W/(m2 sr um), or reflectance where the product says that it is."""
    path, xml = _chosen(source, wanted.pan)
    place = xml.first("Dataset_Sources", "Strip_Source") or xml
    sensor = _sensor(place.value("MISSION"), place.value("MISSION_INDEX"))
    reflectance = "REFLECTANCE" in xml.value("RADIOMETRIC_PROCESSING").upper()
    infos = [_info(xml, sensor, name, reflectance) for name in _order(xml)]
    count = opened_file(path).RasterCount
    if count != len(infos):
        raise HSFusionError(f"PRODUCT: the images of '{path.name}' have {count} bands and it describes {len(infos)}.")
    image = Stack([FileBand(str(path), i + 1) for i in range(count)], infos, place_of(path), _nodata(xml))
    radiance = "radiance in W/(m2 sr um)" if any(info.scale != 1 for info in infos) else ""
    return Product(
        family=sensor or FAMILY,
        level=xml.value("PROCESSING_LEVEL"),
        identifier=xml.value("DATASET_NAME") or path.stem,
        sensor=sensor,
        time=utc(f"{place.value('IMAGING_DATE')}T{place.value('IMAGING_TIME')}"),
        quantity="top of atmosphere reflectance" if reflectance else radiance,
        image=image,
    )


def _documents(source: Source) -> list[tuple[Path, Node]]:
    if source.main is not None:
        files = [source.main] if source.main.suffix.lower() in (".xml", ".dim") else []
    else:
        files = source.find(r"DIM_.*\.XML")
    texts = [(file, source.text(file)) for file in files]
    found = [(file, parse(text, file.name)) for file, text in texts if "Dimap_Document" in text[:3000]]
    return [(file, xml) for file, xml in found if xml.first("Raster_Data") is not None]


def _chosen(source: Source, pan: bool) -> tuple[Path, Node]:
    found = [(file, xml) for file, xml in _documents(source) if (set(_order(xml)) <= {"P", "PAN"}) == pan]
    if len(found) != 1:
        kind = "panchromatic" if pan else "multispectral"
        raise HSFusionError(
            f"{'PAN' if pan else 'PRODUCT'}: '{source.given}' holds {len(found) or 'no'} {kind} "
            f"image{'s' if len(found) > 1 else ''}: "
            "choose the DIM_*.XML of one."
        )
    return found[0]


def _order(xml: Node) -> list[str]:
    """BAND_IDs in the order of the images' bands."""
    listed = [(node.number("BAND_INDEX") or 0, node.value("BAND_ID")) for node in xml.all("Raster_Index")]
    if listed:
        return [name for _, name in sorted(listed, key=lambda pair: pair[0])]
    return [node.value("BAND_ID") for node in xml.all("Band_Radiance")]


def _info(xml: Node, sensor: str, name: str, reflectance: bool) -> BandInfo:
    word = _NAMES.get(name) or _NEO.get(name, name.lower())
    known = described(sensor, word, name)
    factors = next((node for node in xml.all("Band_Radiance") if node.value("BAND_ID") == name), None)
    gain = factors.number("GAIN") if factors is not None else None
    bias = factors.number("BIAS") if factors is not None else None
    scale, offset = (_REFLECTANCE, 0.0) if reflectance else (1 / gain if gain else 1.0, bias or 0.0)
    centre, width = known.wavelength_nm, known.fwhm_nm
    if centre is None:
        centre, width = _spectral_range(xml, name)
    return BandInfo(centre, width, name, scale=scale, offset=offset)


def _spectral_range(xml: Node, name: str) -> tuple[float | None, float | None]:
    """By the ends of the band, in micrometres."""
    node = next((n for n in xml.all("Band_Spectral_Range") if n.value("BAND_ID") == name), None)
    low, high = (number(node.value(key)) if node is not None else None for key in ("MIN", "MAX"))
    return ((low + high) * 500, (high - low) * 1000) if low and high else (None, None)


def _nodata(xml: Node) -> float:
    for node in xml.all("Special_Value"):
        if "NODATA" in node.value("SPECIAL_VALUE_TEXT").upper():
            return node.number("SPECIAL_VALUE_COUNT") or 0.0
    return 0.0


def _sensor(mission: str, index: str) -> str:
    mission = mission.upper().replace("PLÉIADES", "PLEIADES")
    if "NEO" in mission:
        return f"Pleiades-Neo-{index or 3}"
    if "PLEIADES" in mission or mission == "PHR":
        return f"Pleiades-{index or '1A'}"
    found = re.search(r"\d", index or mission)
    return f"SPOT-{found.group()}" if "SPOT" in mission and found else ""
