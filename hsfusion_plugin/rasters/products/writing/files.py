"""The image and the mask of a product as GeoTIFFs, written together, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from osgeo import gdal

from .....models.errors import HSFusionError
from .....models.listener import Listener
from ...gdal_calls import collected_errors
from ...reading.metadata import BandInfo, write_band_info
from ...writing.layout import BLOCK, Layout
from ...writing.sidecars import mark_raster
from ...writing.staging import staged
from ..reading.product import Grid, Places, Product
from .storage import Storage

_VALUES_AT_ONCE = 30_000_000
_CACHE = 256_000_000  # bytes
USE, LEAVE_OUT = 1, 0  # values of a mask


class ProductFiles:
    """Writes `output` (None: no image) and `mask` (None: no mask) of a product; both appear whole or not at all.

    classes: names of the quality classes that the mask leaves out; items: metadata of the image; without `look`, a mask
    alone is made of the product's own classes, and the image is not read for pixels without data.
    """

    def __init__(
        self,
        storage: Storage,
        output: Path | None,
        mask: Path | None,
        classes: Sequence[str],
        items: Mapping[str, str],
        look: bool = True,
    ) -> None:
        self._read = output is not None or look
        self._storage, self._output, self._mask = storage, output, mask
        self._classes, self._items = classes, items
        self.used = 0  # pixels that the mask lets through

    def write(self, listener: Listener, finish: Callable[[Path], None] | None = None) -> None:
        """`finish` is called with the image before it gets its name."""
        product, grid = self._storage.product, self._storage.product.image.grid
        windows = list(windows_of(grid, len(self._storage.numbers), product.image.window))
        with ExitStack() as stack:
            stack.enter_context(_block_cache())
            image = mask = image_path = mask_path = None
            if self._output is not None:
                size = grid.rows * grid.cols * len(self._storage.numbers) * self._storage.dtype.itemsize
                image_path = stack.enter_context(staged(self._output, size, "OUTPUT"))
                image = _created(
                    image_path, grid, self._storage.kind, self._storage.bands, self._storage.nodata, "OUTPUT"
                )
                image.SetMetadata(dict(self._items))
                mark_raster(image)
                _place(image, grid, image_path, self._output, listener)
            if self._mask is not None:
                mask_path = stack.enter_context(staged(self._mask, grid.rows * grid.cols, "MASK"))
                mask = _created(mask_path, grid, gdal.GDT_Byte, [BandInfo(description="use")], None, "MASK")
                mark_raster(mask)
                _place(mask, grid, mask_path, self._mask, listener)
            for number, (rows, cols) in enumerate(windows):
                listener.check()
                values, fill = (
                    self._storage.read(rows, cols) if self._read else (None, np.zeros((len(rows), len(cols)), bool))
                )
                if image is not None:
                    _write(image, rows, cols, values, "OUTPUT")
                if mask is not None:
                    use = _use(product, self._classes, rows, cols, fill)
                    self.used += int(use.sum())
                    _write(mask, rows, cols, use[None].astype(np.uint8), "MASK")
                listener.step((number + 1) / len(windows))
            _closed(image, "OUTPUT")
            _closed(mask, "MASK")
            image = mask = None
            if image_path is not None and finish is not None:
                finish(image_path)


@contextmanager
def _block_cache() -> Iterator[None]:
    """Room for a row of a compressed image's blocks, each of which would else be unpacked several times."""
    before = gdal.GetCacheMax()
    gdal.SetCacheMax(max(before, _CACHE))
    try:
        yield
    finally:
        gdal.SetCacheMax(before)


