"""WorldView, GeoEye, QuickBird and IKONOS (Maxar, imagery support data): GeoTIFF with an IMD or XML file;
docs/formats/maxar.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.product import Product, Wanted, utc
from .reading.responses import described
from .reading.source import Source, missing
from .reading.stack import FileBand, Stack, opened_file
from .reading.tiff_product import TIFF, place_of
from .reading.xml import parse

FAMILY = "WorldView, GeoEye, QuickBird, IKONOS"
_SENSORS = {
    "WV02": "WorldView-2",
    "WV03": "WorldView-3",
    "WV04": "WorldView-4",
    "GE01": "GeoEye-1",
    "QB02": "QuickBird-2",
    "IK": "IKONOS-2",
}
_NAMES = {
    "C": "coastal",
    "B": "blue",
    "G": "green",
    "Y": "yellow",
    "R": "red",
    "RE": "rededge",
    "N": "nir",
    "N2": "nir2",
    "P": "pan",
}
Groups = dict[str, dict[str, str]]


def recognise(source: Source) -> bool:
    """Whether the source is an image with Maxar's metadata."""
    return bool(_described(source))


def open_product(source: Source, wanted: Wanted) -> Product:
    """Radiance = number x absCalFactor / effectiveBandwidth, in W/(m2 sr um)."""
    path, groups = _chosen(source, wanted.pan)
    bands = [name for name in groups if name.startswith("BAND_")]
    sat = groups["IMAGE_1"].get("SATID", "").strip('"').upper()
    sensor = next((name for key, name in _SENSORS.items() if sat.startswith(key)), "")
    infos = [_info(sensor, name.removeprefix("BAND_"), groups[name]) for name in bands]
    image = _image(source, path, infos)
    return Product(
        family=sensor or FAMILY,
        level=groups[""].get("PRODUCTLEVEL", "").strip('"'),
        identifier=path.stem,
        sensor=sensor,
        time=utc(
            groups["IMAGE_1"].get("FIRSTLINETIME")
            or groups["IMAGE_1"].get("TLCTIME")
            or groups[""].get("EARLIESTACQTIME", "")
        ),
        quantity="radiance in W/(m2 sr um)" if any(info.scale != 1 for info in infos) else "",
        image=image,
    )


def _described(source: Source) -> list[tuple[Path, Groups]]:
    if source.main is not None:
        files = [source.main.with_suffix(s) for s in (".IMD", ".imd", ".XML", ".xml")]
        files = (
            [source.main] if source.main.suffix.lower() in (".imd", ".xml") else [f for f in files if f.is_file()][:1]
        )
    else:
        files = source.find(r".*\.IMD") or source.find(r".*\.XML")
    found = [(file, _groups(source, file)) for file in files]
    return [(file, groups) for file, groups in found if any(name.startswith("BAND_") for name in groups)]


def _chosen(source: Source, pan: bool) -> tuple[Path, Groups]:
    found = [(file, groups) for file, groups in _described(source) if ("BAND_P" in groups) == pan]
    if len(found) != 1:
        kind = "panchromatic" if pan else "multispectral"
        names = ", ".join(file.name for file, _ in found[:3])
        raise HSFusionError(
            f"{'PAN' if pan else 'PRODUCT'}: '{source.given}' holds {len(found) or 'no'} {kind} "
            f"image{'s' if found else ''}"
            f"{f' ({names}): choose one of these files' if found else ''}."
        )
    return found[0]


def _groups(source: Source, path: Path) -> Groups:
    """Entries by group, keys in capitals; "" = outside of groups; {} for another file."""
    text = source.text(path)
    groups: Groups = {"": {}, "IMAGE_1": {}}
    if path.suffix.lower() == ".xml":
        if "<IMD>" not in text[:20_000]:
            return {}
        imd = parse(text, path.name).first("IMD")
        for node in imd.children if imd is not None else ():
            name = "IMAGE_1" if node.name == "IMAGE" else node.name
            inner = {child.name.upper(): child.text for child in node.children}
            groups.setdefault(name if inner else "", {}).update(inner or {node.name.upper(): node.text})
        return groups
    name = ""
    for line in text.splitlines():
        key, equals, value = (part.strip().rstrip(";") for part in line.partition("="))
        if key == "BEGIN_GROUP":
            name = value
        elif key == "END_GROUP":
            name = ""
        elif equals:
            groups.setdefault(name, {})[key.upper()] = value
    return groups


def _info(sensor: str, code: str, entries: dict[str, str]) -> BandInfo:
    word = f"swir{code[1:]}" if re.fullmatch(r"S\d", code) else _NAMES.get(code, code)
    known = described(sensor, word, word.upper())
    if known.wavelength_nm is None and word == "nir":
        known = described(sensor, "nir1", "NIR1")
    try:
        scale = float(entries["ABSCALFACTOR"]) / float(entries["EFFECTIVEBANDWIDTH"])
    except (KeyError, ValueError, ZeroDivisionError):
        scale = 1.0
    return BandInfo(known.wavelength_nm, known.fwhm_nm, known.description, scale=scale)


def _image(source: Source, path: Path, infos: list[BandInfo]) -> Stack:
    """The GeoTIFF of the same name, or the tiles that are called after it (..._R1C1-...)."""
    pattern = re.compile(rf"{re.escape(path.stem)}{TIFF}", re.IGNORECASE)
    first, _, rest = path.stem.partition("-")
    tiles = re.compile(rf"{re.escape(first)}_R\d+C\d+-{re.escape(rest)}{TIFF}", re.IGNORECASE)
    beside = sorted(path.parent.iterdir())
    images = [f for f in beside if pattern.fullmatch(f.name)] or [f for f in beside if tiles.fullmatch(f.name)]
    if not images:
        raise missing(source, f"{path.stem}.TIF", f"which '{path.name}' describes")
    if len(images) > 1:
        raise HSFusionError(
            f"PRODUCT: the image is cut into {len(images)} tiles: join them first (gdalbuildvrt) and choose the result."
        )
    count = opened_file(images[0]).RasterCount
    if count != len(infos):
        raise HSFusionError(
            f"PRODUCT: '{images[0].name}' has {count} bands and '{path.name}' describes {len(infos)}: they do not "
            "belong together."
        )
    return Stack([FileBand(str(images[0]), i + 1) for i in range(count)], infos, place_of(images[0]), 0.0)
