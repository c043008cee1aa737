"""GeoTIFFs written window by window, which exist under their name only when they are whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Callable, NamedTuple

import numpy as np
from osgeo import gdal

from ....models.errors import HSFusionError
from ....models.listener import SILENT, Listener
from ..gdal_calls import collected_errors
from ..grids.grid import Grid
from ..reading.metadata import BandInfo, write_band_info
from .layout import BLOCK, Layout
from .sidecars import mark_raster
from .staging import staged

_INT16_MAX = 32767


class _Type(NamedTuple):
    gdal: int
    size: int  # bytes
    nodata: float | None


_TYPES = {
    "Float32": _Type(gdal.GDT_Float32, 4, math.nan),
    "Int16": _Type(gdal.GDT_Int16, 2, -32768.0),
    "Byte": _Type(gdal.GDT_Byte, 1, None),
}
_PART_VALUES = 250_000  # that are brought into the file's type at a time, in half a dozen copies


@dataclass(frozen=True)
class Stored:
    """How values lie in the file.

    dtype "Float32", "Int16", which stores round(value / scale), or "Byte", for flags; nodata: default NaN, -32768 and
    none; options: GDAL creation options as QGIS writes them ("COMPRESS=LZW|TILED=NO"), and OVERVIEWS=YES, COG=YES;
    block: rows and columns of the file's blocks, where `options` say nothing else.
    """

    dtype: str = "Float32"
    scale: float = 1.0
    nodata: float | None = None
    options: str = ""
    block: tuple[int, int] = (BLOCK, BLOCK)


class RasterWriter:
    """Context manager; `write` windows inside it.

    path: a .tif; bands: one BandInfo each; role: the parameter that errors name; metadata: items of the data set (add
    more any time with `metadata.update`); finish: called with the path of the closed raster before it gets its final
    name, so that sidecars written beside that path (write_style, write_provenance) appear together with it; listener:
    may end the making of overviews. HSFusionError when the folder cannot be written or has no room.
    """

    def __init__(
        self,
        path: str | Path,
        grid: Grid,
        bands: Sequence[BandInfo],
        stored: Stored = Stored(),
        role: str = "OUTPUT",
        metadata: Mapping[str, str] | None = None,
        finish: Callable[[Path], None] | None = None,
        listener: Listener = SILENT,
    ) -> None:
        if stored.dtype not in _TYPES:
            raise HSFusionError(f"{role}: data type {stored.dtype} is not offered; choose Float32 or Int16.")
        if Path(path).suffix.lower() not in (".tif", ".tiff") or str(path).startswith("/vsi"):
            raise HSFusionError(f"{role}: '{path}' is not the name of a GeoTIFF file; end it in .tif.")
        self.path, self.grid, self.dtype, self.role = Path(path), grid, stored.dtype, role
        self.nodata = stored.nodata if stored.nodata is not None else _TYPES[stored.dtype].nodata
        self.scale = stored.scale if stored.dtype == "Int16" else 1.0
        self.metadata = dict(metadata or {})
        self.clipped = 0  # values that did not fit into Int16
        self._bands = list(bands)
        self._layout = Layout.parse(stored.options, grid.rows, grid.cols, stored.block)
        self._finish, self._listener = finish, listener
        self._stack = ExitStack()
        self._dataset: gdal.Dataset | None = None

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self._bands)

    def __enter__(self) -> RasterWriter:
        size = self.grid.rows * self.grid.cols * self.count * _TYPES[self.dtype].size
        with ExitStack() as stack:
            self._staged = stack.enter_context(staged(self.path, size, self.role))
            self._create()
            self._stack = stack.pop_all()
        return self

    def write(self, row: int, col: int, array: np.ndarray) -> None:
        """Write (count, r, c) with its first pixel at (row, col); NaN becomes nodata. HSFusionError when the disk is
        full.
        """
        values = np.asarray(array, np.float32)
        if values.ndim != 3 or values.shape[0] != self.count:
            raise ValueError(f"{values.shape} is not ({self.count}, rows, cols)")
        height, width = values.shape[1:]
        whole = self._whole_blocks(row, col, height, width)
        apart = whole and self._layout.options.get("INTERLEAVE") == "BAND"
        step = self.count if self._as_is(values) and not apart else max(1, _PART_VALUES // max(1, height * width))
        with collected_errors() as failures:
            for first in range(0, self.count, step):
                part = values[first : first + step]
                numbers = list(range(first + 1, first + 1 + len(part)))
                stored = np.ascontiguousarray(self._stored(part))
                # As plain bytes, uncopied: arrays go through gdal_array, which another numpy than the one that GDAL was
                # built for breaks.
                plain = stored.reshape(-1).view(np.uint8).data
                self._dataset.WriteRaster(
                    col, row, width, height, plain, width, height, self._dataset.GetRasterBand(1).DataType, numbers
                )
                if apart:
                    self._dataset.FlushCache()
            if whole:
                self._dataset.FlushCache()  # nothing is left to compress when a cancelled run closes the file
        self._refuse(failures)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with collected_errors() as failures:
                if kind is None:
                    self._dataset.SetMetadata({key: str(value) for key, value in self.metadata.items()})
                    mark_raster(self._dataset)
                    self._dataset.FlushCache()
                self._dataset = None
            if kind is None:
                self._refuse(failures)
                self._layout.finish(self._staged, self.role, self._listener)
                if self._finish is not None:
                    self._finish(self._staged)
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        self._stack.__exit__(kind, error, trace)

    def _create(self) -> None:
        dataset = None
        with collected_errors(gdal.CE_Warning) as failures:  # GDAL only warns of an option that it does not know
            driver = gdal.GetDriverByName("GTiff")
            dataset = driver.Create(
                str(self._staged),
                self.grid.cols,
                self.grid.rows,
                self.count,
                _TYPES[self.dtype].gdal,
                self._layout.as_list(),
            )
        if dataset is None or failures:
            raise HSFusionError(
                f"{self.role}: GDAL cannot create '{self.path}' ({_first(failures)}); check OPTIONS and the disk."
            )
        dataset.SetGeoTransform(self.grid.geotransform)
        if self.grid.crs_wkt:
            dataset.SetProjection(self.grid.crs_wkt)
        for i, info in enumerate(self._bands):
            band = dataset.GetRasterBand(i + 1)
            if self.nodata is not None:
                band.SetNoDataValue(self.nodata)
            write_band_info(band, info, self.scale)
        dataset.SetMetadata({key: str(value) for key, value in self.metadata.items()})
        self._dataset = dataset

    def _as_is(self, values: np.ndarray) -> bool:
        return (
            self.dtype == "Float32"
            and self.nodata is not None
            and math.isnan(self.nodata)
            and values.flags.c_contiguous
        )

    def _stored(self, values: np.ndarray) -> np.ndarray:
        if self.dtype == "Byte":
            return values.astype(np.uint8)
        nodata = np.isnan(values)
        if self.dtype == "Float32":
            if math.isnan(self.nodata):
                return values
            values = np.where(values == np.float32(self.nodata), np.nextafter(values, np.float32(np.inf)), values)
            return np.where(nodata, np.float32(self.nodata), values)
        whole = np.rint(values / self.scale)
        self.clipped += int((np.abs(whole) > _INT16_MAX).sum())
        return np.where(nodata, self.nodata, np.clip(whole, -_INT16_MAX, _INT16_MAX)).astype(np.int16)

    def _whole_blocks(self, row: int, col: int, height: int, width: int) -> bool:
        across, down = self._dataset.GetRasterBand(1).GetBlockSize()
        ends = (row + height, self.grid.rows, down), (col + width, self.grid.cols, across)
        return (
            row % down == 0 and col % across == 0 and all(end == size or end % block == 0 for end, size, block in ends)
        )

    def _refuse(self, failures: list[str]) -> None:
        if failures:
            raise HSFusionError(
                f"{self.role}: '{self.path}' cannot be written ({_first(failures)}); the disk may be full, so free "
                "some space and run again."
            )


def stored_scale(largest: float) -> float:
    """Scale of Int16 for values up to `largest`: 1 where the raster's own whole numbers are fine enough and fit, as
    reflectance times 10000.
    """
    return 1.0 if 1000.0 <= largest <= 30000.0 else int16_scale(largest)


def int16_scale(largest: float) -> float:
    """Scale (a power of ten) with which values up to `largest` in size fit into Int16 with room to spare: 1e-4 for
    reflectance 0-1.
    """
    return 10.0 ** math.ceil(math.log10(max(largest, 1e-30) / 30000.0))


def _first(failures: list[str]) -> str:
    return failures[0].rstrip(".") if failures else "no reason given"
