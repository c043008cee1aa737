"""PlanetScope of 4 and 8 bands and SkySat (Planet, product specifications): GeoTIFF, metadata in XML, udm2;
docs/formats/planet.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.product import Product, QualityClass, Wanted, utc
from .reading.responses import described
from .reading.source import Source
from .reading.stack import opened_file, single
from .reading.tiff_product import TIFF, beside, tiff_image
from .reading.xml import Node, parse

FAMILY = "PlanetScope or SkySat"
_IMAGE = re.compile(
    rf"(?P<stem>.*?\d{{8}}_\d{{6}}.*?)_(?:3B_)?(?P<kind>AnalyticMS|Visual|analytic|ortho_analytic|ortho_panchromatic|panchromatic|pansharpened)"
    rf"[\w]*{TIFF}",
    re.IGNORECASE,
)
_FOUR = ("Blue", "Green", "Red", "NIR")
_EIGHT = ("Coastal-Blue", "Blue", "Green_i", "Green_ii", "Yellow", "Red", "Red-edge", "NIR")
_FOUR_OF_EIGHT = ("Blue", "Green_ii", "Red", "NIR")
_UDM2 = {"snow": 2, "shadow": 3, "haze": 5, "cloud": 6}  # bands, from 1; 1 = of this class
_UNUSABLE = 8


def recognise(source: Source) -> bool:
    """Whether the source is an analytic image of Planet's."""
    return _file(source, False) is not None or _file(source, True) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """Surface reflectance (1e-4), or reflectance at the sensor by the coefficients of the metadata."""
    path = _file(source, wanted.pan)
    if path is None:
        raise HSFusionError(f"PAN: '{source.given}' has no {'panchromatic' if wanted.pan else 'multispectral'} image.")
    found = _IMAGE.fullmatch(path.name)
    stem = found.group("stem")
    document = beside(path, rf"{re.escape(stem)}.*metadata.*\.xml")
    xml = parse(source.text(document), document.name) if document is not None else None
    surface = re.search(r"_SR\b|_SR_|_sr\b", path.name) is not None
    sensor = _sensor(path, xml)
    bands = _bands(path, sensor, xml, surface, wanted.pan)
    image = tiff_image(path, bands, 0.0)
    at_sensor = any(band.scale != 1 for band in bands)
    return Product(
        family="SkySat" if sensor == "SkySat" else "PlanetScope",
        level="surface reflectance" if surface else "analytic",
        identifier=path.stem,
        sensor=sensor,
        time=utc(
            (xml.value("acquisitionDate") if xml is not None else "") or re.search(r"\d{8}_\d{6}", path.name).group()
        ),
        quantity="surface reflectance" if surface else "top of atmosphere reflectance" if at_sensor else "radiance",
        image=image,
        classes=_classes(path, stem, image),
    )


def _file(source: Source, pan: bool) -> Path | None:
    def fits(file: Path) -> bool:
        found = _IMAGE.fullmatch(file.name)
        kind = found.group("kind").lower() if found else ""
        udm = re.search(r"udm2?", file.name, re.IGNORECASE)
        return bool(found) and not udm and ("panchromatic" in kind) == pan and kind not in ("visual", "pansharpened")

    if source.main is not None and source.main.suffix.lower() in (".tif", ".tiff"):
        return source.main if fits(source.main) else None
    found = [file for file in source.files if fits(file)]
    found = [file for file in found if "_SR" in file.name.upper()] or found
    if len(found) > 1:
        raise HSFusionError(
            f"PRODUCT: '{source.given}' holds {len(found)} images ({found[0].name}, {found[1].name}, ...): choose one."
        )
    return found[0] if found else None


def _sensor(path: Path, xml: Node | None) -> str:
    if re.search(r"_ssc?\d+", path.name, re.IGNORECASE):
        return "SkySat"
    told = xml.value("Instrument", "shortName") if xml is not None else ""
    count = opened_file(path).RasterCount
    return "PlanetScope-SuperDove" if count == 8 or "SD" in told.upper() else "PlanetScope-Dove"


def _bands(path: Path, sensor: str, xml: Node | None, surface: bool, pan: bool) -> list[BandInfo]:
    count = opened_file(path).RasterCount
    names: Sequence[str] = ("Pan",) if pan else _EIGHT if count == 8 else _FOUR_OF_EIGHT if "Super" in sensor else _FOUR
    if count != len(names):
        raise HSFusionError(f"PRODUCT: '{path.name}' has {count} bands; {len(names)} are expected.")
    factors = [1e-4] * count if surface else _coefficients(xml, count)
    return [described(sensor, name, scale=factor) for name, factor in zip(names, factors)]


def _coefficients(xml: Node | None, count: int) -> list[float]:
    """To reflectance at the sensor; 1 where the metadata do not tell them."""
    told = {}
    for node in xml.all("bandSpecificMetadata") if xml is not None else ():
        number, factor = node.number("bandNumber"), node.number("reflectanceCoefficient")
        if number and factor:
            told[int(number)] = factor
    return [told.get(i + 1, 1.0) for i in range(count)] if len(told) >= count else [1.0] * count


def _classes(path: Path, stem: str, image) -> dict[str, QualityClass]:
    mask = beside(path, rf"{re.escape(stem)}.*udm2.*{TIFF}")
    if mask is None:
        return {}
    found = {name: QualityClass(single(mask, image.grid, band), (1,)) for name, band in _UDM2.items()}
    found["unusable"] = QualityClass(single(mask, image.grid, _UNUSABLE), bits=0xFF)
    return found
