"""EMIT, levels 1B and 2A (emit-sds/emit-utils, LP DAAC): netCDF-4, a swath with a geographic lookup table;
docs/formats/emit.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.cube import Cube, LookedUp, degrees, with_places
from .reading.hdf import Hdf
from .reading.product import Grid, Layer, Product, QualityClass, Wanted, utc
from .reading.source import Source

FAMILY = "EMIT"
_CUBES = {"reflectance": ("L2A", "surface reflectance"), "radiance": ("L1B", "radiance in uW/(cm2 sr nm)")}
_FILL = -9999.0
# Bands of the mask file, from 0 (emit-sds/emit-sds-l2a): binary flags.
_MASK_BANDS = {"cloud": (0,), "cirrus": (1,), "water": (2,), "spacecraft": (3,), "dilated cloud": (4,)}


def recognise(source: Source) -> bool:
    """Whether the source is an EMIT product."""
    hdf = source.hdf
    return hdf is not None and _cube_name(hdf) is not None and "sensor_band_parameters/wavelengths" in hdf


def open_product(source: Source, wanted: Wanted) -> Product:
    """The cube on the grid of its lookup table, or as the sensor saw it."""
    hdf, name = source.hdf, _cube_name(source.hdf)
    if wanted.pan:
        raise HSFusionError("PAN: EMIT has no panchromatic band.")
    array = hdf.array(name)
    bands = _bands(hdf)
    if len(array.shape) != 3 or array.shape[2] != len(bands):
        raise HSFusionError(
            f"PRODUCT: EMIT's {name} has {array.shape} values and {len(bands)} wavelengths: the file is damaged."
        )
    attributes = hdf.attributes()
    level, quantity = _CUBES[name]
    swath = Cube(array, (0, 1, 2), bands, Grid(*array.shape[:2]), array.fill if array.fill is not None else _FILL)
    return Product(
        family=FAMILY,
        level=level,
        identifier=str(attributes.get("title_id") or hdf.path.stem),
        sensor=FAMILY,
        time=utc(str(attributes.get("time_coverage_start", "")) or hdf.path.stem),
        quantity=quantity,
        image=_laid_out(hdf, swath, wanted.swath),
        classes=_classes(source, hdf, wanted.swath),
    )


def _cube_name(hdf: Hdf) -> str | None:
    return next((name for name in _CUBES if name in hdf.names), None)


def _bands(hdf: Hdf) -> list[BandInfo]:
    folder = "sensor_band_parameters"
    centres = hdf.array(f"{folder}/wavelengths").numbers()
    widths = hdf.array(f"{folder}/fwhm").numbers() if f"{folder}/fwhm" in hdf else np.zeros(centres.size)
    good = (
        hdf.array(f"{folder}/good_wavelengths").numbers()
        if f"{folder}/good_wavelengths" in hdf
        else np.ones(centres.size)
    )
    return [
        BandInfo(float(nm), float(width) if width > 0 else None, f"band {i + 1}", bad=bool(flag == 0))
        for i, (nm, width, flag) in enumerate(zip(centres, widths, good))
    ]


def _laid_out(hdf: Hdf, swath: Layer, as_seen: bool) -> Layer:
    """On the grid of the lookup table, whose numbers count from 1, are negative where a neighbour fills in, and 0 where
    there is none.
    """
    if as_seen:
        swath.grid = with_places(swath.grid, hdf.array("location/lon"), hdf.array("location/lat"))
        return swath
    columns, rows = hdf.array("location/glt_x"), hdf.array("location/glt_y")
    transform = hdf.attributes().get("geotransform")
    if transform is None or np.size(transform) != 6:
        raise HSFusionError(f"PRODUCT: '{hdf.path}' lacks the attribute geotransform: its download may be incomplete.")

    def table(row_range: range, col_range: range) -> tuple[np.ndarray, np.ndarray]:
        start, count = (row_range.start, col_range.start), (len(row_range), len(col_range))
        return tuple(np.abs(a.read(start, count).astype(np.int64)) - 1 for a in (rows, columns))

    crs = str(hdf.attributes().get("spatial_ref", "")) or degrees()
    grid = Grid(*rows.shape, tuple(float(x) for x in transform), crs)
    return LookedUp(swath, table, grid, _FILL)


def _classes(source: Source, hdf: Hdf, as_seen: bool) -> dict[str, QualityClass]:
    """Of the mask file of the same scene, where it lies beside the cube."""
    path = _mask_file(source, hdf.path)
    if path is None:
        return {}
    other = Hdf(path)
    array = other.get("mask")
    if array is None or len(array.shape) != 3:
        return {}
    swath = Cube(array, (0, 1, 2), [BandInfo()] * array.shape[2], Grid(*array.shape[:2]))
    layer = swath if as_seen else _laid_out(hdf, swath, False)
    return {
        name: QualityClass(layer, (1,), bands=bands)
        for name, bands in _MASK_BANDS.items()
        if max(bands) < array.shape[2]
    }


def _mask_file(source: Source, cube: Path) -> Path | None:
    found = re.search(r"_(\d{8}T\d{6})_(\d+_\d+)", cube.name)
    if not found:
        masks = list(source.find(r".*_MASK_.*\.nc"))
        return masks[0] if len(masks) == 1 and source.main is None else None
    masks = source.find(rf".*_MASK_.*{found.group(1)}_{found.group(2)}.*\.nc")
    return masks[0] if masks else None
