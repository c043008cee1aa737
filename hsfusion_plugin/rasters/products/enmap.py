"""EnMAP, levels 1B, 1C and 2A (DLR, EN-PCV-ICD-2009): GeoTIFFs and a METADATA.XML; docs/formats/enmap.md."""

from __future__ import annotations

from pathlib import Path

from ....models.errors import HSFusionError
from .reading.cube import Joined
from .reading.dlr_product import DlrFiles, band_list, dlr_files, layer_of
from .reading.product import Grid, Layer, Product, QualityClass, Wanted, utc
from .reading.rpc import RpcPlaces, rpc_of_enmap
from .reading.source import Source, missing

FAMILY = "EnMAP"
_LAYERS = {
    "cloud": ("QL_QUALITY_CLOUD", (1,)),
    "shadow": ("QL_QUALITY_CLOUDSHADOW", (1,)),
    "cirrus": ("QL_QUALITY_CIRRUS", (1, 2, 3)),
    "haze": ("QL_QUALITY_HAZE", (1,)),
    "snow": ("QL_QUALITY_SNOW", (1,)),
    "water": ("QL_QUALITY_CLASSES", (2,)),
    "fill": ("QL_QUALITY_CLASSES", (3,)),
}


def recognise(source: Source) -> bool:
    """Whether the source is an EnMAP product."""
    return dlr_files(source, "ENMAP") is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The product as it is described by its METADATA.XML."""
    files = dlr_files(source, "ENMAP")
    if wanted.pan:
        raise HSFusionError("PAN: EnMAP has no panchromatic band.")
    if files.level not in ("L1B", "L1C", "L2A"):
        raise HSFusionError(
            f"PRODUCT: '{files.metadata.name}' is of a level of EnMAP that is not known "
            f"({files.level or 'none named'})."
        )
    image, notes = (_of_two_cameras if files.level == "L1B" else _on_a_map)(files)
    return Product(
        family=FAMILY,
        level=files.level,
        identifier=files.prefix.rstrip("-_."),
        sensor=FAMILY,
        time=utc(files.xml.value("temporalCoverage", "startTime") or files.xml.value("startTime")),
        quantity="surface reflectance" if files.level == "L2A" else "radiance in W/(m2 sr nm)",
        image=image,
        classes=_classes(files, image.grid),
        notes=notes,
    )


def _on_a_map(files: DlrFiles) -> tuple[Layer, tuple[str, ...]]:
    _, image = band_list(files, _image(files, "SPECTRAL_IMAGE"))
    return image, ()


def _of_two_cameras(files: DlrFiles) -> tuple[Layer, tuple[str, ...]]:
    """Level 1B: an image per camera as it was seen, placed by the rational polynomials of a VNIR band."""
    layers = [band_list(files, _image(files, f"SPECTRAL_IMAGE_{part}"), part)[1] for part in ("VNIR", "SWIR")]
    grid = layers[0].grid
    if (layers[1].grid.rows, layers[1].grid.cols) != (grid.rows, grid.cols):
        raise HSFusionError("PRODUCT: the images of EnMAP's two cameras have different sizes: one of them is damaged.")
    rpc = rpc_of_enmap(files.xml)
    placed = Grid(grid.rows, grid.cols, places=RpcPlaces(rpc, grid.rows, grid.cols) if rpc else None)
    for layer in layers:
        layer.grid = placed
    note = "EnMAP level 1B: the two cameras do not see quite the same places; level 1C or 2A lays them on one map."
    return Joined(layers), (note,)


def _image(files: DlrFiles, kind: str) -> Path:
    path = files.file(kind)
    if path is None:
        raise missing(files.source, f"{files.prefix}{kind}.TIF", f"which '{files.metadata.name}' describes")
    return path


def _classes(files: DlrFiles, grid: Grid) -> dict[str, QualityClass]:
    found = {name: (layer_of(files, kind, grid), values) for name, (kind, values) in _LAYERS.items()}
    return {name: QualityClass(layer, values) for name, (layer, values) in found.items() if layer is not None}
