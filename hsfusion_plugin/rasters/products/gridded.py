"""Cubes in HDF5 and netCDF files of makers that no other family knows, recognised by their structure;
docs/formats/cubes.md.
"""

from __future__ import annotations

from ....models.errors import HSFusionError
from .reading.product import Product, Wanted, utc
from .reading.source import Source
from .reading.structure import largest_cube

FAMILY = "HDF5 or netCDF cube"
LAST = True


def recognise(source: Source) -> bool:
    """Whether the source is such a file, with a cube or without."""
    return source.hdf is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The largest cube of the file."""
    hdf = source.hdf
    found = largest_cube(hdf)
    if wanted.pan:
        raise HSFusionError("PAN: only products that are known by name have a panchromatic image.")
    if found is None:
        raise HSFusionError(f"PRODUCT: '{source.given}' holds no cube that can be recognised: {described(source)}")
    attributes = hdf.attributes()
    return Product(
        family=FAMILY,
        level="",
        identifier=f"{hdf.path.stem}/{found.array.name}",
        sensor=str(attributes.get("instrument") or attributes.get("sensor") or ""),
        time=utc(str(attributes.get("time_coverage_start", ""))),
        quantity=found.array.attribute("long_name") or "",
        image=found.layer(),
    )


def described(source: Source) -> str:
    """What the file holds, and what to do."""
    arrays = [array for name in source.hdf.names if (array := source.hdf.get(name)) is not None]
    cubes = sorted((a for a in arrays if len(a.shape) == 3), key=lambda a: -a.md.GetTotalElementsCount())
    if not cubes:
        return f"its {len(arrays)} arrays have no three dimensions; choose the file that holds the image."
    names = ", ".join(f"{a.name} ({' x '.join(map(str, a.shape))})" for a in cubes[:3])
    return (
        f"no dimension of {names} has a coordinate, an attribute or a list of wavelengths; add the wavelengths as a "
        "variable "
        f'named wavelength (nm), or choose the subdataset HDF5:"{source.hdf.path}"://{cubes[0].name}.'
    )
