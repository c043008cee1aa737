"""Planet's Tanager, basic (swath) and ortho (grid): HDF-EOS5 of (band, row, column); docs/formats/tanager.md."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.cube import Cube, plane, with_places
from .reading.hdf import Array, Hdf
from .reading.product import Grid, Product, QualityClass, Wanted, crs_of_epsg, utc
from .reading.source import Source

FAMILY = "Tanager"
_CUBE = re.compile(
    r"HDFEOS/(SWATHS|GRIDS)/HYP/Data[ "
    r"_]Fields/(surface_reflectance|toa_radiance|ortho_surface_reflectance|ortho_radiance)"
)
_MASKS = {"cloud": "beta_cloud_mask", "cirrus": "beta_cirrus_mask", "fill": "nodata_pixels"}
_FILL = -9999.0


def recognise(source: Source) -> bool:
    """Whether the source is a Tanager product."""
    hdf = source.hdf
    return hdf is not None and _cube_name(hdf) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The cube on its grid, or as the sensor saw it where the product is a swath."""
    hdf, name = source.hdf, _cube_name(source.hdf)
    if wanted.pan:
        raise HSFusionError("PAN: Tanager has no panchromatic band.")
    array = hdf.array(name)
    bands = _bands(array)
    if len(array.shape) != 3 or array.shape[0] != len(bands):
        raise HSFusionError(
            f"PRODUCT: Tanager's cube has {array.shape} values and {len(bands)} wavelengths: the file is damaged."
        )
    folder = name.rpartition("/")[0]
    grid = _grid(hdf, name, array)
    fill = array.fill if array.fill is not None else _FILL
    reflectance = "reflectance" in name
    masks = {key: hdf.get(f"{folder}/{mask}") for key, mask in _MASKS.items()}
    return Product(
        family=FAMILY,
        level=("ortho " if "GRIDS" in name else "basic ") + ("surface reflectance" if reflectance else "radiance"),
        identifier=hdf.path.stem,
        sensor=FAMILY,
        time=_time(hdf),
        quantity="surface reflectance" if reflectance else "radiance in W/(m2 sr um)",
        image=Cube(array, (1, 2, 0), bands, grid, fill),
        classes={
            key: QualityClass(plane(mask, grid), (1,))
            for key, mask in masks.items()
            if mask is not None and mask.shape == (grid.rows, grid.cols)
        },
    )


def _cube_name(hdf: Hdf) -> str | None:
    return next((name for name in hdf.names if _CUBE.fullmatch(name)), None)


def _bands(array: Array) -> list[BandInfo]:
    centres = np.ravel(_list(array, "wavelengths"))
    widths = np.ravel(_list(array, "fwhm", np.zeros(centres.size)))
    good = np.ravel(_list(array, "good_wavelengths", np.ones(centres.size)))
    return [
        BandInfo(float(nm), float(width) if width > 0 else None, f"band {i + 1}", bad=bool(flag == 0))
        for i, (nm, width, flag) in enumerate(zip(centres, widths, good))
    ]


def _list(array: Array, name: str, default: np.ndarray | None = None) -> np.ndarray:
    value = array.attribute(name)
    if value is None or isinstance(value, str):
        if default is None:
            raise HSFusionError(f"PRODUCT: Tanager's cube lacks its attribute {name}: the file is damaged.")
        return default
    return np.ravel(value)


def _grid(hdf: Hdf, name: str, array: Array) -> Grid:
    rows, cols = array.shape[1:]
    if "SWATHS" in name:
        place = "HDFEOS/SWATHS/HYP/Geolocation Fields"
        if f"{place}/Latitude" not in hdf:
            return Grid(rows, cols)
        return with_places(Grid(rows, cols), hdf.array(f"{place}/Longitude"), hdf.array(f"{place}/Latitude"))
    told = _framing(hdf) or _struct_metadata(hdf, rows, cols)
    if told is None:
        raise HSFusionError(f"PRODUCT: '{hdf.path}' says nowhere on which map its grid lies: the file is damaged.")
    return Grid(rows, cols, told[0], crs_of_epsg(told[1]))


def _framing(hdf: Hdf) -> tuple[tuple[float, ...], int] | None:
    """Geotransform and EPSG code of Planet_Ortho_Framing, a text in JSON."""
    text = hdf.attributes("HDFEOS/GRIDS/HYP").get("Planet_Ortho_Framing")
    try:
        told = json.loads(text)
        return tuple(float(x) for x in told["geotransform"]), int(told["epsg_code"])
    except (TypeError, ValueError, KeyError):
        return None


def _struct_metadata(hdf: Hdf, rows: int, cols: int) -> tuple[tuple[float, ...], int] | None:
    """The same of HDF-EOS's own text."""
    text = hdf.text("HDFEOS INFORMATION/StructMetadata.0")
    corner = [re.search(rf"{key}=\(([-\d.]+),([-\d.]+)\)", text) for key in ("UpperLeftPointMtrs", "LowerRightMtrs")]
    zone = re.search(r"ZoneCode=(-?\d+)", text)
    code = hdf.attributes("HDFEOS/GRIDS/HYP").get("epsg_code")
    if not all(corner) or not (zone or code):
        return None
    (left, top), (right, bottom) = (map(float, found.groups()) for found in corner)
    number = int(code) if code else (32600 if int(zone.group(1)) > 0 else 32700) + abs(int(zone.group(1)))
    return (left, (right - left) / cols, 0.0, top, 0.0, (bottom - top) / rows), number


def _time(hdf: Hdf) -> str:
    for attributes in (hdf.attributes(), hdf.attributes("HDFEOS/SWATHS/HYP"), hdf.attributes("HDFEOS/GRIDS/HYP")):
        for key in ("acquired", "acquisition_time", "time_coverage_start", "strip_start_time"):
            if utc(str(attributes.get(key, ""))):
                return utc(str(attributes[key]))
    clock = hdf.get("HDFEOS/SWATHS/HYP/Geolocation Fields/Time")
    if clock is not None and clock.shape:
        seconds = clock.numbers().ravel()
        if np.isfinite(seconds[0]) and 1e9 < seconds[0] < 1e10:
            return datetime.fromtimestamp(float(seconds[0]), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = re.search(r"(20\d{6})_(\d{6})", hdf.path.name)
    return utc(f"{found.group(1)}T{found.group(2)}") if found else ""
