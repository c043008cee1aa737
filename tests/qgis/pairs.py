"""A small synthetic pair of rasters with a known answer, for tests that run a whole fusion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.observation.axis import cubic_weights

RATIO = 4
COARSE = 28, 32  # rows, columns: enough for the check at reduced resolution
FINE = COARSE[0] * RATIO, COARSE[1] * RATIO
PIXEL = 10.0  # of the MSI, in metres
CORNER = 500000.0, 5600000.0
BANDS = 20
WAVELENGTHS = np.linspace(450.0, 900.0, BANDS)
MSI_WAVELENGTHS = np.array([490.0, 560.0, 665.0, 842.0])
MSI_FWHM = np.array([65.0, 35.0, 30.0, 115.0])
NODATA = -9999.0


@dataclass(frozen=True)
class Pair:
    """Paths of both rasters, and the truth (L, H, W) that they were made from."""

    hsi: Path
    msi: Path
    truth: np.ndarray


def make_pair(folder: Path, order: np.ndarray | None = None, displacement: np.ndarray | None = None, **hsi) -> Pair:
    """Write hsi.tif and msi.tif; `order` puts the HSI's bands into another order, `hsi` goes to `write`.

    displacement (2, H, W): MSI pixels south and east of where its grid says that the HSI sees the ground.
    """
    truth = scene()
    down = Degradation.whole(Sampling(RATIO, 1.1, 1.1), FINE)
    random = np.random.default_rng(7)
    seen = truth if displacement is None else warped(truth, displacement)
    coarse = down(seen) + random.normal(0, 8, (len(truth), *COARSE))
    response = np.exp(-4 * np.log(2) * ((WAVELENGTHS - MSI_WAVELENGTHS[:, None]) / MSI_FWHM[:, None]) ** 2)
    response /= response.sum(axis=1, keepdims=True)
    fine = np.tensordot(response, truth, axes=1) + random.normal(0, 8, (len(MSI_WAVELENGTHS), *FINE))
    order = np.arange(len(truth)) if order is None else order
    return Pair(
        write(folder / "hsi.tif", coarse[order], RATIO * PIXEL, **{"wavelengths": WAVELENGTHS[order], **hsi}),
        write(folder / "msi.tif", fine, PIXEL, wavelengths=MSI_WAVELENGTHS),
        truth[order],
    )


def warped(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """image (L, H, W), which goes on periodically as `scene` does, at its own places plus displacement (2, H, W); cubic
    convolution.
    """
    rows, cols = image.shape[1:]
    places = np.mgrid[:rows, :cols] + displacement
    (top, by_row), (left, by_col) = (cubic_weights(place) for place in places)
    found = np.zeros_like(image)
    for i in range(4):
        for j in range(4):
            found += (by_row[i] * by_col[j]).astype(image.dtype) * image[:, (top + i) % rows, (left + j) % cols]
    return found


def scene() -> np.ndarray:
    """Four smooth spectra mixed by textures with edges: (L, H, W) in reflectance times 10000."""
    random = np.random.default_rng(3)
    frequency = np.hypot(np.fft.fftfreq(FINE[0])[:, None], np.fft.rfftfreq(FINE[1])[None]) + 0.02
    waves = np.fft.rfft2(random.normal(size=(4, *FINE))) / frequency**1.7
    textures = np.fft.irfft2(waves, FINE)
    textures /= textures.std(axis=(1, 2), keepdims=True)
    shares = np.exp(2 * textures)
    shares /= shares.sum(axis=0)
    x = (WAVELENGTHS - 675) / 225
    spectra = np.stack([900 + 300 * x, 600 + 2800 / (1 + np.exp(-14 * (x - 0.2))), 2200 + 900 * x, 1500 - 700 * x**2])
    return np.tensordot(spectra.T, shares, axes=1).astype(np.float32)


def write(
    path: Path,
    values: np.ndarray,
    pixel: float,
    corner: tuple[float, float] = CORNER,
    epsg: int = 32632,
    wavelengths: np.ndarray | None = None,
    rotation: float = 0.0,
) -> Path:
    """A GeoTIFF of values (bands, rows, cols), NaN as NODATA."""
    count, rows, cols = values.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), cols, rows, count, gdal.GDT_Float32)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.SetGeoTransform((corner[0], pixel, rotation, corner[1], rotation, -pixel))
    for number, layer in enumerate(values):
        band = dataset.GetRasterBand(number + 1)
        band.SetNoDataValue(NODATA)
        band.WriteArray(np.where(np.isfinite(layer), layer, NODATA))
        if wavelengths is not None:
            band.SetMetadataItem("wavelength", f"{wavelengths[number]:.3f}")
            band.SetMetadataItem("wavelength_units", "Nanometers")
    return path


def read(path: Path | str) -> np.ndarray:
    """All bands (bands, rows, cols) float32 in physical units, NaN where nodata."""
    dataset = gdal.Open(str(path))
    layers = []
    for number in range(dataset.RasterCount):
        band = dataset.GetRasterBand(number + 1)
        layer, nodata = band.ReadAsArray().astype(np.float32), band.GetNoDataValue()
        missing = np.isnan(layer) if nodata is None else (layer == np.float32(nodata)) | np.isnan(layer)
        layers.append(np.where(missing, np.nan, layer * (band.GetScale() or 1) + (band.GetOffset() or 0)))
    return np.stack(layers)
