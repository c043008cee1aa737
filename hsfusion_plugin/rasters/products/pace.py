"""PACE OCI, level 2 surface reflectance and level 1C (NASA OB.DAAC): netCDF-4; docs/formats/pace.md."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.cube import Cube, plane, with_places
from .reading.hdf import Hdf
from .reading.product import Grid, Product, QualityClass, Wanted, utc
from .reading.source import Source
from .reading.structure import structure_of

FAMILY = "PACE OCI"
_L2, _L1C = ("geophysical_data/rhos", "geophysical_data/Rrs"), "observation_data/i"
# Wavelengths and widths of the views, as NASA writes them and as other writers of the format do.
_VIEW_NAMES = (
    ("intensity_wavelength", "intensity_wavelengths"),
    ("intensity_bandpass", "intensity_bandpasses"),
)
_QUANTITIES = {
    _L2[0]: "surface reflectance",
    _L2[1]: "remote sensing reflectance in 1/sr",
    None: "radiance in W/(m2 sr um)",
}
# Bits of l2_flags (NASA OB.DAAC, level 2 flags).
_BITS = {"cloud": 1 << 9, "saturated": 1 << 4, "glint": 1 << 3, "land": 1 << 1}


def recognise(source: Source) -> bool:
    """Whether the source is a PACE product of OCI."""
    hdf = source.hdf
    return hdf is not None and (any(name in hdf for name in _L2) or _L1C in hdf and "geolocation_data/latitude" in hdf)


def open_product(source: Source, wanted: Wanted) -> Product:
    """The cube as the sensor saw it; of level 1C the first view."""
    hdf = source.hdf
    if wanted.pan:
        raise HSFusionError("PAN: PACE has no panchromatic band.")
    name = next((name for name in _L2 if name in hdf), None)
    image, level = (_level_2(hdf, name), "L2") if name else (_level_1c(hdf), "L1C")
    attributes = hdf.attributes()
    flags = hdf.get("geophysical_data/l2_flags")
    layer = (
        plane(flags, image.grid) if flags is not None and flags.shape == (image.grid.rows, image.grid.cols) else None
    )
    return Product(
        family=FAMILY,
        level=level,
        identifier=str(attributes.get("product_name") or hdf.path.stem).removesuffix(".nc"),
        sensor="PACE-OCI",
        time=utc(str(attributes.get("time_coverage_start", ""))),
        quantity=_QUANTITIES[name],
        image=image,
        classes={key: QualityClass(layer, bits=bits) for key, bits in _BITS.items()} if layer is not None else {},
    )


def _level_2(hdf: Hdf, name: str) -> Cube:
    found = structure_of(hdf, hdf.array(name))
    if found is None:
        raise HSFusionError(f"PRODUCT: '{hdf.path}' has no wavelengths for {name}: its download may be incomplete.")
    place = "navigation_data"
    grid = with_places(found.grid, hdf.array(f"{place}/longitude"), hdf.array(f"{place}/latitude"))
    return Cube(found.array, found.axes, found.bands, grid, found.array.fill)


def _spelling(hdf: Hdf, folder: str, names: tuple[str, ...]) -> str:
    """The first of the names that the folder holds, else the usual one, which then is told to be missing."""
    return next((f"{folder}/{name}" for name in names if f"{folder}/{name}" in hdf), f"{folder}/{names[0]}")


def _level_1c(hdf: Hdf) -> Cube:
    """(along, across, view, band), with wavelengths for every view."""
    array = hdf.array(_L1C)
    rows, cols, _, count = array.shape
    folder = "sensor_views_bands"
    centres, widths = (hdf.array(_spelling(hdf, folder, names)).numbers() for names in _VIEW_NAMES)
    centres, widths = (values.reshape(-1, count)[0] for values in (centres, widths))
    bands = [
        BandInfo(float(nm), float(w) if w > 0 else None, f"band {i + 1}")
        for i, (nm, w) in enumerate(zip(centres, widths))
    ]
    bands = [replace(band, bad=not np.isfinite(band.wavelength_nm)) for band in bands]
    place = "geolocation_data"
    grid = with_places(Grid(rows, cols), hdf.array(f"{place}/longitude"), hdf.array(f"{place}/latitude"))
    return Cube(array, (0, 1, 3), bands, grid, array.fill, {2: 0})
