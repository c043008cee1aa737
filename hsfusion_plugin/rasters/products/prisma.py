"""PRISMA, levels 1, 2B, 2C and 2D (ASI, PRISMA Products Specification): HDF-EOS5, cubes of (row, band, column);
docs/formats/prisma.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo
from .reading.cube import Cube, Joined, plane, with_places
from .reading.hdf import Hdf
from .reading.product import Grid, Product, QualityClass, Wanted, crs_of_epsg, utc
from .reading.source import Source

FAMILY = "PRISMA"
_CORNERS = (
    "Product_ULcorner_easting",
    "Product_ULcorner_northing",
    "Product_LRcorner_easting",
    "Product_LRcorner_northing",
)
_PIXEL, _PAN_PIXEL = 30.0, 5.0  # metres
_DN_LARGEST = 65535.0
# Codes of the matrices of errors: level 1 marks 1 saturated, 2 defective, 3 both; level 2 marks 2 saturated.
_SATURATED = {"L1": (1, 3)}
_SATURATED_L2 = (2,)


def recognise(source: Source) -> bool:
    """Whether the source is a PRISMA product."""
    hdf = source.hdf
    return hdf is not None and any("/PRS_L" in f"/{name}" for name in hdf.names)


def open_product(source: Source, wanted: Wanted) -> Product:
    """The cube of both spectrometers, or the panchromatic image."""
    hdf = source.hdf
    attributes = hdf.attributes()
    level = next(name.partition("PRS_L")[2].partition("_")[0] for name in hdf.names if "PRS_L" in name)
    if level not in ("1", "2B", "2C", "2D"):
        raise HSFusionError(f"PRODUCT: '{source.given}' is of a level of PRISMA that is not known (L{level}).")
    level = f"L{level}"
    image = _pan(hdf, level, attributes) if wanted.pan else _cube(hdf, level, attributes)
    return Product(
        family=FAMILY,
        level=level,
        identifier=str(attributes.get("Product_Name") or hdf.path.stem).removesuffix(".he5"),
        sensor=FAMILY,
        time=utc(str(attributes.get("Product_StartTime", ""))),
        quantity="surface reflectance" if level in ("L2C", "L2D") else "radiance in W/(m2 sr um)",
        image=image,
        classes={} if wanted.pan else _classes(hdf, level, image),
        fill_in_all=level == "L1",
        notes=_notes(image),
    )


def _cube(hdf: Hdf, level: str, attributes: dict[str, Any]) -> Joined:
    """Both cubes, in order of wavelength, without the bands that were never measured (wavelength 0)."""
    cubes = []
    kinds = [kind for kind in ("Vnir", "Swir") if _field(level, "HCO", f"{kind.upper()}_Cube") in hdf]
    if not kinds:
        raise HSFusionError(
            f"PRODUCT: '{hdf.path}' holds no cube of PRISMA: its download may be incomplete, so get it again."
        )
    for kind in kinds:
        array = hdf.array(_field(level, "HCO", f"{kind.upper()}_Cube"))
        bands = _bands(attributes, kind, level)
        if len(array.shape) != 3 or array.shape[1] != len(bands):
            raise HSFusionError(
                f"PRODUCT: PRISMA's {kind.upper()}_Cube has {array.shape} values and its list of wavelengths "
                f"{len(bands)}: the file is damaged."
            )
        grid = _grid(hdf, level, attributes, "HCO", array.shape[0], array.shape[2], _PIXEL, kind.upper())
        cubes.append(Cube(array, (0, 2, 1), bands, grid, 0.0))
    if len({(cube.grid.rows, cube.grid.cols) for cube in cubes}) > 1:
        raise HSFusionError("PRODUCT: PRISMA's two cubes have different sizes: the file is damaged.")
    if len(cubes) == 2:
        swir_begins = min(band.wavelength_nm for band in cubes[1].bands if band.wavelength_nm)
        # Where both see the same wavelengths the VNIR is at its weakest: it stays, but takes no part in a fusion.
        cubes[0].bands = [replace(b, bad=b.bad or (b.wavelength_nm or 0) >= swir_begins) for b in cubes[0].bands]
    described = [band for cube in cubes for band in cube.bands]
    measured = [i for i, band in enumerate(described) if band.wavelength_nm]
    return Joined(cubes, sorted(measured, key=lambda i: described[i].wavelength_nm))


def _pan(hdf: Hdf, level: str, attributes: dict[str, Any]) -> Cube:
    array = hdf.array(_field(level, "PCO", "Cube"))
    scale, offset = _scaling(attributes, "Pan", level)
    grid = _grid(hdf, level, attributes, "PCO", array.shape[0], array.shape[1], _PAN_PIXEL, "")
    # ASI: the panchromatic camera sees 400 to 700 nm.
    band = BandInfo(wavelength_nm=550.0, fwhm_nm=300.0, description="PAN", scale=scale, offset=offset)
    return Cube(array, (0, 1, None), [band], grid, 0.0)


def _field(level: str, swath: str, name: str) -> str:
    return f"HDFEOS/SWATHS/PRS_{level}_{swath}/Data Fields/{name}"


def _bands(attributes: dict[str, Any], kind: str, level: str) -> list[BandInfo]:
    """In the cube's own order, which falls in wavelength."""
    centres = np.ravel(attributes.get(f"List_Cw_{kind}", []))
    widths = np.ravel(attributes.get(f"List_Fwhm_{kind}", np.zeros(centres.size)))
    flags = np.ravel(attributes.get(f"List_Cw_{kind}_Flags", np.ones(centres.size)))
    scale, offset = _scaling(attributes, kind, level)
    return [
        BandInfo(
            wavelength_nm=float(nm) if nm > 0 else None,
            fwhm_nm=float(width) if width > 0 else None,
            description=f"{kind.upper()} {i + 1}",
            bad=not nm > 0 or flag == 0,
            scale=scale,
            offset=offset,
        )
        for i, (nm, width, flag) in enumerate(zip(centres, widths, flags))
    ]


