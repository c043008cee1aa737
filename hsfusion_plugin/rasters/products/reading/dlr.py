"""What DLR keeps beside EnMAP's and DESIS's images: ...SPECTRAL_IMAGE.TIF knows no wavelengths, ...METADATA.XML knows
them all.

EnMAP: DLR, EN-PCV-ICD-2009, a <bandID number="N"> a band. DESIS: a <band> with a <bandNumber>, and the same tags in
other words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from .....models.errors import HSFusionError
from ...gdal_calls import collected_errors
from .xml import Node, parse

_IMAGE = re.compile(r"(.*)SPECTRAL_IMAGE(_VNIR|_SWIR)?(?:_COG)?\.(TIF|TIFF|BIL|BIP|BSQ|JP2)", re.IGNORECASE)
_TAGS = (
    ("wavelengthCenterOfBand",),
    ("FWHMOfBand", "wavelengthWidthOfBand"),
    ("gainOfBand", "GainOfBand"),
    ("offsetOfBand", "OffsetOfBand"),
)
_LARGEST = 20_000_000  # bytes


@dataclass(frozen=True)
class SideCar:
    """Per band of the image, in file order: wavelength and FWHM (nm), gain and offset to reflectance or radiance,
    whether it is delivered.
    """

    wavelength: np.ndarray
    fwhm: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    delivered: np.ndarray


def read_sidecar(image: str, count: int) -> SideCar | None:
    """What METADATA.XML beside an EnMAP image of `count` bands says; None for another file, or where the two do not
    fit.
    """
    found = _IMAGE.fullmatch(image)
    names = (f"{found.group(1)}METADATA.{ending}" for ending in ("XML", "xml")) if found else ()
    text = next((text for text in map(_text, names) if text is not None), None)
    return None if text is None else parse_sidecar(text, count, (found.group(2) or "").upper())


def parse_sidecar(text: str, count: int, part: str = "") -> SideCar | None:
    """The same of the metadata's text; `part`: "_VNIR" or "_SWIR" where the image holds one camera's bands."""
    try:
        root = parse(text, "METADATA.XML")
    except HSFusionError:
        return None
    bands = _bands(root)
    numbers = sorted(bands)
    numbers = numbers[:count] if part == "_VNIR" else numbers[-count:] if part == "_SWIR" else numbers
    if len(numbers) != count:
        return None
    table = np.array([[_number(bands[number], tags) for tags in _TAGS] for number in numbers]).T
    expected = {
        int(word)
        for node in root.all("expectedChannelsList")
        for word in node.text.replace(",", " ").split()
        if word.isascii() and word.isdigit() and len(word) < 10
    }
    listed = np.array([number in expected for number in numbers])
    # A list that counts each detector from 1 cannot be told from a short one, so half of the bands must be in it.
    delivered = listed if 2 * listed.sum() >= count else np.ones(count, bool)
    return SideCar(table[0], table[1], table[2], table[3], delivered)


def _bands(root: Node) -> dict[int, Node]:
    """Number -> description of each band that has a wavelength."""
    numbered = [(node.attribute("number"), node) for node in root.all("bandID")]
    numbered += [(node.value("bandNumber"), node) for node in root.all("band")]
    return {
        int(text): node
        for text, node in numbered
        if text.isascii() and text.isdigit() and len(text) < 10 and node.first("wavelengthCenterOfBand") is not None
    }


def _number(band: Node, tags: tuple[str, ...]) -> float:
    found = (band.number(tag) for tag in tags)
    value = next((value for value in found if value is not None), np.nan)
    return value if np.isfinite(value) else np.nan


def _text(path: str) -> str | None:
    """A text file by GDAL, so that a product inside a .zip (/vsizip/) will do; None if it is not there."""
    with collected_errors():
        stat = gdal.VSIStatL(path)
        file = gdal.VSIFOpenL(path, "rb") if stat is not None and 0 < stat.size <= _LARGEST else None
        if file is None:
            return None
        try:
            return bytes(gdal.VSIFReadL(1, stat.size, file)).decode("utf-8", "replace")
        finally:
            gdal.VSIFCloseL(file)
