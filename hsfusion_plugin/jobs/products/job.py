"""hsfusion:openproduct: a product as it was delivered becomes one raster that fuses, and a mask."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....models.errors import HSFusionError
from ....models.version import VERSION
from ...rasters.products.reading.product import Product, Wanted
from ...rasters.products.reading.registry import open_product
from ...rasters.products.reading.source import Source
from ...rasters.products.writing.files import ProductFiles
from ...rasters.products.writing.selection import masked_classes, selected_bands
from ...rasters.products.writing.storage import Storage
from ...rasters.products.writing.vrt import readable_in_place, virtual_raster
from ...rasters.writing.staging import check_outputs, write_text
from ...rasters.writing.style import write_style
from ..run.progress import Progress
from .folder import work_folder


@dataclass(frozen=True)
class ProductRequest:
    """The parameters of `hsfusion:openproduct`; resolution in metres, 0 = the finest."""

    product: str
    output: str
    mask: str | None = None
    bands: str = "all"
    mask_classes: str = "default"
    resolution: float = 0.0
    pan: bool = False
    swath: bool = False

    def parameters(self) -> dict[str, Any]:
        """The parameters under their public names."""
        return {name.upper(): value for name, value in asdict(self).items()}


def run(request: ProductRequest, progress: Progress) -> dict[str, Any]:
    """Write OUTPUT and MASK; returns the outputs by name. Raises HSFusionError, Cancelled."""
    inputs = [request.product]
    for note in check_outputs({"OUTPUT": request.output, "MASK": request.mask}, inputs):
        progress.info(note)
    progress.phase("Reading the product")
    with Source.open(request.product, work_folder(), listener=progress) as source:
        _keep_out_of(source, request)
        product = open_product(source, Wanted(request.resolution, request.pan, request.swath))
        numbers = selected_bands(product.image, request.bands)
        classes = masked_classes(product, request.mask_classes)
        tell(product, numbers, classes, progress)
        _write(request, source, product, numbers, classes, progress)
    progress.step(1.0)
    files = {"OUTPUT": request.output, "MASK": request.mask}
    return {**{k: v for k, v in files.items() if v}, "SENSOR": product.sensor, "TIME": product.time}


def tell(product: Product, numbers: list[int], classes: list[str], progress: Progress, role: str = "") -> None:
    """What was found, for the log."""
    role = f"{role}: " if role else ""
    grid, bands = product.image.grid, [product.image.bands[i] for i in numbers]
    known = sorted(band.wavelength_nm for band in bands if band.wavelength_nm)
    span = f" from {known[0]:.1f} to {known[-1]:.1f} nm" if known else ""
    bad = sum(band.bad for band in bands)
    progress.info(
        f"{role}{product.title}, {product.identifier}: {product.quantity or 'numbers as stored'}, {len(bands)} "
        f"bands{span}"
        f"{f', {bad} of them marked bad' if bad else ''}, {grid.cols} x {grid.rows} pixels."
    )
    clouds = "" if "cloud" in product.classes else "; the product tells of no clouds"
    progress.info(f"{role}the mask leaves out {', '.join(classes) or 'nothing'}{clouds}.")
    if grid.places is not None:
        progress.info(f"{role}the image lies as the sensor saw it; the place of every pixel is kept beside it.")
    elif grid.geotransform is None:
        progress.warn(f"{role}the product does not say where its pixels lie: warp it to a map before it is fused.")
    for note in product.notes:
        progress.info(f"{role}{note}")


def product_items(product: Product) -> dict[str, str]:
    """What an opened raster keeps of its product, as metadata."""
    items = {
        "PRODUCT_FAMILY": product.family,
        "PRODUCT_LEVEL": product.level,
        "PRODUCT_ID": product.identifier,
        "PRODUCT_QUANTITY": product.quantity,
        "PRODUCT_SENSOR": product.sensor,
        "ACQUISITION_TIME": product.time,
        "HSFUSION_VERSION": VERSION,
    }
    return {key: value for key, value in items.items() if value}


def _write(
    request: ProductRequest,
    source: Source,
    product: Product,
    numbers: list[int],
    classes: list[str],
    progress: Progress,
) -> None:
    storage = Storage.of(product, numbers)
    output, mask = Path(request.output), Path(request.mask) if request.mask else None
    virtual = output.suffix.lower() == ".vrt"
    if virtual and not (source.in_place and readable_in_place(product)):
        raise HSFusionError(
            f"OUTPUT: {product.family} {product.level} cannot be read in place as a VRT from '{request.product}': end "
            "the name in .tif."
        )
    progress.phase("Writing")
    if virtual:
        image = product.image
        parts, bands = [image.parts[i] for i in numbers], [image.bands[i] for i in numbers]
        text = virtual_raster(parts, bands, image.grid, image.nodata, product_items(product))
        write_text(output, text)
    if virtual and mask is None:
        return
    files = ProductFiles(storage, None if virtual else output, mask, classes, product_items(product))
    files.write(progress, write_style)
    if mask is not None:
        share = files.used / (product.image.grid.rows * product.image.grid.cols)
        progress.info(f"The mask lets {100 * share:.1f} % of the pixels through.")
        if files.used == 0:
            progress.warn("The mask leaves no pixel: choose other MASK_CLASSES, or another product.")


def _keep_out_of(source: Source, request: ProductRequest) -> None:
    """HSFusionError where an output would replace a file of the product."""
    for role, path in (("OUTPUT", request.output), ("MASK", request.mask)):
        if path and Path(path).exists() and any(Path(path).resolve() == file.resolve() for file in source.files):
            raise HSFusionError(f"{role}: '{path}' is a file of the product and would be lost; choose another name.")
