"""Sentinel-2 levels 1C and 2A as SAFE products (ESA, S2-PDGS-TAS-DI-PSD): one JPEG 2000 a band;
docs/formats/sentinel-2.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.product import Grid, Product, QualityClass, Transform, Wanted, crs_of_epsg, utc
from .reading.responses import described
from .reading.source import Source, missing
from .reading.stack import FileBand, Stack, grid_of, opened_file, single
from .reading.tiles import mosaic_path
from .reading.xml import Node, parse

FAMILY = "Sentinel-2"
_BANDS = (
    "B01",
    "B02",
    "B03",
    "B04",
    "B05",
    "B06",
    "B07",
    "B08",
    "B8A",
    "B09",
    "B10",
    "B11",
    "B12",
)  # in the order of band_id
_GSD = dict(zip(_BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20)))
_METADATA = r"(?:MTD_MSIL(?:1C|2A)|S2[A-D]_.*MTD_.*)\.xml"
_SATURATED = 65535
_SCENE_CLASSES = {
    "fill": (0,),
    "saturated": (1,),
    "shadow": (3,),
    "water": (6,),
    "cloud": (8, 9),
    "cirrus": (10,),
    "snow": (11,),
}
_OFFSET_SINCE = 4.0  # processing baseline


@dataclass(frozen=True)
class Tile:
    """One granule: its folder, its metadata, its images by band and resolution (metres), without ending."""

    folder: Path
    xml: Node
    images: dict[tuple[str, int], Path]


def recognise(source: Source) -> bool:
    """Whether the source is a Sentinel-2 product, or a folder of several."""
    return bool(_metadata_files(source))


def open_product(source: Source, wanted: Wanted) -> Product:
    """All bands on one grid: a coarser band is repeated, a finer one averaged; several tiles of one date are
    one image.
    """
    if wanted.pan:
        raise HSFusionError("PAN: Sentinel-2 has no panchromatic band.")
    files = _metadata_files(source)
    documents = [parse(source.text(path), path.name) for path in files]
    level, xml = _common_level(source, documents), documents[0]
    tiles = [tile for path, document in zip(files, documents) for tile in _tiles(source, path, document)]
    resolution = _resolution(wanted, tiles)
    grid = _grid(tiles, resolution)
    image = _image(tiles, documents, level, resolution, grid)
    sensor = (xml.value("SPACECRAFT_NAME") or "Sentinel-2A").replace("_", "-")
    return Product(
        family=FAMILY,
        level=level,
        identifier=(xml.value("PRODUCT_URI") or files[0].parent.name).removesuffix(".SAFE"),
        sensor=sensor,
        time=utc(xml.value("DATATAKE_SENSING_START") or xml.value("PRODUCT_START_TIME") or xml.value("PRODUCT_URI")),
        quantity="surface reflectance" if level == "L2A" else "top of atmosphere reflectance",
        image=image,
        classes=_classes(tiles, level, image, grid, resolution),
        notes=_notes(tiles, image, resolution),
    )


def _metadata_files(source: Source) -> list[Path]:
    """The main metadata file of each product."""
    if source.main is not None:
        folders = [source.main.parent, source.main.parent.parent.parent]
        named = [source.main] if re.fullmatch(_METADATA, source.main.name, re.IGNORECASE) else []
        inside = source.main.name.lower() in ("manifest.safe", "inspire.xml", "mtd_tl.xml")
        found = named or [
            p for f in folders for p in sorted(f.glob("*.xml")) if inside and re.fullmatch(_METADATA, p.name)
        ]
        return [path for path in found[:1] if _is_ours(source, path)]
    return [path for path in source.find(_METADATA) if _is_ours(source, path)]


def _is_ours(source: Source, path: Path) -> bool:
    return re.search(r"Level-(1C|2A)_User_Product", source.text(path)[:20_000]) is not None


def _common_level(source: Source, documents: Sequence[Node]) -> str:
    levels = {"L" + re.search(r"Level-(1C|2A)", document.name).group(1) for document in documents}
    dates = {utc(document.value("PRODUCT_START_TIME"))[:10] for document in documents}
    if len(levels) > 1 or len(dates) > 1:
        raise HSFusionError(
            f"PRODUCT: '{source.given}' holds products of several {'levels' if len(levels) > 1 else 'dates'} "
            f"({', '.join(sorted(levels if len(levels) > 1 else dates))}): choose one of them."
        )
    return levels.pop()


def _tiles(source: Source, metadata: Path, document: Node) -> list[Tile]:
    root, tiles = metadata.parent, []
    for names in _listed(root, document):
        images = {}
        for name in names:
            found = re.search(r"_(B\d[\dA]|SCL)(?:_(\d\d)m)?$", name)
            if found:
                gsd = int(found.group(2) or _GSD.get(found.group(1), 20))
                images[found.group(1), gsd] = root / name
        folder = next((root / Path(*Path(name).parts[:2]) for name in names if name.startswith("GRANULE")), None)
        if not images or folder is None:
            continue
        xml_path = folder / "MTD_TL.xml"
        if not xml_path.is_file():
            raise missing(source, f"{xml_path.relative_to(root)}", "which says where the tile lies")
        tiles.append(Tile(folder, parse(source.text(xml_path), xml_path.name), images))
    if not tiles:
        raise missing(source, "the list of images", f"which '{metadata.name}' should hold")
    for tile in tiles:
        for path in tile.images.values():
            if not _file(path).is_file():
                raise missing(source, f"{_file(path).name}", f"which '{metadata.name}' lists")
    return tiles


def _listed(root: Path, document: Node) -> list[list[str]]:
    """Names of the images of each granule, below the product's folder and without ending; found in the folders where
    none is listed.
    """
    listed = [
        [node.text for key in ("IMAGE_FILE", "IMAGE_FILE_2A", "IMAGE_ID") for node in granule.all(key)]
        for granule in [*document.all("Granule"), *document.all("Granules")]
    ]
    if any(listed):
        return listed
    folders = sorted(root.glob("GRANULE/*"))
    return [
        [f.relative_to(root).with_suffix("").as_posix() for f in sorted(g.glob("IMG_DATA/**/*.jp2"))] for g in folders
    ]


def _file(path: Path) -> Path:
    return path if path.suffix.lower() == ".jp2" else path.with_name(path.name + ".jp2")


def _resolution(wanted: Wanted, tiles: Sequence[Tile]) -> int:
    there = sorted({gsd for tile in tiles for band, gsd in tile.images if band in _BANDS})
    if not wanted.resolution:
        return there[0]
    if wanted.resolution not in (10, 20, 60) or wanted.resolution < there[0]:
        raise HSFusionError(f"RESOLUTION is {wanted.resolution:g}; this product has {', '.join(map(str, there))} m.")
    return int(wanted.resolution)


def _grid(tiles: Sequence[Tile], resolution: int) -> Grid:
    """Of all tiles together, which must lie in one UTM zone."""
    codes = {tile.xml.value("HORIZONTAL_CS_CODE") for tile in tiles}
    if len(codes) > 1:
        raise HSFusionError(
            f"PRODUCT: the tiles lie in {len(codes)} UTM zones ({', '.join(sorted(codes))}): choose those of one."
        )
    code = re.search(r"\d+", codes.pop() or "")
    boxes = [_box(tile, resolution) for tile in tiles]
    if code is None or any(box is None for box in boxes):
        return grid_of(_file(next(path for (_, gsd), path in tiles[0].images.items() if gsd == resolution)))
    left, top = min(b[0] for b in boxes), max(b[1] for b in boxes)
    right, bottom = max(b[2] for b in boxes), min(b[3] for b in boxes)
    transform: Transform = (left, float(resolution), 0.0, top, 0.0, -float(resolution))
    rows, cols = round((top - bottom) / resolution), round((right - left) / resolution)
    return Grid(rows, cols, transform, crs_of_epsg(int(code.group())))


def _box(tile: Tile, resolution: int) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom by the tile's metadata."""
    place = next((n for n in tile.xml.all("Geoposition") if n.attribute("resolution") == str(resolution)), None)
    size = next((n for n in tile.xml.all("Size") if n.attribute("resolution") == str(resolution)), None)
    if place is None or size is None:
        return None
    left, top = place.number("ULX"), place.number("ULY")
    rows, cols = size.number("NROWS"), size.number("NCOLS")
    return left, top, left + cols * resolution, top - rows * resolution


