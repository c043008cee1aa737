"""Fill that no header names, nodata in single bands, colour tables: nothing of it ruins a scene, and all of it
is said.
"""

from __future__ import annotations

import json
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


def defective(values):
    """A dead column in a fifth of the bands, spikes, and a line that is dead in one band."""
    random = np.random.default_rng(5)
    values[...] = np.where(random.random(values.shape) < 1 / 2000, random.uniform(9e3, 2e4, values.shape), values)
    values[::5, :, 13] = 0
    values[7, 9] = 0


@pytest.fixture
def repaired(pair, tmp_path):
    change(pair.hsi, defective)
    quality, report = tmp_path / "quality.tif", tmp_path / "report.html"
    result, heard = fused(pair, tmp_path, quality=str(quality), report=str(report))
    return pair, result, heard, quality, report


def test_defects_of_the_detector_cost_nothing_and_are_told(tmp_path, qgis_app, repaired):
    pair, result, heard, quality, report = repaired
    said = " ".join(heard.warnings)
    assert "1 column of the overlap (14) show nothing of the scene in 4 of 20 bands" in said
    assert "1 line of the overlap (10)" in said and "of the values are spikes" in said
    page = report.read_text(encoding="utf-8")
    assert "that are predicted" in page and "(14) show nothing" in page
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    assert record["defects"]["columns"] == {"14": [1, 6, 11, 16]}
    assert ((gdal.Open(str(quality)).ReadAsArray() & 2) > 0)[:, 13 * RATIO : 14 * RATIO].mean() > 0.95
    clean_folder = tmp_path / "clean"
    clean_folder.mkdir()
    clean = make_pair(clean_folder)
    undamaged, _ = fused(clean, clean_folder)
    assert rmse(result, pair.truth) < 1.05 * rmse(undamaged, pair.truth)
    kept, heard = fused(pair, tmp_path, defects="none")
    assert not heard.warnings or all("predicted" not in text for text in heard.warnings)
    assert rmse(kept, pair.truth) > 2 * rmse(result, pair.truth)


def test_an_extent_of_a_defective_scene_is_a_crop_of_the_whole(tmp_path, repaired):
    pair, whole, _, _, _ = repaired
    left, top = 500000.0 + 200, 5600000.0 - 240
    part, _ = fused(pair, tmp_path, extent=(left, top - 400, left + 480, top))
    assert np.allclose(part, whole[:, 24:64, 20:68], rtol=1e-5, atol=0.01)
