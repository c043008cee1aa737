"""An HSI of the synthetic scene on a grid that has nothing to do with the MSI's: another CRS, turned, or with pixels of
another shape.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from hsfusion.tests.qgis import pairs

SIGMA_PER_FWHM = 1 / 2.354820045
BEYOND = 5  # fine pixels outside the scene from which the HSI holds nothing


def crs(epsg: int) -> osr.SpatialReference:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def carried(points, source: int, target: int) -> np.ndarray:
    """(N, 2): x and y of points in another CRS."""
    found = osr.CoordinateTransformation(crs(source), crs(target)).TransformPoints(np.asarray(points).tolist())
    return np.array(found)[:, :2]


def covering(epsg: int, step: float) -> tuple[tuple[float, ...], tuple[int, int]]:
    """Geotransform and (rows, cols) of a north-up grid of square pixels around the scene."""
    x0, y0 = pairs.CORNER
    right, bottom = x0 + pairs.FINE[1] * pairs.PIXEL, y0 - pairs.FINE[0] * pairs.PIXEL
    corners = carried([(x, y) for x in (x0, right) for y in (y0, bottom)], 32632, epsg)
    (left, low), (far, top) = corners.min(axis=0), corners.max(axis=0)
    return (left, step, 0.0, top, 0.0, -step), (int((top - low) / step) + 1, int((far - left) / step) + 1)


def observed(truth: np.ndarray, rows: np.ndarray, cols: np.ndarray, fwhm: float) -> np.ndarray:
    """(L, N): truth seen through a Gaussian PSF of `fwhm` fine pixels at any fine positions."""

    def weights(centres, size):
        w = np.exp(-0.5 * ((np.arange(size)[None] - centres[:, None]) / (SIGMA_PER_FWHM * fwhm)) ** 2)
        return w / w.sum(axis=1, keepdims=True)

    across = np.einsum("lhw,nw->nlh", truth, weights(cols, truth.shape[2]), optimize=True)
    return np.einsum("nlh,nh->ln", across, weights(rows, truth.shape[1]), optimize=True)


def write_hsi(path: Path, epsg: int, grid: tuple[float, ...], shape: tuple[int, int], fwhm: float) -> Path:
    """The HSI (20 bands, noise 8) on this grid; fwhm in fine pixels; nodata outside the scene."""
    col, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = grid[0] + col * grid[1] + row * grid[2], grid[3] + col * grid[4] + row * grid[5]
    place = carried(np.column_stack([x.ravel(), y.ravel()]), epsg, 32632)
    fine_col = (place[:, 0] - pairs.CORNER[0]) / pairs.PIXEL - 0.5
    fine_row = (pairs.CORNER[1] - place[:, 1]) / pairs.PIXEL - 0.5
    values = observed(pairs.scene(), fine_row, fine_col, fwhm)
    values = values + np.random.default_rng(7).normal(0, 8, values.shape)
    height, width = pairs.FINE
    far = (fine_row < -BEYOND) | (fine_row > height + BEYOND) | (fine_col < -BEYOND) | (fine_col > width + BEYOND)
    values[:, far] = np.nan
    pairs.write(path, values.reshape(-1, *shape), 1.0, epsg=epsg, wavelengths=pairs.WAVELENGTHS)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.SetGeoTransform(grid)
    return path
