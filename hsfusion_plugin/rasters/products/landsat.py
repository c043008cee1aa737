"""Landsat 4 to 9, collection 2, levels 1 and 2 (USGS, LSDS-1618, LSDS-1619): a GeoTIFF a band and an MTL.txt;
docs/formats/landsat.md.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.product import Grid, Product, QualityClass, Wanted, utc
from .reading.responses import described
from .reading.source import Source, missing
from .reading.stack import FileBand, Stack, grid_of, single

FAMILY = "Landsat"
_METADATA = r".*_MTL\.txt"
_SPECTRAL = {"OLI": range(1, 10), "ETM": (1, 2, 3, 4, 5, 7, 8), "TM": (1, 2, 3, 4, 5, 7)}
_PAN, _CIRRUS = 8, 9
_BITS = {"fill": 0, "dilated cloud": 1, "cirrus": 2, "cloud": 3, "shadow": 4, "snow": 5, "water": 7}
_SATURATION = {"OLI": 0x7F, "ETM": 0x5F, "TM": 0x5F}  # without the thermal band
Groups = dict[str, dict[str, str]]


def recognise(source: Source) -> bool:
    """Whether the source is a Landsat product of collection 2."""
    return _metadata(source) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The bands of reflected light, or the panchromatic one."""
    path = _metadata(source)
    groups = _groups(source.text(path))
    contents, image = groups.get("PRODUCT_CONTENTS", {}), groups.get("IMAGE_ATTRIBUTES", {})
    level = contents.get("PROCESSING_LEVEL", "")[:2]
    if level not in ("L1", "L2") or contents.get("COLLECTION_NUMBER", "02") not in ("02", "2"):
        raise HSFusionError(
            f"PRODUCT: '{path.name}' is not of collection 2, level 1 or 2, of which alone the layout is known."
        )
    instrument = next((k for k in _SPECTRAL if image.get("SENSOR_ID", "").startswith(k)), None)
    if instrument is None:
        raise HSFusionError(
            f"PRODUCT: '{path.name}' is of the sensor {image.get('SENSOR_ID', '?')}, which takes no such bands."
        )
    sensor = image.get("SPACECRAFT_ID", "LANDSAT_8").title().replace("_", "-")
    layers = _stack(source, path, groups, level, instrument, sensor, wanted)
    if wanted.resolution and wanted.resolution != (15 if wanted.pan else 30):
        raise HSFusionError(
            f"RESOLUTION is {wanted.resolution:g}; Landsat's bands have 30 m and its panchromatic one 15 m."
        )
    return Product(
        family=FAMILY,
        level=level,
        identifier=contents.get("LANDSAT_PRODUCT_ID", path.name.removesuffix("_MTL.txt")),
        sensor=sensor,
        time=utc(f"{image.get('DATE_ACQUIRED', '')}T{image.get('SCENE_CENTER_TIME', '')}"),
        quantity="surface reflectance" if level == "L2" else "top of atmosphere reflectance",
        image=layers,
        classes=_classes(path, contents, layers.grid, instrument),
    )


def _metadata(source: Source) -> Path | None:
    if source.main is not None and not re.fullmatch(_METADATA, source.main.name, re.IGNORECASE):
        stem = re.match(r"(L[COTEM]0[4-9]_L[12]\w\w_\d{6}_\d{8}_\d{8}_\d\d_\w\w)_", source.main.name)
        path = source.folder / f"{stem.group(1)}_MTL.txt" if stem else None
        return path if path is not None and path.is_file() else None
    found = source.one(_METADATA)
    return found if found is not None and "LANDSAT" in source.text(found)[:5000] else None


def _groups(text: str) -> Groups:
    """NAME = VALUE by innermost group."""
    groups: Groups = {}
    names: list[str] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key == "GROUP":
            names.append(value)
        elif key == "END_GROUP":
            names = names[:-1]
        elif equals and names:
            groups.setdefault(names[-1], {})[key] = value.strip('"')
    return groups


def _stack(
    source: Source, path: Path, groups: Groups, level: str, instrument: str, sensor: str, wanted: Wanted
) -> Stack:
    contents = groups["PRODUCT_CONTENTS"]
    numbers = [_PAN] if wanted.pan else [n for n in _SPECTRAL[instrument] if n != _PAN]
    numbers = [n for n in numbers if f"FILE_NAME_BAND_{n}" in contents]
    if not numbers:
        what = "panchromatic band" if wanted.pan else "band of reflected light"
        raise HSFusionError(f"{'PAN' if wanted.pan else 'PRODUCT'}: '{path.name}' lists no {what}.")
    files = [path.with_name(contents[f"FILE_NAME_BAND_{n}"]) for n in numbers]
    for file in files:
        if not file.is_file():
            raise missing(source, file.name, f"which '{path.name}' lists")
    infos = [_info(groups, level, sensor, n) for n in numbers]
    return Stack([FileBand(str(file)) for file in files], infos, grid_of(files[0]), 0.0)


def _info(groups: Groups, level: str, sensor: str, number: int) -> BandInfo:
    """Reflectance = number x MULT + ADD, at level 1 divided by the sine of the sun's elevation."""
    name = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" if level == "L2" else "LEVEL1_RADIOMETRIC_RESCALING"
    try:
        scale, offset = (float(groups[name][f"REFLECTANCE_{key}_BAND_{number}"]) for key in ("MULT", "ADD"))
        light = 1.0 if level == "L2" else math.sin(math.radians(float(groups["IMAGE_ATTRIBUTES"]["SUN_ELEVATION"])))
    except (KeyError, ValueError) as error:
        raise HSFusionError(
            f"PRODUCT: the MTL file gives no reflectance factors for band {number}: it is damaged."
        ) from error
    gsd = 15.0 if number == _PAN else 30.0
    return described(
        sensor, str(number), f"B{number}", scale=scale / light, offset=offset / light, gsd_m=gsd, bad=number == _CIRRUS
    )


def _classes(path: Path, contents: dict[str, str], grid: Grid, instrument: str) -> dict[str, QualityClass]:
    found = {}
    for key, kinds in (
        ("FILE_NAME_QUALITY_L1_PIXEL", {name: 1 << bit for name, bit in _BITS.items()}),
        ("FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION", {"saturated": _SATURATION[instrument]}),
    ):
        file = path.with_name(contents.get(key, "none"))
        if file.is_file():
            layer = single(file, grid)
            found.update({name: QualityClass(layer, bits=bits) for name, bits in kinds.items()})
    return found
