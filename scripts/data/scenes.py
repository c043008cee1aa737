"""Scenes for training and benchmarks: raster files as cubes, cleaned of bands that carry nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio

from hsfusion.models.errors import HSFusionError
from hsfusion.models.trials import Scene

SUFFIXES = {".tif", ".tiff", ".bsq", ".bil", ".bip", ".img", ".dat"}
FEWEST_BANDS = 20  # of a scene that counts as hyperspectral
FEWEST_FULL_RANGE = 170  # bands from which a scene without wavelengths is taken to cover 400-2500 nm, else 400-900 nm


def read_raster(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Cube (L, H, W) float32 with NaN where there is no data, and wavelengths in nm (L,), NaN where the file
    says none.
    """
    try:
        with rasterio.open(path) as source:
            cube, nodata = source.read().astype(np.float32), source.nodata
            wavelengths = np.array([_nanometres(source.tags(b + 1)) for b in range(source.count)])
    except rasterio.errors.RasterioIOError as error:
        raise HSFusionError(f"The scene {path} cannot be read: {error}") from error
    if nodata is not None:
        cube[cube == nodata] = np.nan
    return cube, wavelengths


def write_cube(path: Path, cube: np.ndarray) -> None:
    """A cube (L, H, W) as a GeoTIFF of float32 without a place on the ground."""
    profile = {"driver": "GTiff", "count": len(cube), "dtype": "float32", "compress": "deflate"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", height=cube.shape[1], width=cube.shape[2], **profile) as file:
            file.write(cube.astype(np.float32))


def read_scene(path: Path) -> Scene:
    """A scene from any raster that rasterio opens; bands without data or contrast are left out, gaps are filled with
    the band's median.
    """
    cube, wavelengths = read_raster(path)
    if not np.isfinite(wavelengths).all():
        wavelengths = nominal_wavelengths(len(cube))
    bands = [b for b in range(len(cube)) if np.isfinite(cube[b]).mean() > 0.5 and np.nanstd(cube[b]) > 0]
    if not bands:
        raise HSFusionError(f"The scene {path} has no band with data.")
    return Scene(filled(cube[bands]), wavelengths[bands])


def nominal_wavelengths(bands: int) -> np.ndarray:
    """Where a file says nothing: evenly over the range that its number of bands suggests, nm."""
    return np.linspace(400.0, 2500.0 if bands >= FEWEST_FULL_RANGE else 900.0, bands)


def filled(cube: np.ndarray) -> np.ndarray:
    """Gaps (NaN) get their band's median, 0 in a band that is all gap."""
    gaps = ~np.isfinite(cube)
    if gaps.any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a band that is all gap
            cube = np.where(gaps, np.nan_to_num(np.nanmedian(cube, axis=(1, 2), keepdims=True)), cube)
    return cube


def _nanometres(tags: dict[str, str]) -> float:
    try:
        value = float(tags["wavelength"])
    except (KeyError, ValueError):
        return float("nan")
    return value * 1000.0 if value < 100.0 else value


def find_scene(folder: Path, name: str) -> Path:
    """The file of a scene named without its suffix; HSFusionError where there is none."""
    for candidate in sorted(folder.glob(f"{name}.*")):
        if candidate.suffix.lower() in SUFFIXES:
            return candidate
    raise HSFusionError(f"There is no scene {name} in {folder}: check the folder and the names of the scenes.")


def hyperspectral_scenes(folder: Path, wanted: str) -> dict[str, Scene]:
    """Those of a comma-separated list, or of every raster in the folder, that have enough bands, by name."""
    if not folder.is_dir():
        raise HSFusionError(f"There is no folder {folder}: name the folder of the scenes.")
    names = wanted.split(",") if wanted else sorted(p.stem for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    scenes = {name: read_scene(find_scene(folder, name)) for name in names}
    return {name: scene for name, scene in scenes.items() if len(scene.cube) >= FEWEST_BANDS}
