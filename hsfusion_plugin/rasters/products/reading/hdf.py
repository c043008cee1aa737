"""HDF5 and netCDF-4 files: arrays by name, opened only when they are asked for.

Listing the names opens groups alone. GDAL's HDF5 driver (to 3.6 at least) ends the whole process with a C++ exception
when it opens an array that has an attribute `Dimension_Labels`, as NEON's cubes have; such an array is read through the
netCDF driver instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

from .....models.errors import HSFusionError
from ...gdal_calls import collected_errors

LIBRARY = threading.RLock()  # the HDF5 library is not made for several threads, and GDAL does not guard all of it
_FATAL = "Dimension_Labels"
_NUMPY = {
    gdal.GDT_Byte: np.uint8,
    gdal.GDT_UInt16: np.uint16,
    gdal.GDT_Int16: np.int16,
    gdal.GDT_UInt32: np.uint32,
    gdal.GDT_Int32: np.int32,
    gdal.GDT_Float32: np.float32,
    gdal.GDT_Float64: np.float64,
}


def library() -> AbstractContextManager[Any]:
    """Held while the HDF5 library works."""
    return LIBRARY


class Array:
    """One array of the file. name: its path; shape: of any number of dimensions, () for a single value."""

    def __init__(self, name: str, array: gdal.MDArray) -> None:
        self.name, self.md = name, array
        self.shape = tuple(int(d.GetSize()) for d in array.GetDimensions())
        self.dimensions = [d.GetName() for d in array.GetDimensions()]

    @cached_property
    def chunk(self) -> tuple[int, ...]:
        """How many values of each dimension the file holds together; 0 = it does not say."""
        return tuple(int(n) for n in self.md.GetBlockSize())

    @cached_property
    def dtype(self) -> np.dtype:
        """The numpy type of its values; int8 and 64 bit integers are read as what holds them."""
        return np.dtype(_NUMPY.get(self.md.GetDataType().GetNumericDataType(), np.float64))

    def read(self, start: Sequence[int] | None = None, count: Sequence[int] | None = None) -> np.ndarray:
        """A block of numbers in the array's own type and order; all of it by default. HSFusionError where the file is
        damaged.
        """
        kind = next(code for code, numpy_type in _NUMPY.items() if numpy_type == self.dtype)
        shape = tuple(count) if count is not None else self.shape
        buffer_type = gdal.ExtendedDataType.Create(kind)
        data = None
        with library(), collected_errors() as failures:
            if self.shape:
                first = list(start) if start is not None else [0] * len(self.shape)
                data = self.md.Read(array_start_idx=first, count=list(shape), buffer_datatype=buffer_type)
            else:
                data = self.md.Read(buffer_datatype=buffer_type)
        if data is None or failures:
            raise HSFusionError(
                f"'{self.name}' cannot be read ({(failures or ['no reason given'])[0]}); the file is damaged."
            )
        return np.frombuffer(bytearray(data), self.dtype).reshape(shape)

    def numbers(self) -> np.ndarray:
        """All of it as float64."""
        return self.read().astype(np.float64)

    def text(self) -> str:
        """A single text, or the first of several."""
        with library(), collected_errors():
            value = self.md.Read()
            return _plain(value)
        return ""

    def attribute(self, name: str) -> Any:
        """A number, an array of numbers, a text, or None."""
        with library(), collected_errors():
            found = self.md.GetAttribute(name)
            return None if found is None else _value(found)
        return None

    @property
    def unit(self) -> str:
        """Of the values, as the file names it."""
        return self.md.GetUnit() or next(
            (str(v) for key in ("units", "Units", "unit") if isinstance(v := self.attribute(key), str)), ""
        )

    @property
    def fill(self) -> float | None:
        """The value that means that there is none, as the file's library knows it."""
        value = self.md.GetNoDataValueAsDouble()
        return value if value is not None else self.attribute("_FillValue")


