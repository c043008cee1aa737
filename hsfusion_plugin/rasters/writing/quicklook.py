"""A small picture of a raster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from osgeo import gdal

from ....models.errors import HSFusionError
from ..gdal_calls import collected_errors
from ..reading.raster import Raster
from .colour import view_of
from .staging import staged


def quicklook_png(
    path: str | Path, png: str | Path, largest: int = 1024, limits: tuple[tuple[float, float], ...] | None = None
) -> tuple[tuple[float, float], ...]:
    """Write a PNG (8 bit, transparent where there is no data) as write_style shows the raster, at most `largest` pixels
    wide or high.

    `limits` are (low, high) per shown band; those used are returned, so that two pictures can share them.
    HSFusionError when either file cannot be read or written.
    """
    view = view_of(Raster.open(path), largest)
    limits = limits if limits is not None and len(limits) == len(view.limits) else view.limits
    known = np.isfinite(view.values).all(axis=0)
    layers = []
    for values, (low, high) in zip(view.values, limits):
        grey = np.clip((np.nan_to_num(values) - low) / (high - low), 0.0, 1.0) * 255.0
        layers.append(np.where(known, np.rint(grey), 0.0).astype(np.uint8))
    layers.append(known.astype(np.uint8) * 255)
    height, width = known.shape
    picture = gdal.GetDriverByName("MEM").Create("", width, height, len(layers), gdal.GDT_Byte)
    for i, layer in enumerate(layers):
        picture.GetRasterBand(i + 1).WriteRaster(0, 0, width, height, layer.tobytes())
    picture.GetRasterBand(len(layers)).SetColorInterpretation(gdal.GCI_AlphaBand)
    with staged(png, sum(layer.nbytes for layer in layers), "quick-look") as inside:
        with collected_errors() as failures:
            gdal.GetDriverByName("PNG").CreateCopy(str(inside), picture)
        if failures:
            raise HSFusionError(f"quick-look: '{png}' cannot be written ({failures[0]}); choose another name or disk.")
        inside.with_name(inside.name + ".aux.xml").unlink(missing_ok=True)
    return limits
