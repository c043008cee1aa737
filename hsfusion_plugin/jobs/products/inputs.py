"""HSI and MSI may be products: what a job opens then, cut to where both rasters lie."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TypeVar

import numpy as np
from osgeo import osr

from ...errors import HSFusionError
from ...rasters.gdal_calls import collected_errors, open_dataset
from ...rasters.products.reading.archive import is_archive
from ...rasters.products.reading.cropped import Bounds, cropped
from ...rasters.products.reading.cube import Cube
from ...rasters.products.reading.product import Grid, Product
from ...rasters.products.reading.registry import family_of, open_product
from ...rasters.products.reading.source import Source
from ...rasters.products.reading.structure import largest_cube
from ...rasters.products.writing.selection import masked_classes
from ...rasters.products.writing.vrt import readable_in_place
from ...rasters.reading.raster import Raster
from ..run.progress import Progress
from .folder import work_folder
from .job import tell
from .kept import RASTER, keep, keeps, kept_folder, touch

_SUBDATASET = re.compile(r'^(?:HDF5|NETCDF):"?(.+?)"?:(?://)?([^:]+)$')
_METADATA = (".xml", ".txt", ".safe", ".json", ".imd", ".dim", ".hdr")
_CONTAINERS = (".h5", ".he5", ".hdf5", ".hdf", ".nc", ".nc4")
T = TypeVar("T")
_EDGE = 21  # points per side, by which an outline is carried to another CRS
_MARGIN = 4.0  # pixels of the coarser raster


@dataclass(frozen=True)
class _Input:
    """A product that was recognised; path: as it was given."""

    path: str
    source: Source
    product: Product


def open_pair(hsi: str, msi: str, progress: Progress) -> tuple[Raster, Raster]:
    """Both rasters; a product is opened as with defaults, kept for the next run, and that is said in the log."""
    with ExitStack() as stack:
        found = [_product(path, role, stack, progress) for path, role in ((hsi, "HSI"), (msi, "MSI"))]
        plain = [
            None if product else Raster.open(path, role)
            for product, path, role in zip(found, (hsi, msi), ("HSI", "MSI"))
        ]
        grids = [
            _grid_of(raster) if raster is not None else product.product.image.grid
            for raster, product in zip(plain, found)
        ]
        rasters = []
        for i, role in enumerate(("HSI", "MSI")):
            rasters.append(plain[i] or _opened(found[i], role, grids[1 - i], progress))
        return rasters[0], rasters[1]


def open_single(path: str, role: str, progress: Progress) -> Raster:
    """One raster, which may be a product."""
    with ExitStack() as stack:
        found = _product(path, role, stack, progress)
        return Raster.open(path, role) if found is None else _opened(found, role, None, progress)


def names_product(path: str) -> bool:
    """Whether a path is that of a product and not of a raster, as far as can be told without unpacking an archive."""
    file = Path(path)
    try:
        if _SUBDATASET.match(path) or not file.exists():
            return False
    except (OSError, ValueError):  # a text of GDAL's that is no path
        return False
    if file.is_file() and is_archive(file):
        return True
    if file.is_file() and file.suffix.lower() not in (*_METADATA, *_CONTAINERS):
        return False
    source = Source.open(path, work_folder())
    if family_of(source, last=False) is not None:
        return True
    if source.hdf is None:
        return False
    dataset, _ = open_dataset(path)  # GDAL may know bands where no dimension is one of wavelengths
    return largest_cube(source.hdf) is not None or dataset is None or dataset.RasterCount == 0


def crs_of_input(path: str, role: str) -> str:
    """WKT of the CRS of a raster or a product."""
    if not names_product(path):
        return Raster.open(path, role).crs_wkt
    with Source.open(path, work_folder(), role) as source:
        return open_product(source).image.grid.crs_wkt


def _product(path: str, role: str, stack: ExitStack, progress: Progress) -> _Input | None:
    named = _SUBDATASET.match(path)
    if named:
        return _of_subdataset(path, named.group(1), named.group(2), stack)
    if not names_product(path):
        return None
    source = stack.enter_context(Source.open(path, work_folder(), role, progress))
    return _Input(path, source, _as(role, open_product, source))


def _of_subdataset(path: str, file: str, name: str, stack: ExitStack) -> _Input | None:
    """The product of a file, where the array that GDAL's name points to is its cube: GDAL itself knows no place or band
    of it.
    """
    if not Path(file).is_file():
        return None
    source = stack.enter_context(Source.open(file, work_folder()))
    if family_of(source, last=False) is None:
        return None
    try:
        product = open_product(source)
    except HSFusionError:  # whose array GDAL may read all the same
        return None
    image = product.image
    wanted = name.strip("/").replace(" ", "_")
    if isinstance(image, Cube) and image.grid.geotransform and image.array.name.replace(" ", "_") == wanted:
        return _Input(path, source, product)
    return None


def _opened(found: _Input, role: str, other: Grid | None, progress: Progress) -> Raster:
    product, part = found.product, None
    bounds = _bounds_in(other, product.image.grid) if other is not None else None
    if bounds is not None and not (found.source.in_place and readable_in_place(product)):
        product, part = cropped(product, bounds[0], bounds[1])
    file = found.source.given if _SUBDATASET.match(found.path) else found.path
    folder = kept_folder(file, found.source, part)
    path = folder / RASTER
    tell(product, list(range(len(product.image.bands))), ["fill", *_masked(product)], progress, role)
    temporary = None
    if path.is_file() and keeps():
        touch(path)
        progress.info(f"{role}: the product was opened before and is kept in {folder}.")
    else:
        if not keeps():
            temporary = Path(tempfile.mkdtemp(prefix="hsfusion-"))
            folder = temporary / folder.name
        progress.phase(f"Opening the product of {role}")
        path = _as(role, keep, folder, product, found.source, progress.part(0.0, 0.05))
        if temporary is None:
            progress.info(f"{role}: the opened product is kept in {folder} for the next run.")
    raster = Raster.open(path, role)
    if temporary is not None:
        weakref.finalize(raster, shutil.rmtree, temporary, ignore_errors=True)
    return raster


def _masked(product: Product) -> list[str]:
    return [name for name in masked_classes(product, "default") if name != "fill"]


def _as(role: str, work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns, with errors that name the parameter."""
    try:
        return work(*arguments)
    except HSFusionError as error:
        text = re.sub(r"^(PRODUCT|OUTPUT|MASK)\b", role, str(error))
        raise HSFusionError(text if text.startswith(role) else f"{role}: {text}") from error


