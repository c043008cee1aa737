"""Fill that no header names, nodata in single bands, colour tables: nothing of it ruins a scene, and all of it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.fuse.with_closed_form import fuse_classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress

from .pairs import NODATA, RATIO, Pair, make_pair, read

MARGIN = 3  # HSI pixels around a hole that its interpolation reaches


class Heard(Progress):
    """Keeps the warnings of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def pair(tmp_path, qgis_app) -> Pair:
    return make_pair(tmp_path)


def fused(pair: Pair, folder: Path, method: str = "glp-hs", **others) -> tuple[np.ndarray, Heard]:
    """The result of a run, and what it said."""
    heard = Heard()
    out = folder / "fused.tif"
    request = FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(out), method=method, **others)
    fuse_classical(request, method, heard)
    return read(out), heard


def rmse(found: np.ndarray, truth: np.ndarray) -> float:
    known = np.isfinite(found)
    return float(np.sqrt(((found - truth)[known] ** 2).mean()))


def change(path: Path, edit, nodata: float | None = None) -> None:
    """Let `edit` change the values (bands, rows, cols) of a raster in place; it names `nodata`, or none."""
    dataset = gdal.Open(str(path), gdal.GA_Update)
    values = dataset.ReadAsArray()
    edit(values)
    for number, layer in enumerate(values):
        band = dataset.GetRasterBand(number + 1)
        band.DeleteNoDataValue()
        if nodata is not None:
            band.SetNoDataValue(nodata)
        band.WriteArray(layer)
    dataset.FlushCache()


@pytest.mark.parametrize("value", [NODATA, 0.0, 65535.0, -3.4028234663852886e38])
def test_fill_of_the_hsi_costs_its_own_pixels_alone(pair, tmp_path, value):
    clean, heard = fused(pair, tmp_path)
    assert not heard.warnings

    def corner(values):
        values[:, :3, :4] = value

    change(pair.hsi, corner)
    result, heard = fused(pair, tmp_path)
    assert any(f"HSI: the value {value:.9g} lies in" in text and "treated as nodata" in text for text in heard.warnings)
    assert not any("contradicts" in text for text in heard.warnings)
    there = slice(0, 3 * RATIO - 2), slice(0, 4 * RATIO - 2)
    assert np.isnan(result[(slice(None), *there)]).all()
    away = np.s_[:, (3 + MARGIN) * RATIO :, (4 + MARGIN) * RATIO :]
    assert rmse(result[away], pair.truth[away]) < 1.02 * rmse(clean[away], pair.truth[away])


@pytest.mark.parametrize("value", [NODATA, 0.0, 65535.0])
def test_fill_of_the_msi_is_nodata(pair, tmp_path, value):
    rows, cols = np.indices(read(pair.msi).shape[1:])
    area = rows + 2 * cols < 50

    def slanted(values):
        values[:, area] = value

    change(pair.msi, slanted)
    result, heard = fused(pair, tmp_path)
    assert any(text.startswith(f"MSI: the value {value:.9g} lies") for text in heard.warnings)
    assert np.array_equal(np.isnan(result[0]), area)


def test_fill_is_not_mixed_into_data_by_a_warp(pair, tmp_path):
    """An HSI in another CRS is resampled."""

    def corner(values):
        values[:, :3, :4] = NODATA

    change(pair.hsi, corner)
    warped = tmp_path / "warped.tif"
    gdal.Warp(str(warped), str(pair.hsi), dstSRS="EPSG:25833", resampleAlg="near", dstNodata=None)
    result, heard = fused(Pair(warped, pair.msi, pair.truth), tmp_path)
    assert any("treated as nodata" in text for text in heard.warnings)
    assert np.nanmin(result) > -500


def test_nodata_in_single_bands_costs_none_of_the_others(pair, tmp_path):
    clean, _ = fused(pair, tmp_path)
    holes = np.random.default_rng(1).random((3, *read(pair.hsi).shape[1:])) < 0.3

    def some(values):
        values[5:8][holes] = 0

    change(pair.hsi, some, nodata=0)
    quality = tmp_path / "quality.tif"
    result, heard = fused(pair, tmp_path, quality=str(quality))
    assert any("bands 6, 7, 8 hold nodata in up to 3" in text for text in heard.warnings)
    assert np.isfinite(result).all()
    assert rmse(result, pair.truth) < 1.05 * rmse(clean, pair.truth)
    flags = gdal.Open(str(quality))
    assert flags.GetMetadataItem("FLAG_2") == "HSI filled"
    inside = np.kron(holes.any(axis=0), np.ones((RATIO, RATIO))) > 0
    assert ((flags.ReadAsArray() & 2) > 0)[inside].mean() > 0.95


def test_an_msi_band_that_lacks_pixels_is_left_out_and_single_pixels_are_interpolated(pair, tmp_path):
    def half(values):
        values[3, :, :40] = NODATA
        values[0, 50:54, 60:64] = NODATA

    change(pair.msi, half, nodata=NODATA)
    quality = tmp_path / "quality.tif"
    result, heard = fused(pair, tmp_path, quality=str(quality))
    assert any("MSI: band(s) 4 hold nodata" in text for text in heard.warnings)
    assert np.isfinite(result).all()
    flagged = (gdal.Open(str(quality)).ReadAsArray() & 4) > 0
    assert flagged[50:54, 60:64].all() and flagged.sum() == 16