def _image(tiles: Sequence[Tile], documents: Sequence[Node], level: str, resolution: int, grid: Grid) -> Stack:
    divisor, offsets = _radiometry(documents[0], level)
    sensor = (documents[0].value("SPACECRAFT_NAME") or "Sentinel-2A").replace("_", "-")
    parts, infos = [], []
    for number, band in enumerate(_BANDS):
        sizes = sorted({gsd for tile in tiles for b, gsd in tile.images if b == band})
        if not sizes:
            continue
        gsd = resolution if resolution in sizes else max(s for s in sizes if s <= max(_GSD[band], sizes[0]))
        path = mosaic_path(
            [_file(tile.images[band, gsd]) for tile in tiles if (band, gsd) in tile.images], grid, nodata=0
        )
        parts.append(FileBand(path, 1, gsd / resolution))
        own = max(gsd, _GSD[band])
        atmospheric = band == "B10" or _GSD[band] == 60 and resolution < 60
        infos.append(
            _info(documents[0], sensor, number, band, 1 / divisor, offsets[number] / divisor, own, atmospheric)
        )
    return Stack(parts, infos, grid, 0.0)


def _info(
    xml: Node, sensor: str, number: int, band: str, scale: float, offset: float, gsd: int, atmospheric: bool
) -> BandInfo:
    """Wavelength by the metadata, else by the table of sensors, which always gives the width."""
    told = described(sensor, band[1:].lstrip("0"), band, scale=scale, offset=offset, gsd_m=float(gsd), bad=atmospheric)
    spectral = next((n for n in xml.all("Spectral_Information") if n.attribute("bandId") == str(number)), None)
    centre = spectral.number("Wavelength", "CENTRAL") if spectral is not None else None
    return told if centre is None else BandInfo(**{**told.__dict__, "wavelength_nm": centre})


