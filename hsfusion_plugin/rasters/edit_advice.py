"""How a user says what a raster does not: in the file itself, or in a copy where GDAL's name is that of a part of a
file.
"""

from __future__ import annotations

from pathlib import Path


def edit_advice(path: str, options: str) -> str:
    """The command that gives a raster `options` (`-a_srs EPSG:CODE`); gdal_edit.py changes files, and not what NETCDF:,
    HDF5: or /vsi names.
    """
    if Path(path).is_file() and Path(path).suffix.lower() not in (".nc", ".h5", ".he5", ".hdf"):
        return f"gdal_edit.py {options}"
    return f"gdal_translate {options} '{path}' new.tif"
