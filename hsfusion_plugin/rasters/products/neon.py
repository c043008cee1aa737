"""NEON's airborne spectrometer, reflectance or radiance tiles and flight lines: HDF5 of (line, sample, wavelength);
docs/formats/neon.md.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from ..reading.wavelengths import unit_in_nm
from .reading.cube import Cube, plane
from .reading.hdf import Array, Hdf
from .reading.product import Grid, Product, QualityClass, Wanted, crs_of_epsg, utc
from .reading.source import Source

FAMILY = "NEON AOP"
_CUBE = re.compile(r"[^/]+/(Reflectance|Radiance)/\1_Data")
_FILL = -9999.0
# Codes of ATCOR's map of haze, clouds and water (ATCOR-4 user guide).
_MAP = {
    "cloud": (15, 16, 18, 19),
    "cirrus": (2, 3, 4, 8, 9, 10),
    "shadow": (22,),
    "saturated": (6,),
    "haze": (11, 12, 13, 14),
}


def recognise(source: Source) -> bool:
    """Whether the source is a NEON cube."""
    hdf = source.hdf
    return hdf is not None and _cube_name(hdf) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The cube on its UTM grid."""
    hdf, name = source.hdf, _cube_name(source.hdf)
    if wanted.pan:
        raise HSFusionError("PAN: NEON's spectrometer has no panchromatic band.")
    folder, kind = name.rpartition("/")[0], "reflectance" if name.endswith("Reflectance_Data") else "radiance"
    array = hdf.array(name)
    axes = _axes(array, hdf, folder)
    grid = _grid(hdf, folder, array.shape[axes[0]], array.shape[axes[1]], array)
    bands = _bands(hdf, folder, array, _number(array.attribute("Scale_Factor"), 1.0))
    fill = _number(array.attribute("Data_Ignore_Value"), array.fill if array.fill is not None else _FILL)
    return Product(
        family=FAMILY,
        level="L3" if re.search(r"_DP3_", hdf.path.name) else "L1",
        identifier=hdf.path.stem,
        sensor=FAMILY,
        time=utc(_date(hdf.path.stem)),
        quantity="surface reflectance" if kind == "reflectance" else "radiance",
        image=Cube(array, axes, bands, grid, fill),
        classes=_classes(hdf, folder, grid),
    )


def _cube_name(hdf: Hdf) -> str | None:
    return next((name for name in hdf.names if _CUBE.fullmatch(name)), None)


def _axes(array: Array, hdf: Hdf, folder: str) -> tuple[int, int, int]:
    """Lines, samples, wavelengths; the wavelengths are along the dimension of their number, the last one by custom."""
    count = hdf.array(f"{folder}/Metadata/Spectral_Data/Wavelength").shape[-1]
    if len(array.shape) != 3 or count not in array.shape:
        raise HSFusionError(
            f"PRODUCT: NEON's cube has {array.shape} values and {count} wavelengths: the file is damaged."
        )
    axis = 2 if array.shape[2] == count else array.shape.index(count)
    rows, cols = (i for i in range(3) if i != axis)
    return rows, cols, axis


def _bands(hdf: Hdf, folder: str, array: Array, divisor: float) -> list[BandInfo]:
    """Numbers are divided by Scale_Factor; bands inside the two water vapour windows are bad."""
    place = f"{folder}/Metadata/Spectral_Data"
    wavelengths = hdf.array(f"{place}/Wavelength")
    factor = unit_in_nm(wavelengths.unit) or 1.0
    centres = wavelengths.numbers().ravel() * factor
    if centres.max() < 30:
        centres = centres * 1e3
    widths = hdf.array(f"{place}/FWHM").numbers().ravel() if f"{place}/FWHM" in hdf else np.zeros(centres.size)
    windows = _water_windows(hdf, folder, array)
    return [
        BandInfo(
            wavelength_nm=float(nm),
            fwhm_nm=float(width) if width > 0 else None,
            description=f"band {i + 1}",
            bad=any(low <= nm <= high for low, high in windows),
            scale=1.0 / divisor,
        )
        for i, (nm, width) in enumerate(zip(centres, widths))
    ]


def _water_windows(hdf: Hdf, folder: str, array: Array) -> list[tuple[float, float]]:
    found = []
    attributes = hdf.attributes(folder)
    for number in (1, 2):
        name = f"Band_Window_{number}_Nanometers"
        values = attributes.get(name)
        values = array.attribute(name) if values is None else values
        if isinstance(values, str):
            values = [float(word) for word in re.findall(r"[\d.]+", values)]
        if values is not None and np.size(values) == 2:
            found.append((float(np.min(values)), float(np.max(values))))
    return found


def _grid(hdf: Hdf, folder: str, rows: int, cols: int, array: Array) -> Grid:
    """Map_Info tells corner and pixel as an ENVI header does; Spatial_Extent_meters is a second witness."""
    place = f"{folder}/Metadata/Coordinate_System"
    words = [word.strip() for word in hdf.text(f"{place}/Map_Info").split(",")]
    try:
        ref_col, ref_row, x, y, dx, dy = (float(word) for word in words[1:7])
        epsg = _epsg(hdf, place, words)
    except ValueError as error:
        raise HSFusionError(f"PRODUCT: '{hdf.path}' has no Map_Info that says where the tile lies.") from error
    left, top = x - (ref_col - 1) * dx, y + (ref_row - 1) * dy
    extent = array.attribute("Spatial_Extent_meters")
    if np.size(extent) == 4:
        xmin, _, _, ymax = (float(v) for v in np.ravel(extent))
        if max(abs(xmin - left) / dx, abs(ymax - top) / dy) > 1:
            raise HSFusionError(
                f"PRODUCT: '{hdf.path}' says by Map_Info that it begins at {left:.2f}, {top:.2f} and by "
                "Spatial_Extent_meters "
                f"at {xmin:.2f}, {ymax:.2f}: the file has been changed."
            )
    return Grid(rows, cols, (left, dx, 0.0, top, 0.0, -dy), crs_of_epsg(epsg))


def _epsg(hdf: Hdf, place: str, words: list[str]) -> int:
    code = hdf.text(f"{place}/EPSG Code")
    if code.isdigit():
        return int(code)
    zone, hemisphere = int(float(words[7])), words[8].lower()
    return (32600 if hemisphere.startswith("n") else 32700) + zone


def _classes(hdf: Hdf, folder: str, grid: Grid) -> dict[str, QualityClass]:
    array = hdf.get(f"{folder}/Metadata/Ancillary_Imagery/Haze_Cloud_Water_Map")
    if array is None or array.shape != (grid.rows, grid.cols):
        return {}
    layer = plane(array, grid)
    return {name: QualityClass(layer, values) for name, values in _MAP.items()}


def _number(value: Any, default: float) -> float:
    try:
        return float(np.ravel(value)[0]) if value is not None else default
    except (TypeError, ValueError):
        return default


def _date(name: str) -> str:
    found = re.search(r"(20\d{6})(?:[_T](\d{6}))?", name)
    return "" if not found else found.group(1) + (f"T{found.group(2)}" if found.group(2) else "")