def _scaling(attributes: dict[str, Any], kind: str, level: str) -> tuple[float, float]:
    """Level 1: number / ScaleFactor - Offset; level 2: Min + number (Max - Min) / 65535."""
    if level == "L1":
        return 1.0 / float(attributes.get(f"ScaleFactor_{kind}", 1.0)), -float(attributes.get(f"Offset_{kind}", 0.0))
    low, high = (float(attributes.get(f"L2Scale{kind}{end}", default)) for end, default in (("Min", 0.0), ("Max", 1.0)))
    return (high - low) / _DN_LARGEST, low


def _grid(
    hdf: Hdf, level: str, attributes: dict[str, Any], swath: str, rows: int, cols: int, pixel: float, camera: str
) -> Grid:
    """Level 2D lies on a UTM grid, whose corners are told by the centres of corner pixels; the others have a place for
    every pixel.
    """
    if level != "L2D":
        folder = f"HDFEOS/SWATHS/PRS_{level}_{swath}/Geolocation Fields"
        pairs = ((f"Latitude_{camera}", f"Longitude_{camera}"), ("Latitude", "Longitude"))
        for latitude, longitude in pairs:
            if f"{folder}/{latitude}" in hdf:
                return with_places(
                    Grid(rows, cols), hdf.array(f"{folder}/{longitude}"), hdf.array(f"{folder}/{latitude}")
                )
        return Grid(rows, cols)
    if any(key not in attributes for key in (*_CORNERS, "Epsg_Code")):
        raise HSFusionError(
            f"PRODUCT: '{hdf.path}' does not say where its corners are: its download may be incomplete."
        )
    left, top, right, bottom = (float(attributes[key]) for key in _CORNERS)
    if abs((right - left) / pixel + 1 - cols) >= 0.5:
        pixel = _PIXEL  # the panchromatic image's corners are those of the cube
    wide, high = right - left + pixel, top - bottom + pixel
    transform = (left - pixel / 2, wide / cols, 0.0, top + pixel / 2, 0.0, -high / rows)
    return Grid(rows, cols, transform, crs_of_epsg(int(attributes["Epsg_Code"])))


def _classes(hdf: Hdf, level: str, image: Joined) -> dict[str, QualityClass]:
    found = {}
    matrices = []
    for kind in ("VNIR", "SWIR"):
        name = _field(level, "HCO", f"{kind}_PIXEL_{'SAT' if level == 'L1' else 'L2'}_ERR_MATRIX")
        array = hdf.get(name)
        if array is not None and len(array.shape) == 3:
            blank = [BandInfo()] * array.shape[1]
            matrices.append(Cube(array, (0, 2, 1), blank, Grid(image.grid.rows, image.grid.cols)))
    if matrices and sum(len(m.bands) for m in matrices) > 0:
        both = Joined(matrices)
        values = _SATURATED.get(level, _SATURATED_L2)
        found["saturated"] = QualityClass(both, values, bands=tuple(range(len(both.bands))))
    for swath in ("HCO", "HRC"):
        cloud = hdf.get(_field(level, swath, "Cloud_Mask"))
        if cloud is not None and cloud.shape == (image.grid.rows, image.grid.cols):
            found["cloud"] = QualityClass(plane(cloud, image.grid), (1,))
            break
    return found


def _notes(image: Any) -> tuple[str, ...]:
    both = sum(band.bad for band in image.bands if band.description.startswith("VNIR"))
    if not both:
        return ()
    return (
        f"{both} VNIR bands are marked bad: the SWIR spectrometer sees the same wavelengths better, or ASI flags them.",
    )
