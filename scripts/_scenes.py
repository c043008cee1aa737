"""Scenes for training and benchmarks: raster files as cubes, cleaned of bands that carry nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from hsfusion.models.errors import HSFusionError


def read_scene(path: Path) -> np.ndarray:
    """A cube (L, H, W) float32 from any raster that rasterio opens; bands without data or contrast are left out, gaps are filled per band."""
    try:
        with rasterio.open(path) as source:
            cube, nodata = source.read().astype(np.float32), source.nodata
    except rasterio.errors.RasterioIOError as error:
        raise HSFusionError(f"The scene {path} cannot be read: {error}") from error
    if nodata is not None:
        cube[cube == nodata] = np.nan
    bands = [b for b in range(len(cube)) if np.isfinite(cube[b]).mean() > 0.5 and np.nanstd(cube[b]) > 0]
    if not bands:
        raise HSFusionError(f"The scene {path} has no band with data.")
    cube = cube[bands]
    gaps = ~np.isfinite(cube)
    if gaps.any():
        cube = np.where(gaps, np.nanmedian(cube, axis=(1, 2), keepdims=True), cube)
    return cube


def find_scene(folder: Path, name: str) -> Path:
    """The file of a scene named without its suffix; HSFusionError where there is none."""
    for candidate in sorted(folder.glob(f"{name}.*")):
        if candidate.suffix.lower() in {".tif", ".tiff", ".bsq", ".bil", ".bip", ".img", ".dat"}:
            return candidate
    raise HSFusionError(f"There is no scene {name} in {folder}: check --data and the configuration's keys scenes and held_out.")
