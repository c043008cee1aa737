"""Cubes in HDF5 and netCDF files whose bands are not the first dimension, which GDAL's classic view takes for something else.

PRISMA keeps (row, band, column), others (row, column, band): GDAL then shows a band for every row. Such an array is opened with its
dimensions turned, as a virtual raster in memory that also says what the file knows: wavelengths, widths, dead bands, scale, place.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from osgeo import gdal, osr

from .metadata import BandInfo, unit_in_nm, write_band_info

_LIBRARY = threading.RLock()
_SUBDATASET = re.compile(r'^(HDF5|NETCDF):"?(.+?)"?:(?://)?([^:]+)$')
_SPECTRAL = re.compile(r"wavelengths?|wl|lambda|bands?|nbands?|n_?bands?|channels?|spectral(_bands?)?", re.IGNORECASE)
_PRISMA_PIXEL = 30.0  # metres


def one_at_a_time(path: str) -> AbstractContextManager[Any]:
    """Held while such a file is read: the HDF5 library is not made for several threads, and GDAL does not guard all of it."""
    return _LIBRARY if _SUBDATASET.match(path) else nullcontext()


def turned(path: str) -> gdal.Dataset | None:
    """The cube behind a GDAL name such as HDF5:"file.he5"://group/cube, turned and described; None where GDAL's own view will do."""
    found = _SUBDATASET.match(path)
    if not found:
        return None
    file, name = found.group(2), found.group(3)
    container = gdal.OpenEx(file, gdal.OF_MULTIDIM_RASTER, allowed_drivers=["HDF5", "netCDF"])
    root = container.GetRootGroup() if container is not None else None
    array = _array(root, name) if root is not None else None
    if array is None:
        return None
    prisma = _prisma(root, name)
    axis, info = _spectral_axis(array, prisma)
    if array.GetDimensionCount() == 2 and prisma:
        view = array.AsClassicDataset(1, 0)
    elif array.GetDimensionCount() == 3 and axis is not None and (axis > 0 or prisma):
        rows, cols = (i for i in range(3) if i != axis)
        view = array.Transpose([axis, rows, cols]).AsClassicDataset(2, 1)
    else:
        return None
    return _described(view, info, prisma, name)


def _described(
    view: gdal.Dataset, info: list[BandInfo] | None, prisma: dict[str, Any], name: str
) -> gdal.Dataset | None:
    virtual = gdal.GetDriverByName("VRT").CreateCopy("", view)
    for number, band_info in enumerate(info or [], 1):
        write_band_info(virtual.GetRasterBand(number), band_info)
    if prisma:
        for number in range(1, virtual.RasterCount + 1):
            virtual.GetRasterBand(number).SetNoDataValue(0)  # beside the swath
        _place(virtual, prisma, name)
    return virtual


def _arrays(group: gdal.Group, prefix: str = "") -> Iterator[tuple[str, gdal.MDArray]]:
    for name in group.GetMDArrayNames() or []:
        yield f"{prefix}{name}", group.OpenMDArray(name)
    for name in group.GetGroupNames() or []:
        yield from _arrays(group.OpenGroup(name), f"{prefix}{name}/")


def _array(root: gdal.Group, name: str) -> gdal.MDArray | None:
    """The array of this name; in GDAL's names of subdatasets blanks are underscores."""
    wanted = name.strip("/").replace(" ", "_")
    for full, array in _arrays(root):
        if full.replace(" ", "_") == wanted:
            return array
    return None


def _prisma(root: gdal.Group, name: str) -> dict[str, Any]:
    """PRISMA's attributes that matter for this array, {} in other files."""
    attributes = {a.GetName(): a for a in root.GetAttributes()}
    if "List_Cw_Vnir" not in attributes or "PRS_" not in name:
        return {}
    kind = next((kind for kind in ("Vnir", "Swir") if f"{kind.upper()}_CUBE" in name.upper()), "Pan")
    wanted = {
        "wavelength": f"List_Cw_{kind}",
        "fwhm": f"List_Fwhm_{kind}",
        "flags": f"List_Cw_{kind}_Flags",
        "low": f"L2Scale{kind}Min",
        "high": f"L2Scale{kind}Max",
        "epsg": "Epsg_Code",
        "left": "Product_ULcorner_easting",
        "top": "Product_ULcorner_northing",
        "right": "Product_LRcorner_easting",
        "bottom": "Product_LRcorner_northing",
    }
    return {
        "kind": kind,
        **{key: np.ravel(attributes[a].Read()) for key, a in wanted.items() if a in attributes},
    }


def _spectral_axis(array: gdal.MDArray, prisma: dict[str, Any]) -> tuple[int | None, list[BandInfo] | None]:
    """The dimension along which the bands lie, and what is known of them."""
    dimensions = array.GetDimensions()
    sizes = [dimension.GetSize() for dimension in dimensions]
    centres = prisma.get("wavelength")
    if prisma and centres is not None and sizes.count(centres.size) == 1:
        return sizes.index(centres.size), _prisma_bands(prisma)
    for axis, dimension in enumerate(dimensions):
        variable = dimension.GetIndexingVariable()
        factor = unit_in_nm(variable.GetUnit()) if variable is not None else None
        named = _SPECTRAL.fullmatch(dimension.GetName()) is not None
        if factor is not None and named or factor in (1.0, 1e3):
            values = np.ravel(variable.ReadAsArray()).astype(float) * factor
            return axis, [BandInfo(float(nm) if nm > 0 else None, bad=not nm > 0) for nm in values]
        if named:
            return axis, None
    return None, None


def _prisma_bands(prisma: dict[str, Any]) -> list[BandInfo]:
    centres = prisma["wavelength"].astype(float)
    widths = prisma.get("fwhm", np.zeros(0)).astype(float)
    flags = prisma.get("flags", np.zeros(0)).astype(float)
    low, high = (float(prisma[key][0]) if key in prisma else end for key, end in (("low", 0.0), ("high", 65535.0)))
    return [
        BandInfo(
            wavelength_nm=float(nm) if nm > 0 else None,
            fwhm_nm=float(widths[i]) if i < widths.size and widths[i] > 0 else None,
            description=f"{prisma['kind'].upper()} {i + 1}",
            bad=not nm > 0 or (i < flags.size and flags[i] == 0),
            scale=(high - low) / 65535.0,
            offset=low,
        )
        for i, nm in enumerate(centres)
    ]


def _place(virtual: gdal.Dataset, prisma: dict[str, Any], name: str) -> None:
    """Level 2D is on a UTM grid; the corners are centres of hyperspectral pixels. The lower levels have no grid and get none."""
    if "L2D" not in name or not {"epsg", "left", "top", "right", "bottom"} <= set(prisma):
        return
    left, top, right, bottom = (float(prisma[key][0]) for key in ("left", "top", "right", "bottom"))
    half = _PRISMA_PIXEL / 2
    wide, high = right - left + _PRISMA_PIXEL, top - bottom + _PRISMA_PIXEL
    virtual.SetGeoTransform(
        (left - half, wide / virtual.RasterXSize, 0.0, top + half, 0.0, -high / virtual.RasterYSize)
    )
    reference = osr.SpatialReference()
    if reference.ImportFromEPSG(int(prisma["epsg"][0])) == 0:
        virtual.SetProjection(reference.ExportToWkt())