def _grid_of(raster: Raster) -> Grid:
    transform = raster.geotransform if raster.georeferenced and raster.straight else None
    return Grid(raster.rows, raster.cols, transform, raster.crs_wkt)


def _bounds_in(other: Grid, grid: Grid) -> tuple[Bounds, float] | None:
    """The outline of `other` in the CRS of `grid`, and a margin; None where it cannot be told."""
    if other.geotransform is None or grid.geotransform is None or not (other.crs_wkt and grid.crs_wkt):
        return None
    share = np.linspace(0, 1, _EDGE)
    zero, one = np.zeros(_EDGE), np.ones(_EDGE)
    col, row = (np.concatenate(parts) for parts in ((share, share, zero, one), (zero, one, share, share)))
    x0, dx, row_x, y0, col_y, dy = other.geotransform
    x = x0 + col * other.cols * dx + row * other.rows * row_x
    y = y0 + col * other.cols * col_y + row * other.rows * dy
    source, target = (osr.SpatialReference(wkt) for wkt in (other.crs_wkt, grid.crs_wkt))
    for reference in (source, target):
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    points = None
    with collected_errors() as failures:
        points = np.array(
            osr.CoordinateTransformation(source, target).TransformPoints(np.column_stack([x, y]).tolist())
        )
    if points is None or failures or not np.isfinite(points).all():
        return None
    xs, ys = points[:, 0], points[:, 1]
    span = max(np.ptp(xs) / max(1, other.cols), np.ptp(ys) / max(1, other.rows))
    pixel = max(span, abs(grid.geotransform[1]), abs(grid.geotransform[5]))
    return (xs.min(), ys.min(), xs.max(), ys.max()), _MARGIN * pixel
