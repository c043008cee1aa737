"""Cubes in HDF5 and netCDF files, of which GDAL's classic view does not know what is a band, or what the bands are, or
where they lie.

PRISMA keeps (row, band, column), EMIT (row, column, band): GDAL then shows a band for every row. Such an array is
opened with its dimensions turned, as a virtual raster in memory that also says what the file knows: wavelengths,
widths, dead bands, scale, place.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from osgeo import gdal

from .....models.errors import HSFusionError
from .....models.listener import Listener
from ...reading.metadata import BandInfo, write_band_info
from ...reading.wavelengths import guessed_unit, unit_in_nm
from ..reading import prisma_attributes as prisma
from .hdf import Hdf, library
from .structure import structure_of
from .swath import geolocate, numbers

_SUBDATASET = re.compile(r'^(HDF5|NETCDF):"?(.+?)"?:(?://)?([^:]+)$')
_SPECTRAL = re.compile(
    r"wavelengths?|wl|lambda|bands?|nbands?|n_?bands?|number_of_bands|channels?|spectral(_bands?)?", re.IGNORECASE
)
_CENTRES, _WIDTHS = ("wavelengths", "wavelength"), ("fwhm",)
_GOOD = ("good_wavelengths", "bbl")
_TELLING = re.compile(
    r"wavelengths?|fwhm|good_wavelengths|bbl|lat(?:itude)?(?:_\w+)?|lon(?:gitude)?(?:_\w+)?", re.IGNORECASE
)
_AT_ONCE = 64_000_000  # bytes


def one_at_a_time(path: str) -> AbstractContextManager[Any]:
    """Held while such a file is read: the HDF5 library is not made for several threads, and GDAL does not guard all of
    it.
    """
    return library() if _SUBDATASET.match(path) else nullcontext()


@dataclass(frozen=True)
class Cube:
    """An array of the container: its name there, where its bands lie (None: it is a single band), and what is known of
    them.
    """

    hdf: Hdf
    name: str
    array: gdal.MDArray
    axis: int | None
    info: list[BandInfo] | None
    attributes: dict[str, Any]  # PRISMA's
    arrays: list[tuple[str, gdal.MDArray]]  # those of the container that may tell of bands and places

    @property
    def packed(self) -> bool:
        """Whether its file holds several bands together, so that each band of a window costs as much as all of them."""
        return self.axis is not None and (self.axis == 2 or self.array.GetBlockSize()[self.axis] > 1)

    @property
    def size(self) -> int:
        """Bytes of its values."""
        values = int(np.prod([dimension.GetSize() for dimension in self.array.GetDimensions()]))
        return values * self._type.GetSize()

    @property
    def _type(self) -> gdal.ExtendedDataType:
        return gdal.ExtendedDataType.Create(self.array.GetDataType().GetNumericDataType())

    def dataset(self) -> gdal.Dataset:
        """A virtual raster (band, row, column), described."""
        if self.axis is None:
            view = self.array.AsClassicDataset(1, 0)
        else:
            view = self.array.Transpose([self.axis, *self._grid]).AsClassicDataset(2, 1)
        virtual = gdal.GetDriverByName("VRT").CreateCopy("", view)
        for number, band_info in enumerate(self.info or [], 1):
            write_band_info(virtual.GetRasterBand(number), band_info)
        if self.attributes:
            for number in range(1, virtual.RasterCount + 1):
                virtual.GetRasterBand(number).SetNoDataValue(0)  # beside the swath
            prisma.place(virtual, self.attributes, self.name)
        if virtual.GetGeoTransform(can_return_null=True) is None:
            geolocate(virtual, self.arrays, self.name, str(self.hdf.path))
        return virtual

    @property
    def _grid(self) -> list[int]:
        return [i for i in range(3) if i != self.axis]

    def copy(self, path: str, listener: Listener) -> None:
        """Write a GeoTIFF of the same pixels in the same place, which is quick to read in windows."""
        model, kind = self.dataset(), self._type
        count, rows, cols = model.RasterCount, model.RasterYSize, model.RasterXSize
        options = ["TILED=YES", "BLOCKXSIZE=128", "BLOCKYSIZE=128", "INTERLEAVE=BAND", "BIGTIFF=IF_SAFER"]
        made = gdal.GetDriverByName("GTiff").Create(path, cols, rows, count, kind.GetNumericDataType(), options)
        if model.GetGeoTransform(can_return_null=True) is not None:
            made.SetGeoTransform(model.GetGeoTransform())
            made.SetProjection(model.GetProjection())
        made.SetMetadata(model.GetMetadata("GEOLOCATION"), "GEOLOCATION")
        nodata = model.GetRasterBand(1).GetNoDataValue()
        if nodata is not None:
            made.GetRasterBand(1).SetNoDataValue(nodata)
        row_step, col_step = self._steps(rows, cols)
        for row in range(0, rows, row_step):
            for col in range(0, cols, col_step):
                listener.check()
                start, shape = [0, 0, 0], [count, count, count]
                for axis, first, size in (
                    (self._grid[0], row, min(row_step, rows - row)),
                    (self._grid[1], col, min(col_step, cols - col)),
                ):
                    start[axis], shape[axis] = first, size
                data = self.array.Read(array_start_idx=start, count=shape, buffer_datatype=kind)
                values = np.frombuffer(data, np.uint8).reshape(*shape, -1).transpose(self.axis, *self._grid, 3)
                height, width = values.shape[1:3]
                made.WriteRaster(col, row, width, height, values.tobytes(), width, height)

    def _steps(self, rows: int, cols: int) -> tuple[int, int]:
        """Rows and columns that are copied at once: whole blocks of the file, and no more than needed to keep memory
        small.
        """
        blocks = self.array.GetBlockSize()
        steps = [max(int(blocks[axis]), 1) for axis in self._grid]
        pixel = self.size // (rows * cols)
        steps = [min(step * max(1, 128 // step), size) for step, size in zip(steps, (rows, cols))]
        steps[1] = min(cols, steps[1] * max(1, _AT_ONCE // max(1, pixel * steps[0] * steps[1])))
        return steps[0], steps[1]


def cube_behind(path: str) -> Cube | None:
    """The cube behind a GDAL name such as HDF5:"file.he5"://group/cube; None where GDAL's own view will do."""
    found = _SUBDATASET.match(path)
    if not found:
        return None
    hdf = _container(found.group(2))
    wanted = found.group(3).strip("/").replace(" ", "_")  # in GDAL's names of subdatasets blanks are underscores
    name = next((full for full in hdf.names if full.replace(" ", "_") == wanted), None) if hdf is not None else None
    opened = hdf.get(name) if name is not None else None
    if opened is None:
        return None
    array, attributes = opened.md, prisma.read_attributes(hdf.root, name)
    arrays = [
        (full, hdf.get(full).md) for full in hdf.names if _TELLING.fullmatch(full.rpartition("/")[2]) and hdf.get(full)
    ]
    if array.GetDimensionCount() == 2 and attributes:
        return Cube(hdf, name, array, None, None, attributes, arrays)
    if array.GetDimensionCount() != 3:
        return None
    axis, info = _spectral_axis(array, arrays, attributes)
    if axis is None:
        known = structure_of(hdf, opened)
        axis, info = (None, None) if known is None else (known.axes[2], known.bands)
    if axis is None or (axis == 0 and info is None):
        return None
    return Cube(hdf, name, array, axis, info, attributes, arrays)


def _container(file: str) -> Hdf | None:
    try:
        return Hdf(file)
    except HSFusionError:
        return None


def _spectral_axis(
    array: gdal.MDArray, arrays: list[tuple[str, gdal.MDArray]], attributes: dict[str, Any]
) -> tuple[int | None, list[BandInfo] | None]:
    """The dimension along which the bands lie, and what is known of them beyond what GDAL's view tells if it is the
    first.
    """
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
    """The array's attributes, else lists beside it, as EMIT's sensor_band_parameters are; None where neither tells of
    `count` bands.
    """
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
