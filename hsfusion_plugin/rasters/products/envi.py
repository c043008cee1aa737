"""Cubes with an ENVI header: AVIRIS, HyMap, APEX, Specim, Headwall, Resonon; docs/formats/envi.md.

A cube without a map is laid out by the geographic lookup table (GLT) or gets the places of its input geometry (IGM)
that lie beside it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import describe_bands
from .reading.cube import ArrayPlaces, LookedUp, degrees
from .reading.envi_header import envi_file, envi_header
from .reading.product import Grid, Layer, Product, Wanted, utc
from .reading.source import Source
from .reading.stack import FileBand, Stack, grid_of, opened_file, single

FAMILY = "ENVI cube"
_GEOMETRY = re.compile(r"(?:.*[_.])?(glt|igm|loc|obs|obs_ort)(?:[_.]|$)", re.IGNORECASE)
_FEWEST_BANDS = 8
_SENSORS = (
    "AVIRIS-NG",
    "AVIRIS-3",
    "AVIRIS",
    "HyMap",
    "APEX",
    "Specim",
    "Headwall",
    "Resonon",
    "HySpex",
    "CASI",
    "SASI",
)
_FILL = -9999.0


def recognise(source: Source) -> bool:
    """Whether the source is a cube with an ENVI header."""
    return _cube(source) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The cube on its map, on the grid of its GLT, or as the sensor saw it."""
    path = _cube(source)
    if wanted.pan:
        raise HSFusionError("PAN: an ENVI cube has no panchromatic image.")
    header, dataset = envi_header(source, path), opened_file(path)
    infos = describe_bands(dataset).bands
    nodata = dataset.GetRasterBand(1).GetNoDataValue()
    image: Layer = Stack([FileBand(str(path), i + 1) for i in range(len(infos))], infos, grid_of(path), nodata)
    image, notes = _laid_out(source, path, header, image, wanted.swath)
    return Product(
        family=FAMILY,
        level="",
        identifier=path.stem,
        sensor=_sensor(path, header),
        time=utc(header.get("acquisition time", "") or header.get("acquisition date", "") or _date(path.name)),
        quantity=header.get("data units", "") or ("reflectance" if infos[0].scale != 1 else ""),
        image=image,
        notes=notes,
    )


def _cube(source: Source) -> Path | None:
    if source.main is not None:
        path = envi_file(source.main)
        return path if path is not None and _is_cube(source, path) else None
    found = [envi_file(header) for header in source.find(r".*\.hdr")]
    cubes = sorted({path for path in found if path is not None and _is_cube(source, path)})
    if len(cubes) > 1:
        cubes = [path for path in cubes if re.search(r"rfl|refl", path.name, re.IGNORECASE)] or cubes
    if len(cubes) > 1:
        raise HSFusionError(
            f"PRODUCT: '{source.given}' holds {len(cubes)} cubes ({cubes[0].name}, {cubes[1].name}, ...): choose one "
            "of these files."
        )
    return cubes[0] if cubes else None


def _is_cube(source: Source, path: Path) -> bool:
    header = envi_header(source, path)
    bands = header.get("bands", "0")
    return (
        bands.isdigit()
        and int(bands) >= _FEWEST_BANDS
        and "samples" in header
        and not _GEOMETRY.fullmatch(path.stem.rpartition("_img")[0] or path.stem)
    )


def _laid_out(
    source: Source, path: Path, header: dict[str, str], image: Layer, as_seen: bool
) -> tuple[Layer, tuple[str, ...]]:
    if "map info" in header and "arbitrary" not in header["map info"].lower():
        return image, ()
    lookup, geometry = _beside(source, path, ("glt",)), _beside(source, path, ("igm", "loc"))
    if lookup is not None and not as_seen:
        return _on_lookup(lookup, image), (f"The cube was laid on the grid of '{lookup.name}'.",)
    if geometry is not None:
        _place(source, geometry, image)
        return image, (f"Every pixel has a place by '{geometry.name}'.",)
    return image, ()


def _beside(source: Source, path: Path, kinds: tuple[str, ...]) -> Path | None:
    """The geometry file whose name shares most with the cube's."""
    found = []
    for other in path.parent.iterdir():
        match = _GEOMETRY.match(other.name) if other.suffix.lower() != ".hdr" and other != path else None
        if match and match.group(1).lower() in kinds and envi_file(other) == other:
            shared = next((i for i, (a, b) in enumerate(zip(other.name, path.name)) if a != b), 0)
            found.append((shared, -kinds.index(match.group(1).lower()), other))
    return max(found)[2] if found and max(found)[0] >= 6 else None


def _on_lookup(path: Path, swath: Layer) -> LookedUp:
    """Bands of a GLT: sample and line, from 1, negative where a neighbour fills in, 0 where there is none."""
    grid = grid_of(path)
    bands = [single(path, grid, number) for number in (2, 1)]

    def table(rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.abs(band.read(rows, cols, [0])[0].astype(np.int64)) - 1 for band in bands)

    return LookedUp(swath, table, grid, _FILL)


def _place(source: Source, path: Path, image: Layer) -> None:
    """Bands of an IGM or LOC file: x, y, height; degrees where the numbers are, else the CRS of its header."""
    grid = image.grid
    size = grid_of(path)
    if (size.rows, size.cols) != (grid.rows, grid.cols):
        raise HSFusionError(f"PRODUCT: '{path.name}' has another size than the cube: they do not belong together.")
    x, y = (single(path, grid, number) for number in (1, 2))
    small = np.abs(x.read(range(0, 1), range(0, grid.cols), [0])).max() <= 360
    crs = degrees() if small else size.crs_wkt
    image.grid = Grid(grid.rows, grid.cols, places=ArrayPlaces(x, y, crs)) if crs else grid


def _sensor(path: Path, header: dict[str, str]) -> str:
    told = f"{header.get('sensor type', '')} {header.get('description', '')}".lower()
    if re.match(r"ang\d{8}", path.name):
        return "AVIRIS-NG"
    if re.match(r"(?i)av3\d{8}", path.name):
        return "AVIRIS-3"
    return next((name for name in _SENSORS if name.lower() in told), "")


def _date(name: str) -> str:
    found = re.search(r"((?:19|20)\d{6})[tT_]?(\d{6})?", name)
    if found:
        return found.group(1) + (f"T{found.group(2)}" if found.group(2) else "")
    classic = re.match(r"f(\d\d)(\d\d)(\d\d)t", name)  # AVIRIS Classic: year, month, day
    return f"20{''.join(classic.groups())}" if classic else ""
