"""A synthetic pair of rasters of any size, written block by block: the ground on which speed and memory are
measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from hsfusion.models.observation import Degradation, Sampling

RATIO = 4
PERIOD = 512  # fine pixels after which the texture repeats; the noise does not
MARGIN = 64  # fine pixels around a period while it is degraded
SPECTRA = 6
BLOCK = 256  # coarse pixels
NOISE_HSI, NOISE_MSI = 20.0, 10.0  # reflectance times 10000
MSI_NM = (490.0, 560.0, 665.0, 842.0)
MSI_WIDTH_NM = (65.0, 35.0, 30.0, 115.0)
METRES = 10.0


def write_pair(folder: Path, rows: int, cols: int, bands: int = 100) -> tuple[Path, Path]:
    """hsi.tif (bands, Int16) and msi.tif (4 bands, UInt16) of rows x cols fine pixels, tiled and compressed; returns
    their paths.
    """
    texture = _period(bands)
    wavelengths = np.linspace(420.0, 2450.0, bands)
    down = Degradation.whole(Sampling(RATIO, 1.1, 1.1), (PERIOD + 2 * MARGIN,) * 2)
    cut = slice(MARGIN // RATIO, (MARGIN + PERIOD) // RATIO)
    spectra, shares = texture
    wrapped = np.pad(shares, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="wrap")
    coarse = np.tensordot(spectra.T, down(wrapped)[:, cut, cut], axes=1)
    response = np.exp(
        -4 * np.log(2) * ((wavelengths - np.array(MSI_NM)[:, None]) / np.array(MSI_WIDTH_NM)[:, None]) ** 2
    )
    fine = np.tensordot((response / response.sum(axis=1, keepdims=True)) @ spectra.T, shares, axes=1)
    hsi, msi = folder / "hsi.tif", folder / "msi.tif"
    _write(hsi, coarse, rows // RATIO, cols // RATIO, METRES * RATIO, "int16", NOISE_HSI, wavelengths)
    _write(msi, fine, rows, cols, METRES, "uint16", NOISE_MSI, np.array(MSI_NM))
    return hsi, msi


def _period(bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth spectra (SPECTRA, bands) and their shares (SPECTRA, PERIOD, PERIOD), periodic."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD)[None]) + 0.01
    waves = np.fft.irfft2(
        np.fft.rfft2(random.normal(size=(SPECTRA, PERIOD, PERIOD))) / frequency**1.6, (PERIOD, PERIOD)
    )
    shares = np.exp(2 * waves / waves.std(axis=(1, 2), keepdims=True))
    shares /= shares.sum(axis=0)
    position = np.linspace(0, 1, bands)
    spectra = np.stack([1500 + 1200 * np.sin((1.5 + k) * 1.7 * position + 1.3 * k) + 300 * k for k in range(SPECTRA)])
    return np.maximum(spectra, 50.0), shares.astype(np.float32)


def _write(
    path: Path,
    period: np.ndarray,
    rows: int,
    cols: int,
    pixel: float,
    dtype: str,
    noise: float,
    wavelengths: np.ndarray,
) -> None:
    random = np.random.default_rng(1)
    size = period.shape[-1]
    profile = {"driver": "GTiff", "height": rows, "width": cols, "count": len(period), "dtype": dtype}
    profile |= {"crs": "EPSG:32632", "transform": from_origin(500000.0, 5600000.0, pixel, pixel)}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2, "zlevel": 1}
    with rasterio.open(path, "w", bigtiff="if_safer", num_threads="all_cpus", **profile) as target:
        for top in range(0, rows, BLOCK):
            for left in range(0, cols, BLOCK):
                height, width = min(BLOCK, rows - top), min(BLOCK, cols - left)
                at = np.ix_((top + np.arange(height)) % size, (left + np.arange(width)) % size)
                values = period[(slice(None), *at)] + noise * random.standard_normal(
                    (len(period), height, width), dtype=np.float32
                )
                target.write(np.rint(values).clip(1, 30000).astype(dtype), window=Window(left, top, width, height))
        for number, centre in enumerate(wavelengths):
            target.update_tags(number + 1, wavelength=f"{centre:.2f}", wavelength_units="Nanometers")
