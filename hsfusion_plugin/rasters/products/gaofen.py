"""Gaofen 1, 2, 6 (PMS) and Gaofen 5 (AHSI), as the China Centre for Resources Satellite Data delivers them;
docs/formats/gaofen.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.cube import Joined
from .reading.product import Layer, Product, Wanted, utc
from .reading.responses import described
from .reading.source import Source
from .reading.tiff_product import TIFF, tiff_image
from .reading.xml import Node, parse

FAMILY = "Gaofen"
_PMS = re.compile(rf"GF[126]\w?_.+-(?P<kind>MSS|MUX|PAN)\d?(?:_fuse)?{TIFF}", re.IGNORECASE)
_AHSI = re.compile(rf"GF5\w?_AHSI.*_(?P<part>VN|SW|VNIR|SWIR){TIFF}", re.IGNORECASE)


def recognise(source: Source) -> bool:
    """Whether the source is such an image."""
    return bool(_files(source, _AHSI) or _files(source, _PMS))


def open_product(source: Source, wanted: Wanted) -> Product:
    """Radiance of AHSI by its tables of calibration; numbers as stored of PMS, whose factors are published apart."""
    hyperspectral = _files(source, _AHSI)
    if hyperspectral:
        return _ahsi(source, hyperspectral, wanted)
    kinds = ("PAN",) if wanted.pan else ("MSS", "MUX")
    files = [f for f in _files(source, _PMS) if _PMS.fullmatch(f.name).group("kind").upper() in kinds]
    if len(files) != 1:
        raise HSFusionError(
            f"{'PAN' if wanted.pan else 'PRODUCT'}: '{source.given}' holds {len(files) or 'no'} such image(s): choose "
            "one file."
        )
    path = files[0]
    xml = _xml(source, path)
    sensor = (xml.value("SatelliteID") if xml is not None else path.name.partition("_")[0]).upper().replace("GF", "GF-")
    names = ("PAN",) if wanted.pan else ("MS1", "MS2", "MS3", "MS4")
    return Product(
        family=sensor,
        level=xml.value("ProductLevel") if xml is not None else "",
        identifier=path.stem,
        sensor=sensor,
        time=utc(xml.value("StartTime") or xml.value("CenterTime") if xml is not None else _date(path.name)),
        quantity="",
        image=tiff_image(path, [described(sensor, name) for name in names], 0.0),
        notes=(
            "The numbers are those that the sensor stored: the calibration factors of each year are published apart "
            "from the image.",
        ),
    )


def _ahsi(source: Source, files: list[Path], wanted: Wanted) -> Product:
    if wanted.pan:
        raise HSFusionError("PAN: Gaofen 5 AHSI has no panchromatic band.")
    files = sorted(files, key=lambda f: "SW" in _AHSI.fullmatch(f.name).group("part").upper())
    if source.main in files:
        files = [source.main]
    layers: list[Layer] = [tiff_image(path, _calibrated(source, path), 0.0) for path in files]
    sizes = {(layer.grid.rows, layer.grid.cols) for layer in layers}
    if len(sizes) > 1:
        raise HSFusionError(
            f"PRODUCT: the images of AHSI's two cameras have different sizes: choose one of {files[0].name}, "
            f"{files[1].name}."
        )
    xml = _xml(source, files[0])
    return Product(
        family="Gaofen-5 AHSI",
        level=xml.value("ProductLevel") if xml is not None else "",
        identifier=re.sub(r"_(VN|SW)\w*$", "", files[0].stem),
        sensor="GF-5-AHSI",
        time=utc(xml.value("StartTime") if xml is not None else _date(files[0].name)),
        quantity="radiance",
        image=Joined(layers) if len(layers) > 1 else layers[0],
    )


def _calibrated(source: Source, path: Path) -> list[BandInfo]:
    """Centre and width by Spectralresponse_XX, gain and offset by RadCal_XX: texts with two numbers a line."""
    part = _AHSI.fullmatch(path.name).group("part")[:2].upper()
    spectral, radiometric = (_table(source, path, kind, part) for kind in ("spectral", "rad"))
    if spectral is None:
        raise HSFusionError(
            f"PRODUCT: the table of wavelengths of '{path.name}' (Spectralresponse_{part}) is missing: get the product "
            "again."
        )
    if radiometric is None or len(radiometric) != len(spectral):
        radiometric = np.tile([1.0, 0.0], (len(spectral), 1))
    return [
        BandInfo(
            float(nm), float(width) if width > 0 else None, f"{part} {i + 1}", scale=float(gain), offset=float(offset)
        )
        for i, ((nm, width), (gain, offset)) in enumerate(zip(spectral, radiometric))
    ]


def _table(source: Source, path: Path, kind: str, part: str) -> np.ndarray | None:
    pattern = re.compile(rf".*{kind}.*_?{part}\w*\.(?:raw|txt|csv)", re.IGNORECASE)
    file = next((f for f in sorted(path.parent.iterdir()) if pattern.fullmatch(f.name)), None)
    if file is None:
        return None
    rows = [re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", line) for line in source.text(file).splitlines()]
    values = [[float(word) for word in row[-2:]] for row in rows if len(row) >= 2]
    return np.array(values) if values else None


def _files(source: Source, pattern: re.Pattern[str]) -> list[Path]:
    if source.main is not None:
        return [source.main] if pattern.fullmatch(source.main.name) else []
    return [f for f in source.files if pattern.fullmatch(f.name)]


def _xml(source: Source, path: Path) -> Node | None:
    for file in (path.with_suffix(".xml"), *sorted(path.parent.glob("*.meta.xml")), *sorted(path.parent.glob("*.xml"))):
        if file.is_file() and "SatelliteID" in source.text(file)[:20_000]:
            return parse(source.text(file), file.name)
    return None


def _date(name: str) -> str:
    found = re.search(r"_(20\d{6})_", name)
    return found.group(1) if found else ""
