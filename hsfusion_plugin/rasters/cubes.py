"""Cubes in HDF5 and netCDF files, of which GDAL's classic view does not know what is a band, or what the bands are, or where they lie.

PRISMA keeps (row, band, column), EMIT (row, column, band): GDAL then shows a band for every row. Such an array is opened with its
dimensions turned, as a virtual raster in memory that also says what the file knows: wavelengths, widths, dead bands, scale, place.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from osgeo import gdal

from . import prisma
from .metadata import BandInfo, guessed_unit, unit_in_nm, write_band_info
from .swath import geolocate, numbers

_LIBRARY = threading.RLock()
_SUBDATASET = re.compile(r'^(HDF5|NETCDF):"?(.+?)"?:(?://)?([^:]+)$')
_SPECTRAL = re.compile(
    r"wavelengths?|wl|lambda|bands?|nbands?|n_?bands?|number_of_bands|channels?|spectral(_bands?)?", re.IGNORECASE
)
_CENTRES, _WIDTHS = ("wavelengths", "wavelength"), ("fwhm",)
_GOOD = ("good_wavelengths", "bbl")


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
    arrays = list(_arrays(root)) if root is not None else []
    wanted = name.strip("/").replace(" ", "_")  # in GDAL's names of subdatasets blanks are underscores
    name, array = next(((full, a) for full, a in arrays if full.replace(" ", "_") == wanted), (name, None))
    if array is None:
        return None
    attributes = prisma.read_attributes(root, name)
    if array.GetDimensionCount() == 2 and attributes:
        axis, info, view = None, None, array.AsClassicDataset(1, 0)
    elif array.GetDimensionCount() == 3:
        axis, info = _spectral_axis(array, arrays, attributes)
        if axis is None or (axis == 0 and info is None):
            return None
        rows, cols = (i for i in range(3) if i != axis)
        view = array.Transpose([axis, rows, cols]).AsClassicDataset(2, 1)
    else:
        return None
    virtual = gdal.GetDriverByName("VRT").CreateCopy("", view)
    for number, band_info in enumerate(info or [], 1):
        write_band_info(virtual.GetRasterBand(number), band_info)
    if attributes:
        for number in range(1, virtual.RasterCount + 1):
            virtual.GetRasterBand(number).SetNoDataValue(0)  # beside the swath
        prisma.place(virtual, attributes, name)
    if virtual.GetGeoTransform(can_return_null=True) is None:
        geolocate(virtual, arrays, name, file)
    return virtual


def _arrays(group: gdal.Group, prefix: str = "") -> Iterator[tuple[str, gdal.MDArray]]:
    for name in group.GetMDArrayNames() or []:
        yield f"{prefix}{name}", group.OpenMDArray(name)
    for name in group.GetGroupNames() or []:
        yield from _arrays(group.OpenGroup(name), f"{prefix}{name}/")


def _spectral_axis(
    array: gdal.MDArray, arrays: list[tuple[str, gdal.MDArray]], attributes: dict[str, Any]
) -> tuple[int | None, list[BandInfo] | None]:
    """The dimension along which the bands lie, and what is known of them beyond what GDAL's view tells if it is the first."""
    dimensions = array.GetDimensions()
    sizes = [dimension.GetSize() for dimension in dimensions]
    centres = attributes.get("wavelength")
    if centres is not None and sizes.count(centres.size) == 1:
        return sizes.index(centres.size), prisma.bands(attributes)
    for axis, dimension in enumerate(dimensions):
        variable = dimension.GetIndexingVariable()
        factor = unit_in_nm(variable.GetUnit()) if variable is not None else None
        named = _SPECTRAL.fullmatch(dimension.GetName()) is not None
        if factor is not None and named or factor in (1.0, 1e3):
            return axis, None if axis == 0 else _bands(numbers(variable).ravel() * factor)
        if named:
            return axis, _told(array, arrays, sizes[axis])
    told = _own(array)
    if told is not None and sizes.count(len(told)) == 1:
        return sizes.index(len(told)), told
    return None, None


def _own(array: gdal.MDArray) -> list[BandInfo] | None:
    """What the array's own attributes say, as Tanager's do."""
    lists = {}
    for attribute in array.GetAttributes():
        if (
            attribute.GetName() in (*_CENTRES, *_WIDTHS, *_GOOD)
            and attribute.GetDataType().GetClass() == gdal.GEDTC_NUMERIC
        ):
            lists[attribute.GetName()] = np.ravel(attribute.Read()).astype(float)
    return _from_lists(lists)


def _told(array: gdal.MDArray, arrays: list[tuple[str, gdal.MDArray]], count: int) -> list[BandInfo] | None:
    """The array's attributes, else lists beside it, as EMIT's sensor_band_parameters are; None where neither tells of `count` bands."""
    own = _own(array)
    if own is not None and len(own) == count:
        return own
    lists = {}
    for full, other in arrays:
        leaf = full.rpartition("/")[2]
        if leaf in (*_CENTRES, *_WIDTHS, *_GOOD) and [d.GetSize() for d in other.GetDimensions()] == [count]:
            lists.setdefault(leaf, numbers(other) * (unit_in_nm(other.GetUnit()) or 1.0))
    return _from_lists(lists)


def _from_lists(lists: dict[str, np.ndarray]) -> list[BandInfo] | None:
    def first(names: tuple[str, ...]) -> np.ndarray | None:
        return next((lists[name] for name in names if name in lists), None)

    centres, widths, good = first(_CENTRES), first(_WIDTHS), first(_GOOD)
    factor = guessed_unit(centres) if centres is not None else np.nan
    if not np.isfinite(factor):
        return None
    return _bands(
        centres * factor,
        widths * factor if widths is not None and widths.size == centres.size else None,
        good if good is not None and good.size == centres.size else None,
    )


def _bands(centres: np.ndarray, widths: np.ndarray | None = None, good: np.ndarray | None = None) -> list[BandInfo]:
    return [
        BandInfo(
            wavelength_nm=float(nm) if nm > 0 else None,
            fwhm_nm=float(widths[i]) if widths is not None and widths[i] > 0 else None,
            bad=not nm > 0 or (good is not None and good[i] == 0),
        )
        for i, nm in enumerate(centres)
    ]
