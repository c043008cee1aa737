"""Reference images of full-band configurations: rasters, folders of single-band images, .mat and HDF5 files, on the
model's bands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation.response import gaussian_response
from hsfusion.models.training.full_band.config import PANCOLLECTION, FullBandConfig, Source
from hsfusion.models.training.full_band.data import Observed, Reference, observe, response_of
from hsfusion.scripts.data.pancollection import read_pancollection
from hsfusion.scripts.data.scenes import SUFFIXES, filled, nominal_wavelengths, read_raster

IMAGES = {".png", ".bmp", ".jpg", ".tif", ".tiff"}
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ARRAYS = {".mat", ".h5", ".hdf5"}


def observed_scenes(config: FullBandConfig, folder: Path, which: str) -> list[Observed]:
    """The pairs of `train` or `test`, simulated or by Wald's protocol."""
    return observed_at(config, folder, which, 0.0)


def observed_at(config: FullBandConfig, folder: Path, which: str, snr_db: float) -> list[Observed]:
    """The same with noise of `snr_db` in both images; 0: none."""
    pairs = [_pairs_of(source, config, folder, snr_db) for source in getattr(config, which)]
    return [pair for found in pairs for pair in found]


def _pairs_of(source: Source, config: FullBandConfig, folder: Path, snr_db: float) -> list[Observed]:
    if source.layout == PANCOLLECTION:
        return read_pancollection(find_source(folder, source.file, config.obtain), config, source.full_resolution)
    reference = read_reference(source, config, folder)
    return [observe(reference, config, None if reference.msi is not None else response_of(config), snr_db)]


def simulated_response(config: FullBandConfig) -> np.ndarray | None:
    """R (l, L) where the MSI of the training scenes is simulated, else None."""
    return None if any(source.real_msi for source in config.train) else response_of(config)


def read_reference(source: Source, config: FullBandConfig, folder: Path) -> Reference:
    """A reference on the configuration's bands; HSFusionError says what is wrong with the file and where to get the
    right one.
    """
    path = find_source(folder, source.file, config.obtain)
    cube, wavelengths = _read(path, source.variable, config.obtain)
    cube = _on_bands(cube, wavelengths, config, path)
    cube = _part(cube, source, path)
    msi = None
    if source.msi:
        msi_path = find_source(folder, source.msi, config.obtain)
        msi, _ = _read(msi_path, source.msi_variable, config.obtain)
        count = len(config.msi.nanometres("msi")[0])
        if len(msi) != count:
            raise _wrong(msi_path, f"has {len(msi)} bands instead of {count}", config.obtain)
        msi = filled(msi)
        if source.rows or source.cols:
            finer = round(config.observation.ratio) if msi.shape[1] > cube.shape[1] * 1.5 else 1
            msi = _cut(msi, source, finer)
    name = source.file + (f" {source.rows or ''}{source.cols or ''}" if source.rows or source.cols else "")
    return Reference(name, cube, msi, source.full_resolution)


def find_source(folder: Path, name: str, obtain: str) -> Path:
    """A file or folder by its path in the data folder, or by that without its suffix."""
    path = folder / name
    if path.exists():
        return path
    for candidate in sorted(path.parent.glob(f"{path.name}.*")) if path.parent.is_dir() else []:
        if candidate.suffix.lower() in SUFFIXES | ARRAYS:
            return candidate
    raise HSFusionError(f"There is no {name} in {folder}.{_from(obtain)}")