def windows_of(grid: Grid, count: int, best: tuple[int, int] = (BLOCK, BLOCK)) -> Iterator[tuple[range, range]]:
    """Windows of whole blocks of the files that are written, near to what is best read at once, and of a few million
    values.
    """
    most = _VALUES_AT_ONCE // max(1, count)
    if best[1] >= grid.cols:  # in strips
        wide = _blocks(grid.cols, grid.cols, most // BLOCK)
        high = _blocks(best[0], grid.rows, most // wide)
    else:
        high = _blocks(best[0], grid.rows, most // BLOCK)
        wide = _blocks(grid.cols, grid.cols, most // high)
        if best[1] < wide < grid.cols:
            wide = max(BLOCK, wide // best[1] * best[1] // BLOCK * BLOCK)
    for row in range(0, grid.rows, high):
        for col in range(0, grid.cols, wide):
            yield range(row, min(row + high, grid.rows)), range(col, min(col + wide, grid.cols))


def _blocks(wanted: int, size: int, most: int) -> int:
    """Whole blocks near to `wanted`, no more than `most`, at least one; not more than the image needs."""
    needed = -(-size // BLOCK) * BLOCK
    return max(BLOCK, min(-(-wanted // BLOCK) * BLOCK, most // BLOCK * BLOCK, needed))


def _use(product: Product, classes: Sequence[str], rows: range, cols: range, fill: np.ndarray) -> np.ndarray:
    use = ~fill if "fill" in classes else np.ones(fill.shape, bool)
    for name in classes:
        if name in product.classes:
            use &= ~product.classes[name].read(rows, cols)
    return use


def _created(
    path: Path, grid: Grid, kind: int, bands: Sequence[BandInfo], nodata: float | None, role: str
) -> gdal.Dataset:
    layout = Layout.parse("", grid.rows, grid.cols)
    made = None
    with collected_errors() as failures:
        made = gdal.GetDriverByName("GTiff").Create(str(path), grid.cols, grid.rows, len(bands), kind, layout.as_list())
    if made is None:
        raise HSFusionError(
            f"{role}: GDAL cannot create '{path.name}' ({(failures or ['no reason given'])[0]}); check the disk."
        )
    if grid.geotransform is not None:
        made.SetGeoTransform(grid.geotransform)
        if grid.crs_wkt:
            made.SetProjection(grid.crs_wkt)
    for number, info in enumerate(bands, 1):
        band = made.GetRasterBand(number)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        write_band_info(band, info)
    return made


def _place(made: gdal.Dataset, grid: Grid, inside: Path, final: Path, listener: Listener) -> None:
    """A swath gets a raster of places beside it, which GDAL's GEOLOCATION items name."""
    if grid.places is None:
        return
    name = f"{final.stem}_places.tif"
    _write_places(inside.with_name(name), grid, grid.places, listener)
    made.SetMetadata(geolocation(str(final.absolute().with_name(name)), grid.places.crs_wkt), "GEOLOCATION")


def geolocation(path: str, crs_wkt: str) -> dict[str, str]:
    """GDAL's items for a raster whose pixels lie where the two bands of the raster `path` say."""
    return {
        "SRS": crs_wkt,
        "X_DATASET": path,
        "X_BAND": "1",
        "Y_DATASET": path,
        "Y_BAND": "2",
        "PIXEL_OFFSET": "0",
        "LINE_OFFSET": "0",
        "PIXEL_STEP": "1",
        "LINE_STEP": "1",
        "GEOREFERENCING_CONVENTION": "PIXEL_CENTER",
    }


def _write_places(path: Path, grid: Grid, places: Places, listener: Listener) -> None:
    bands = [BandInfo(description="x"), BandInfo(description="y")]
    made = _created(path, Grid(grid.rows, grid.cols), gdal.GDT_Float64, bands, -9999.0, "OUTPUT")
    for rows, cols in windows_of(grid, 4):
        listener.check()
        x, y = places.read(rows, cols)
        values = np.stack([x, y])
        _write(made, rows, cols, np.where(np.isfinite(values).all(axis=0), values, -9999.0), "OUTPUT")
    _closed(made, "OUTPUT")


def _write(made: gdal.Dataset, rows: range, cols: range, values: np.ndarray, role: str) -> None:
    kind = made.GetRasterBand(1).DataType
    with collected_errors() as failures:
        for number, layer in enumerate(values, 1):
            plain = np.ascontiguousarray(layer).reshape(-1).view(np.uint8).data
            made.GetRasterBand(number).WriteRaster(
                cols.start, rows.start, len(cols), len(rows), plain, len(cols), len(rows), kind
            )
        made.FlushCache()
    if failures:
        raise HSFusionError(
            f"{role} cannot be written ({failures[0]}); the disk may be full, so free some space and run again."
        )


def _closed(made: gdal.Dataset | None, role: str) -> None:
    if made is None:
        return
    with collected_errors() as failures:
        made.FlushCache()
    if failures:
        raise HSFusionError(
            f"{role} cannot be written ({failures[0]}); the disk may be full, so free some space and run again."
        )
