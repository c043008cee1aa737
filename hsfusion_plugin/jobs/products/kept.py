"""Products that a job was given instead of a raster: opened once and kept in the work folder for the next run."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from ....models.listener import Listener
from ....models.version import VERSION
from ...backend.settings import Settings
from ...rasters.products.reading.product import Grid, Product
from ...rasters.products.reading.source import Source
from ...rasters.products.reading.stack import FileBand
from ...rasters.products.writing.files import ProductFiles, geolocation
from ...rasters.products.writing.selection import masked_classes
from ...rasters.products.writing.storage import Storage
from ...rasters.products.writing.vrt import readable_in_place, virtual_raster
from .folder import work_folder
from .job import product_items

RASTER, _IMAGE, _MASK, _MARKER = "raster.vrt", "image.tif", "mask.tif", "hsfusion-product.txt"
_OLDEST_DAYS = 7.0


def kept_folder(path: str, source: Source, part: object) -> Path:
    """Where the raster of this product, as its files are now, and of this part of it is kept."""
    named = [source.main] if source.main is not None else source.files
    if not source.in_place:
        named = [Path(path)]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in named]
    key = hashlib.sha256(f"{VERSION} {Path(path).absolute()} {stats} {part}".encode()).hexdigest()[:16]
    return work_folder() / f"opened-{key}"


def keep(folder: Path, product: Product, source: Source, listener: Listener) -> Path:
    """Write image, mask and the virtual raster of both into `folder`, whole or not at all; the path of the virtual
    raster.
    """
    _tidy(folder.parent)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    try:
        (made / _MARKER).write_text("A product opened by HSFusion; it may be deleted at any time.\n", encoding="utf-8")
        _write(made, folder, product, source, listener)
        try:
            made.replace(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(made, ignore_errors=True)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return folder / RASTER


def keeps() -> bool:
    """Whether opened products stay for the next run (HSFUSION_WORK is not `off`)."""
    return Settings.read().work != "off"


def _write(made: Path, final: Path, product: Product, source: Source, listener: Listener) -> None:
    image = product.image
    numbers = list(range(len(image.bands)))
    storage = Storage.of(product, numbers)
    in_place = source.in_place and readable_in_place(product)
    classes = [name for name in masked_classes(product, "default") if name in product.classes]
    mask = made / _MASK if classes else None
    if mask is not None or not in_place:
        files = ProductFiles(storage, None if in_place else made / _IMAGE, mask, classes, {}, look=False)
        files.write(listener)
    parts = image.parts if in_place else [FileBand(str(final / _IMAGE), i + 1) for i in numbers]
    bands, nodata = (image.bands, image.nodata) if in_place else (storage.bands, storage.nodata)
    kinds = None if in_place else [storage.kind] * len(numbers)
    text = virtual_raster(
        parts,
        bands,
        image.grid,
        nodata,
        product_items(product),
        final / _MASK if mask is not None else None,
        _places(image.grid, final),
        kinds,
    )
    (made / RASTER).write_text(text, encoding="utf-8")


def _places(grid: Grid, final: Path) -> dict[str, str] | None:
    if grid.places is None:
        return None
    return geolocation(str(final / f"{Path(_IMAGE).stem}_places.tif"), grid.places.crs_wkt)


def _tidy(root: Path) -> None:
    """Remove what nobody used for a week; only folders with our marker."""
    for folder in root.glob("opened-*"):
        try:
            old = time.time() - max(folder.stat().st_mtime, (folder / RASTER).stat().st_mtime) > _OLDEST_DAYS * 86400
            if old and (folder / _MARKER).is_file():
                shutil.rmtree(folder)
        except OSError:  # another run removes it too
            continue


def touch(path: Path) -> None:
    """Say that a kept raster was used."""
    try:
        os.utime(path)
    except OSError:
        return