def _read(path: Path, variable: str, obtain: str) -> tuple[np.ndarray, np.ndarray]:
    """Cube (L, H, W), NaN where there is no data, and wavelengths in nm, NaN where unknown."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES and "rgb" not in p.stem.lower())
        cube = np.concatenate([read_raster(p)[0][:1] for p in files]) if files else np.zeros((0, 0, 0), np.float32)
    elif path.suffix.lower() in ARRAYS:
        cube = _read_array(path, variable, obtain)
    else:
        return read_raster(path)
    return cube, np.full(len(cube), np.nan)


def _read_array(path: Path, variable: str, obtain: str) -> np.ndarray:
    """(L, H, W) of a MATLAB array (rows, cols, bands) or (rows, cols)."""
    import scipy.io

    if _is_hdf5(path):
        return _read_hdf5(path, variable, obtain)
    try:
        arrays = scipy.io.loadmat(str(path), variable_names=[variable] if variable else None)
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise _wrong(path, f"cannot be read ({error})", obtain) from error
    images = {k: v for k, v in arrays.items() if not k.startswith("__") and getattr(v, "ndim", 0) >= 2 and v.size > 1}
    if not variable and len(images) != 1:
        raise HSFusionError(
            f"The file {path} holds {', '.join(images) or 'no image'}: name one with the scene's key variable."
        )
    if variable and variable not in images:
        held = ", ".join(name for name, *_ in scipy.io.whosmat(str(path)))
        raise _wrong(path, f"holds {held or 'nothing'}, not {variable}", obtain)
    image: Any = images[variable] if variable else next(iter(images.values()))
    if image.ndim > 3:
        raise _wrong(path, f"has an array of {image.ndim} dimensions instead of 3 (rows, cols, bands)", obtain)
    return np.moveaxis(np.atleast_3d(image), -1, 0).astype(np.float32)


def _is_hdf5(path: Path) -> bool:
    """Whether the file is HDF5, which MATLAB 7.3 writes behind a header of 512 bytes."""
    with path.open("rb") as file:
        start = file.read(520)
    return HDF5_SIGNATURE in (start[:8], start[512:])


def _read_hdf5(path: Path, variable: str, obtain: str) -> np.ndarray:
    """MATLAB 7.3 and other HDF5 files, whose axes MATLAB stores reversed, (bands, cols, rows)."""
    if not variable:
        raise HSFusionError(f"The file {path} is HDF5: name its array with the scene's key variable.")
    try:
        cube, _ = read_raster(f'HDF5:"{path}"://{variable}')
    except HSFusionError as error:
        raise _wrong(path, f"has no array {variable} that can be read", obtain) from error
    return cube.transpose(0, 2, 1) if path.suffix.lower() == ".mat" else cube


def _on_bands(cube: np.ndarray, wavelengths: np.ndarray, config: FullBandConfig, path: Path) -> np.ndarray:
    centres, widths = config.bands.nanometres("bands")
    if not config.bands.resample:
        if len(cube) != len(centres):
            raise _wrong(path, f"has {len(cube)} bands instead of {len(centres)}", config.obtain)
        return filled(cube)
    if not np.isfinite(wavelengths).all():
        wavelengths = nominal_wavelengths(len(cube))
    good = [b for b in range(len(cube)) if np.isfinite(cube[b]).mean() > 0.5 and np.nanstd(cube[b]) > 0]
    response = gaussian_response(centres, widths, wavelengths[good]).astype(np.float32)
    return np.tensordot(response, filled(cube[good]), axes=1)


def _part(cube: np.ndarray, source: Source, path: Path) -> np.ndarray:
    for axis, (key, part) in enumerate((("rows", source.rows), ("cols", source.cols)), start=1):
        if part and part[1] > cube.shape[axis]:
            raise HSFusionError(
                f"The scene {path} has {cube.shape[axis]} {key}, but {key} {part[0]} to {part[1]} are asked for."
            )
    return _cut(cube, source, 1)


def _cut(image: np.ndarray, source: Source, finer: int) -> np.ndarray:
    rows, cols = (
        slice(part[0] * finer, part[1] * finer) if part else slice(None) for part in (source.rows, source.cols)
    )
    return image[:, rows, cols]


def _wrong(path: Path, what: str, obtain: str) -> HSFusionError:
    return HSFusionError(f"The file {path} {what}.{_from(obtain)}")


def _from(obtain: str) -> str:
    return f" {obtain}" if obtain else " Check the folder and the names of the scenes."
