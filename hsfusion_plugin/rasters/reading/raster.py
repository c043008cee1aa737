"""A raster opened for reading, window by window, with NaN where it holds nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, osr

from ....models.errors import HSFusionError
from ....models.scene.sensors.defects.fill import Fill
from ..gdal_calls import collected_errors, open_dataset
from ..products.reading.antimeridian import in_one_piece
from ..products.reading.subdatasets import cube_behind, one_at_a_time
from .metadata import BandInfo, describe_bands

if TYPE_CHECKING:
    from ...jobs.run.progress import Progress

_FEWEST_ROWS = 32  # of a window, so that something can be said of its columns
_EXACT_IN_FLOAT32 = (gdal.GDT_Byte, gdal.GDT_UInt16, gdal.GDT_Int16, gdal.GDT_Float32)


class Raster:
    """Lazy and read-only; usable from several threads, each of which gets its own GDAL handle.

    A grid that is upside down or mirrored is turned while it is read, so rows run south and columns east; only a
    rotated one is not north-up.

    Attributes: path, role ("HSI", used in messages), count, rows, cols, geotransform (GDAL's six numbers),
    georeferenced, crs_wkt ("" = none), dtype (GDAL's name), nodata (of the first band), bands (list of BandInfo, file
    order), descriptions, wavelengths (nm, or None unless every band that is not bad has one; NaN at bad bands without
    one), fwhm (nm, or None), bad (bool per band), rgb_bands (the file's own red, green and blue, from 0, or None),
    swath (whether it has no grid, but a place for every pixel), alpha (numbers of the bands that are masks, from 0),
    facts, warnings (sentences on the bands' metadata: see `tell`), fill (values that are read as nodata although the
    file does not name them: see `fill.py`).
    """

    fill = Fill()

    def __init__(
        self, path: str, role: str, dataset: gdal.Dataset, reopen: Callable[[], gdal.Dataset | None] | None = None
    ) -> None:
        """reopen: makes the dataset for another thread, where that is more than opening the path."""
        self.path, self.role, self._reopen = path, role, reopen
        self._local = threading.local()
        self._local.dataset = dataset
        self.count, self.rows, self.cols = dataset.RasterCount, dataset.RasterYSize, dataset.RasterXSize
        transform = dataset.GetGeoTransform(can_return_null=True)
        self.georeferenced = transform is not None
        self.geotransform = tuple(transform or (0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
        self._turn = (slice(None), slice(None))  # of rows and columns as they are in the file
        if self.georeferenced and self.straight:
            self._turn_north_up()
        places = {} if self.georeferenced else dataset.GetMetadata("GEOLOCATION")
        self.swath = "X_DATASET" in places
        reference = osr.SpatialReference(places["SRS"]) if places.get("SRS") else dataset.GetSpatialRef()
        self.crs_wkt = reference.ExportToWkt(["FORMAT=WKT2_2018"]) if reference is not None else ""
        bands = [dataset.GetRasterBand(i + 1) for i in range(self.count)]
        self._exact = all(b.DataType in _EXACT_IN_FLOAT32 for b in bands)
        self._nodata = _nodata_values(dataset, bands)
        self._mask_flags = [b.GetMaskFlags() for b in bands]
        self.dtype = gdal.GetDataTypeName(bands[0].DataType)
        self.nodata = self._nodata[0]
        colours = [b.GetColorInterpretation() for b in bands]
        rgb = (gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand)
        self.rgb_bands = tuple(colours.index(c) for c in rgb) if all(c in colours for c in rgb) else None
        told = describe_bands(dataset)
        self.bands: list[BandInfo] = told.bands
        self.facts, self.warnings = told.facts, told.warnings
        self.descriptions = [b.description for b in self.bands]
        self.alpha, self._has_alpha = told.alpha, bool(told.alpha)
        self.bad = np.array([b.bad for b in self.bands])
        self.wavelengths = _complete([b.wavelength_nm for b in self.bands], self.bad)
        self.fwhm = _complete([b.fwhm_nm for b in self.bands], self.bad)

    @classmethod
    def open(cls, path: str | Path, role: str = "raster") -> Raster:
        """Open a file name or any string that GDAL understands; HSFusionError when there is no raster behind it."""
        text = str(path)
        dataset, reason = _opened(text)
        if dataset is None:
            known = Path(text).exists() or ":" in text or text.startswith("/vsi")
            what = f"cannot be read by GDAL ({reason})" if known else "does not exist"
            raise HSFusionError(f"{role}: '{text}' {what}; choose another raster.")
        if dataset.RasterCount == 0:
            inner = sorted((name for name, _ in dataset.GetSubDatasets()), key=lambda name: "cube" not in name.lower())
            hint = f"choose one of its subdatasets, such as {inner[0]}" if inner else "choose another raster"
            raise HSFusionError(f"{role}: '{text}' has no bands of its own; {hint}.")
        if any(gdal.DataTypeIsComplex(dataset.GetRasterBand(i + 1).DataType) for i in range(dataset.RasterCount)):
            raise HSFusionError(f"{role}: '{text}' holds complex numbers; convert it to reflectance or radiance first.")
        return cls(text, role, dataset)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Width and height of a pixel in map units, both positive (of an unrotated grid)."""
        return abs(self.geotransform[1]), abs(self.geotransform[5])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) in map units (of an unrotated grid)."""
        x0, dx, _, y0, _, dy = self.geotransform
        xs, ys = (x0, x0 + dx * self.cols), (y0, y0 + dy * self.rows)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def north_up(self) -> bool:
        """True unless the grid is rotated or sheared by more than a hundredth of a pixel in all, or has no
        georeference.
        """
        return self.straight and self.geotransform[1] > 0 and self.geotransform[5] < 0

    @property
    def straight(self) -> bool:
        """True where rows and columns run along the axes of the CRS, whichever way."""
        _, dx, row_x, _, col_y, dy = self.geotransform
        return abs(row_x) * self.rows <= 0.01 * abs(dx) and abs(col_y) * self.cols <= 0.01 * abs(dy)

    def _turn_north_up(self) -> None:
        x0, dx, row_x, y0, col_y, dy = self.geotransform
        rows, cols = self._turn
        if dy > 0:
            y0, dy, rows = y0 + self.rows * dy, -dy, slice(None, None, -1)
        if dx < 0:
            x0, dx, cols = x0 + self.cols * dx, -dx, slice(None, None, -1)
        self.geotransform, self._turn = (x0, dx, row_x, y0, col_y, dy), (rows, cols)

    def read(self, rows: range, cols: range, bands: Sequence[int] | None = None, unscale: bool = False) -> np.ndarray:
        """Window as float32 (bands, rows, cols), NaN where nodata, masked, NaN or infinite; bands are counted from 0.

        Values are the raster's own; `unscale` applies each band's scale and offset. HSFusionError when the file is
        damaged.
        """
        index = [int(b) for b in (range(self.count) if bands is None else bands)]
        if not (0 <= rows.start < rows.stop <= self.rows and 0 <= cols.start < cols.stop <= self.cols):
            raise ValueError(f"window {rows} x {cols} is empty or reaches out of {self.rows} x {self.cols} pixels")
        if not index or min(index) < 0 or max(index) >= self.count:
            raise ValueError(f"bands {index} of {self.count}")
        return self._values(index, (cols.start, rows.start, len(cols), len(rows)), (len(rows), len(cols)), unscale)

    def thumbnail(self, bands: Sequence[int], largest: int = 1024, unscale: bool = False) -> np.ndarray:
        """Whole raster as float32 (bands, rows, cols), thinned out to at most `largest` rows and columns; otherwise as
        read.
        """
        step = max(1.0, max(self.rows, self.cols) / largest)
        shape = max(1, int(self.rows / step)), max(1, int(self.cols / step))
        return self._values([int(b) for b in bands], (0, 0, self.cols, self.rows), shape, unscale)

    def _values(
        self, index: list[int], window: tuple[int, int, int, int], shape: tuple[int, int], unscale: bool
    ) -> np.ndarray:
        values = self._file_values(index, window, shape)
        if self.fill:
            self.fill.blank(values, index, lambda band: self._file_values([band], window, shape)[0])
        if unscale:
            for layer, band in zip(values, index):
                layer *= np.float32(self.bands[band].scale)
                layer += np.float32(self.bands[band].offset)
        turned = values[(slice(None), *self._turn)]
        return values if turned.strides == values.strides else np.ascontiguousarray(turned)

    def _file_values(self, index: list[int], window: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
        """As the file has them, neither turned nor freed of fill; NaN where it says that there is nothing."""
        dtype, gdal_type = (np.float32, gdal.GDT_Float32) if self._exact else (np.float64, gdal.GDT_Float64)
        dataset, buffer = self._dataset(), None
        window = self._in_file(window)
        with collected_errors() as failures, one_at_a_time(self.path):
            buffer = dataset.ReadRaster(*window, shape[1], shape[0], gdal_type, [b + 1 for b in index])
        if not buffer or failures:
            col, row, width, height = window
            raise HSFusionError(
                f"{self.role}: '{self.path}' cannot be read at rows {row}-{row + height - 1}, columns "
                f"{col}-{col + width - 1}; the file is damaged or out of reach."
            )
        values = np.frombuffer(bytearray(buffer) if isinstance(buffer, bytes) else buffer, dtype)
        values = values.reshape(len(index), *shape)
        shared = self._shared_mask(index, window, shape, dataset)
        for layer, band in zip(values, index):
            self._blank(layer, band, window, dataset, shared)
        values = values.astype(np.float32, copy=False)
        values[~np.isfinite(values)] = np.nan
        return values

    def _in_file(self, window: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """(col, row, width, height) as the file counts its pixels."""
        col, row, width, height = window
        if self._turn[0].step:
            row = self.rows - row - height
        if self._turn[1].step:
            col = self.cols - col - width
        return col, row, width, height

    def seen_through(self, make: Callable[[], gdal.Dataset | None]) -> Raster | None:
        """A virtual raster that `make` makes of this one, in each thread anew; the bands are described as this
        one's.
        """
        dataset = make()
        if dataset is None:
            return None
        other = Raster(self.path, self.role, dataset, make)
        other.bands, other.descriptions, other.rgb_bands = self.bands, self.descriptions, self.rgb_bands
        other.bad, other.wavelengths, other.fwhm, other.alpha = self.bad, self.wavelengths, self.fwhm, self.alpha
        other.facts, other.warnings = self.facts, self.warnings
        other.fill = self.fill
        other._has_alpha = False
        return other

    def read_as_nodata(self, fill: Fill) -> None:
        """From now on these values are nodata, in every thread and in rasters that are made of this one."""
        self.fill = fill

    def window_shape(self, values: int) -> tuple[int, int]:
        """(rows, cols) of windows by which all bands are read once at the least cost, of about so many values each."""
        across, down = self._dataset().GetRasterBand(1).GetBlockSize()
        pixels = max(1, values // self.count)
        if across < self.cols:
            side = max(1, int(pixels**0.5) // 128) * 128
            return side, side
        across = min(self.cols, max(128, 8 * pixels // _FEWEST_ROWS))
        return max(down, _FEWEST_ROWS, pixels // across // down * down), across

    def tell(self, progress: Progress) -> tuple[str, ...]:
        """Say what was and what was not believed of the bands' metadata; returns the warnings among it, for
        the report.
        """
        for fact in self.facts:
            progress.info(f"{self.role}: {fact}")
        warnings = tuple(f"{self.role}: {warning}" for warning in self.warnings)
        for warning in warnings:
            progress.warn(warning)
        return warnings

    def strip_bytes(self, rows: int) -> int:
        """Bytes of the strips that so many rows touch, unpacked, all bands; 0 where the file is in tiles or a strip is
        no wider than one.
        """
        band = self._dataset().GetRasterBand(1)
        across, down = band.GetBlockSize()
        if across < self.cols or down > rows or self.cols <= rows:
            return 0
        return (rows + down) * self.cols * self.count * gdal.GetDataTypeSize(band.DataType) // 8

    def handle(self) -> gdal.Dataset:
        """This thread's GDAL dataset, as the file has it."""
        return self._dataset()

    def close(self) -> None:
        """Let go of this thread's handle; the next read opens the file again."""
        self._local.dataset = None

    def _dataset(self) -> gdal.Dataset:
        dataset = getattr(self._local, "dataset", None)
        if dataset is None:
            dataset, reason = (self._reopen(), "gone") if self._reopen else _opened(self.path)
            if dataset is None:
                raise HSFusionError(f"{self.role}: '{self.path}' can no longer be read ({reason}).")
            self._local.dataset = dataset
        return dataset

    def _blank(
        self, layer: np.ndarray, band: int, window: tuple[int, ...], dataset: gdal.Dataset, shared: np.ndarray | None
    ) -> None:
        nodata, flags = self._nodata[band], self._mask_flags[band]
        if nodata is not None and np.isfinite(nodata):
            with np.errstate(invalid="ignore", over="ignore"):
                # A Float32 file may name the smallest double.
                value = layer.dtype.type(np.clip(nodata, np.finfo(layer.dtype).min, np.finfo(layer.dtype).max))
                # Writers round huge markers such as -3.4e38 differently.
                layer[np.abs(layer - value) <= 1e-6 * abs(value) if abs(nodata) > 1e10 else layer == value] = np.nan
        if self._masked(flags, nodata):
            own = shared if flags & gdal.GMF_PER_DATASET else None
            layer[_mask(dataset, band, window, layer.shape) if own is None else own] = np.nan

    def _shared_mask(
        self, index: list[int], window: tuple[int, ...], shape: tuple[int, int], dataset: gdal.Dataset
    ) -> np.ndarray | None:
        """The mask that all bands have in common (True = no data), read once for a window; None where there is none."""
        common = (
            b
            for b in index
            if self._mask_flags[b] & gdal.GMF_PER_DATASET and self._masked(self._mask_flags[b], self._nodata[b])
        )
        first = next(common, None)
        return None if first is None else _mask(dataset, first, window, shape)

    def _masked(self, flags: int, nodata: float | None) -> bool:
        if flags & gdal.GMF_ALPHA:
            return self._has_alpha
        return not flags & gdal.GMF_ALL_VALID and (nodata is None or bool(flags & gdal.GMF_PER_DATASET))


def _mask(dataset: gdal.Dataset, band: int, window: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray:
    """Where a band (from 0) is masked: bool (rows, cols)."""
    mask = dataset.GetRasterBand(band + 1).GetMaskBand().ReadRaster(*window, shape[1], shape[0], gdal.GDT_Byte)
    return np.frombuffer(mask, np.uint8).reshape(shape) == 0


def _nodata_values(dataset: gdal.Dataset, bands: list[gdal.Band]) -> list[float | None]:
    """Per band; GDAL knows of Sentinel-2's only as an item of the data set."""
    special = dataset.GetMetadataItem("SPECIAL_VALUE_NODATA")
    common = float(special) if special and special.lstrip("-").isdigit() else None
    return [common if value is None else value for value in (band.GetNoDataValue() for band in bands)]


def _opened(path: str) -> tuple[gdal.Dataset | None, str]:
    dataset, reason = None, "it cannot be opened"
    with collected_errors(), one_at_a_time(path):  # a file that cannot be turned is opened, or refused, as it is
        cube = cube_behind(path)
        if cube is not None:
            return in_one_piece(cube.dataset()), ""
        dataset, reason = open_dataset(path)
        if dataset is not None and dataset.GetGeoTransform(can_return_null=True) is None:
            dataset = in_one_piece(dataset)
    return dataset, reason


def _complete(values: list[float | None], bad: np.ndarray) -> np.ndarray | None:
    array = np.array([np.nan if v is None else v for v in values])
    good = array[~bad]
    return array if good.size and np.isfinite(good).all() else None