class Hdf:
    """A file. path: its name; names: of all arrays, with slashes, in the file's order."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with library(), collected_errors() as failures:
            self._file = gdal.OpenEx(str(path), gdal.OF_MULTIDIM_RASTER, allowed_drivers=["HDF5"])
            self._other = None
            if self._file is None:  # a netCDF file of the classic kind
                self._file = gdal.OpenEx(str(path), gdal.OF_MULTIDIM_RASTER, allowed_drivers=["netCDF"])
            elif gdal.GetDriverByName("netCDF") is not None:
                self._other = gdal.OpenEx(f'NETCDF:"{path}"', gdal.OF_MULTIDIM_RASTER, allowed_drivers=["netCDF"])
        if getattr(self, "_file", None) is None:
            reason = (failures or ["unknown format"])[0]
            raise HSFusionError(
                f"'{path}' cannot be opened ({reason}): its download may be incomplete, so get it again."
            )
        self._opened: dict[str, Array | None] = {}

    @cached_property
    def names(self) -> list[str]:
        """Full names of all arrays; no array is opened for it."""
        with library(), collected_errors():
            return list(_names(self._file.GetRootGroup()))
        return []

    def matching(self, ending: str) -> list[str]:
        """Names that end in this path, which may begin with a part of a name."""
        return [name for name in self.names if f"/{name}".endswith(f"/{ending}")]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def array(self, name: str) -> Array:
        """An array by its full name; HSFusionError where there is none."""
        found = self.get(name)
        if found is None:
            raise HSFusionError(
                f"'{self.path}' lacks the array '{name}': its download may be incomplete, so get it again."
            )
        return found

    def get(self, name: str) -> Array | None:
        """An array by its full name, or None."""
        if name not in self._opened:
            with library(), collected_errors():
                opened = self._safely(name) if name in self.names else None
                self._opened[name] = None if opened is None else Array(name, opened)
        return self._opened.get(name)

    def _safely(self, name: str) -> gdal.MDArray | None:
        if self._other is not None:
            other = self._other.GetRootGroup().OpenMDArrayFromFullname(f"/{name}")
            if other is not None and other.GetDimensionCount() > 1 and other.GetAttribute(_FATAL) is not None:
                return other
        return self._file.GetRootGroup().OpenMDArrayFromFullname(f"/{name}")

    @property
    def root(self) -> gdal.Group:
        """GDAL's root group."""
        return self._file.GetRootGroup()

    def attributes(self, group: str = "") -> Mapping[str, Any]:
        """All attributes of a group (default: of the file) that are numbers or texts."""
        with library(), collected_errors():
            place = self._file.GetRootGroup()
            for part in filter(None, group.split("/")):
                place = place.OpenGroup(part) if place is not None else None
            return {} if place is None else {a.GetName(): _value(a) for a in place.GetAttributes()}
        return {}

    def text(self, name: str) -> str:
        """The text that an array holds; "" where there is no such array."""
        found = self.get(name)
        return found.text() if found is not None else ""


def _names(group: gdal.Group, prefix: str = "") -> Iterator[str]:
    for name in group.GetMDArrayNames() or []:
        yield f"{prefix}{name}"
    for name in group.GetGroupNames() or []:
        inner = group.OpenGroup(name)
        if inner is not None:
            yield from _names(inner, f"{prefix}{name}/")


def _value(attribute: gdal.Attribute) -> Any:
    if attribute.GetDataType().GetClass() == gdal.GEDTC_STRING:
        return _plain(attribute.Read())
    value = attribute.Read()
    if isinstance(value, (tuple, list, np.ndarray)):
        numbers = np.ravel(np.asarray(value, np.float64))
        return float(numbers[0]) if numbers.size == 1 else numbers
    return float(value) if isinstance(value, (int, float)) else value


def _plain(value: Any) -> str:
    while isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    return str(value or "").strip("\0 \n")
