"""What PRISMA's HDF5 products say of their cubes, all of it in attributes of the file (ASI, PRISMA Products
Specification).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from osgeo import gdal, osr

from ...reading.metadata import BandInfo

_CUBE_PIXEL, _PAN_PIXEL = 30.0, 5.0  # metres


def read_attributes(root: gdal.Group, name: str) -> dict[str, Any]:
    """The attributes that matter for array `name`, {} in other files."""
    attributes = {a.GetName(): a for a in root.GetAttributes()}
    if "List_Cw_Vnir" not in attributes or "PRS_" not in name:
        return {}
    kind = next((kind for kind in ("Vnir", "Swir") if f"{kind.upper()}_CUBE" in name.upper()), "Pan")
    wanted = {
        "wavelength": f"List_Cw_{kind}",
        "fwhm": f"List_Fwhm_{kind}",
        "flags": f"List_Cw_{kind}_Flags",
        "low": f"L2Scale{kind}Min",
        "high": f"L2Scale{kind}Max",
        "epsg": "Epsg_Code",
        "left": "Product_ULcorner_easting",
        "top": "Product_ULcorner_northing",
        "right": "Product_LRcorner_easting",
        "bottom": "Product_LRcorner_northing",
    }
    return {
        "kind": kind,
        **{key: np.ravel(attributes[a].Read()) for key, a in wanted.items() if a in attributes},
    }


def bands(prisma: dict[str, Any]) -> list[BandInfo]:
    """The bands in the order of the cube, which falls in wavelength; those of wavelength 0 were never measured."""
    centres = prisma["wavelength"].astype(float)
    widths = prisma.get("fwhm", np.zeros(0)).astype(float)
    flags = prisma.get("flags", np.zeros(0)).astype(float)
    low, high = (float(prisma[key][0]) if key in prisma else end for key, end in (("low", 0.0), ("high", 65535.0)))
    return [
        BandInfo(
            wavelength_nm=float(nm) if nm > 0 else None,
            fwhm_nm=float(widths[i]) if i < widths.size and widths[i] > 0 else None,
            description=f"{prisma['kind'].upper()} {i + 1}",
            bad=not nm > 0 or (i < flags.size and flags[i] == 0),
            scale=(high - low) / 65535.0,
            offset=low,
        )
        for i, nm in enumerate(centres)
    ]


def place(virtual: gdal.Dataset, prisma: dict[str, Any], name: str) -> None:
    """Put level 2D on its UTM grid: the corners are centres of the array's own pixels, or of the cube's, which its size
    tells.
    """
    if "L2D" not in name or not {"epsg", "left", "top", "right", "bottom"} <= set(prisma):
        return
    left, top, right, bottom = (float(prisma[key][0]) for key in ("left", "top", "right", "bottom"))
    own = _PAN_PIXEL if prisma["kind"] == "Pan" else _CUBE_PIXEL
    pixel = own if abs((right - left) / own + 1 - virtual.RasterXSize) < 0.5 else _CUBE_PIXEL
    wide, high = right - left + pixel, top - bottom + pixel
    virtual.SetGeoTransform(
        (left - pixel / 2, wide / virtual.RasterXSize, 0.0, top + pixel / 2, 0.0, -high / virtual.RasterYSize)
    )
    reference = osr.SpatialReference()
    if reference.ImportFromEPSG(int(prisma["epsg"][0])) == 0:
        virtual.SetProjection(reference.ExportToWkt())