def _radiometry(xml: Node, level: str) -> tuple[float, list[float]]:
    """Quantification value, and what is added to the numbers of each band before they are divided by it."""
    names = (
        ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET")
        if level == "L2A"
        else ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET")
    )
    divisor = xml.number(names[0]) or xml.number("L1C_L2A_Quantification_Values_List", names[0]) or 10000.0
    listed = {node.attribute("band_id"): float(node.text) for node in xml.all(names[1])}
    since = (xml.number("PROCESSING_BASELINE") or 0.0) >= _OFFSET_SINCE
    default = -1000.0 if since and not listed else 0.0
    return divisor, [listed.get(str(i), default) for i in range(len(_BANDS))]


def _classes(tiles: Sequence[Tile], level: str, image: Stack, grid: Grid, resolution: int) -> dict[str, QualityClass]:
    if level == "L1C":
        return _classes_1c(tiles, image, grid)
    sizes = sorted({gsd for tile in tiles for band, gsd in tile.images if band == "SCL"})
    if not sizes:
        return {}
    paths = [_file(tile.images["SCL", sizes[0]]) for tile in tiles if ("SCL", sizes[0]) in tile.images]
    layer = single(mosaic_path(paths, grid, nodata=0), grid)
    return {name: QualityClass(layer, values) for name, values in _SCENE_CLASSES.items()}


def _classes_1c(tiles: Sequence[Tile], image: Stack, grid: Grid) -> dict[str, QualityClass]:
    """Saturation is a value of the images; clouds are bands of MSK_CLASSI since processing baseline 4."""
    found = {"saturated": QualityClass(image, (_SATURATED,), bands=tuple(range(len(image.bands))))}
    masks = [path for tile in tiles for path in sorted((tile.folder / "QI_DATA").glob("*CLASSI_B00.jp2"))]
    if len(masks) == len(tiles) and opened_file(masks[0]).RasterCount >= 3:
        path = mosaic_path(masks, grid)
        for band, name in enumerate(("cloud", "cirrus", "snow"), 1):
            found[name] = QualityClass(single(path, grid, band), (1,))
    return found


def _notes(tiles: Sequence[Tile], image: Stack, resolution: int) -> tuple[str, ...]:
    notes = []
    if len(tiles) > 1:
        notes.append(f"Sentinel-2: {len(tiles)} tiles of one date are one image.")
    left_out = [band.description for band in image.bands if band.bad]
    if left_out:
        notes.append(
            f"Sentinel-2: {', '.join(left_out)} look(s) at the atmosphere and is marked bad, so that a fusion leaves "
            "it out."
        )
    return tuple(notes)
