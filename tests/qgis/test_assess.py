"""hsfusion:assess: consistency and distortions of a fused raster, and a sentence for one that is not of this pair."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.assess import job as assessment
from hsfusion.hsfusion_plugin.jobs.assess.job import AssessmentRequest
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.tests.qgis import pairs

NUMBERS = ("HSI_CONSISTENCY", "MSI_CONSISTENCY", "D_LAMBDA", "D_S", "HQNR")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def fused(pair, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("fused") / "fused.tif"
    classical.run(FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(path), method="map"), Progress())
    return str(path)


def assess(pair: pairs.Pair, path, **more) -> dict:
    return assessment.run(AssessmentRequest(fused=str(path), hsi=str(pair.hsi), msi=str(pair.msi), **more), Progress())


def write(path, cube, **more) -> str:
    return str(pairs.write(path, cube, pairs.PIXEL, wavelengths=pairs.WAVELENGTHS, **more))


def test_through_qgis_process(qgis_process, pair, fused, tmp_path):
    report, table = tmp_path / "report.html", tmp_path / "table.csv"
    inconsistency = tmp_path / "map.tif"
    result = qgis_process(
        "hsfusion:assess",
        FUSED=fused,
        HSI=pair.hsi,
        MSI=pair.msi,
        REPORT=report,
        TABLE=table,
        INCONSISTENCY=inconsistency,
    )
    found = result.outputs
    assert found["HSI_CONSISTENCY"] > 40 and found["MSI_CONSISTENCY"] > 40
    assert 0 <= found["D_LAMBDA"] < 0.05 and 0 <= found["D_S"] < 0.1
    assert found["HQNR"] == pytest.approx((1 - found["D_LAMBDA"]) * (1 - found["D_S"]))
    with open(table, encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["band"] for row in rows] == ["all", *(str(b + 1) for b in range(pairs.BANDS))]
    assert float(rows[0]["d_lambda"]) == pytest.approx(found["D_LAMBDA"])
    assert float(rows[1]["wavelength_nm"]) == 450
    assert found["INCONSISTENCY"] == str(inconsistency) and inconsistency.with_suffix(".qml").is_file()
    page = report.read_text(encoding="utf-8")
    for words in (
        "Inconsistency with the HSI",
        "Inconsistency with the MSI",
        "MSI units",
        "D_lambda (Khan)",
        "hsfusion:assess",
        "the least consistent",
    ):
        assert words in page


def test_the_map_shows_where_and_how_far(pair, tmp_path):
    """Two spots: one that both sensors see, in known size, and one that only the HSI's bands beyond the MSI's
    can tell.
    """
    cube = pair.truth.copy()
    cube[:, 40:48, 20:28] += 400.0  # whole HSI pixels: rows 10 and 11, columns 5 and 6
    path, there = tmp_path / "map.tif", {"psf_fwhm": 1.1, "shift_x": 0.0, "shift_y": 0.0}
    assess(pair, write(tmp_path / "spot.tif", cube), inconsistency=str(path), **there)
    of_hsi, of_msi = pairs.read(path)
    assert of_hsi.shape == pairs.FINE
    down = Degradation.whole(Sampling(pairs.RATIO, 1.1, 1.1), pairs.FINE)
    wanted = np.sqrt(((down(cube) - pairs.read(pair.hsi)) ** 2).mean(axis=0))
    np.testing.assert_allclose(of_hsi[2::4, 2::4], wanted, rtol=1e-3, atol=0.05)
    np.testing.assert_array_equal(of_hsi[40:44, 20:24], of_hsi[40, 20])
    assert 300 < of_msi[40:48, 20:28].mean() < 500, "the response sums to about 1"
    elsewhere = np.ones(pairs.FINE, bool)
    elsewhere[40:48, 20:28] = False
    assert of_msi[elsewhere].mean() < 25
    assert gdal.Open(str(path)).GetRasterBand(2).GetDescription() == "RMS over bands of R X + o - Z (MSI units)"


def test_the_truth_is_as_consistent_as_noise_allows(pair, tmp_path):
    found = assess(pair, write(tmp_path / "truth.tif", pair.truth), psf_fwhm=1.1, shift_x=0.0, shift_y=0.0)
    peak = float(pairs.read(pair.hsi).max())
    assert found["HSI_CONSISTENCY"] == pytest.approx(20 * np.log10(peak / 8), abs=0.2), "noise of 8 in the HSI"
    assert found["D_LAMBDA"] < 0.02 and found["D_S"] < 0.05


def test_worse_images_score_worse(pair, fused, tmp_path):
    good = assess(pair, fused)
    cube = pairs.read(fused)
    nearest = np.repeat(np.repeat(pairs.read(pair.hsi), pairs.RATIO, axis=1), pairs.RATIO, axis=2)
    for name, worse in (("moved", np.roll(cube, 3, axis=2)), ("nearest", nearest), ("bright", 1.1 * cube)):
        found = assess(pair, write(tmp_path / f"{name}.tif", worse))
        assert found["HQNR"] < good["HQNR"], name
        assert found["MSI_CONSISTENCY"] < good["MSI_CONSISTENCY"] - 3, name


def test_a_part_is_assessed_by_the_pixels_it_covers(pair, fused, tmp_path):
    x, y = pairs.CORNER
    cube = pairs.read(fused)[:, 20:92, 30:110]
    part = write(tmp_path / "part.tif", cube, corner=(x + 300, y - 200))
    table = tmp_path / "table.json"
    found = assess(pair, part, table=str(table))
    whole = assess(pair, fused)
    assert found["HSI_CONSISTENCY"] == pytest.approx(whole["HSI_CONSISTENCY"], abs=3)
    record = json.loads(table.read_text(encoding="utf-8"))
    assert record["pixels_compared"] < 18 * 20
    assert record["scores"]["D_S"] == found["D_S"] and "PSNR" in record["conventions"]["HSI_CONSISTENCY"]


def test_nodata_takes_no_part(pair, fused, tmp_path):
    cube = pairs.read(fused).copy()
    cube[:, 40:60, 40:60] = np.nan
    found = assess(pair, write(tmp_path / "holes.tif", cube))
    whole = assess(pair, fused)
    assert found["HSI_CONSISTENCY"] == pytest.approx(whole["HSI_CONSISTENCY"], abs=1)
    assert found["MSI_CONSISTENCY"] == pytest.approx(whole["MSI_CONSISTENCY"], abs=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cube": np.s_[:10]}, "FUSED has 10 bands and the HSI 20"),
        ({"corner": (500004.0, 5600000.0)}, "not on the MSI's grid"),
        ({"corner": (500400.0, 5600000.0)}, "reaches beyond"),
        ({"cube": None}, "no data"),
    ],
)
def test_rasters_of_another_pair_get_one_sentence(pair, tmp_path, change, sentence):
    change = dict(change)
    part = change.pop("cube", np.s_[:])
    cube = np.full_like(pair.truth, np.nan) if part is None else pair.truth[part]
    path = pairs.write(tmp_path / "other.tif", cube, pairs.PIXEL, **change)
    report = tmp_path / "report.html"
    with pytest.raises(HSFusionError, match=sentence) as caught:
        assess(pair, path, report=str(report))
    assert "\n" not in str(caught.value) and not report.exists()


def test_bad_parameters_exit_1(qgis_process, pair, fused, tmp_path):
    result = qgis_process(
        "hsfusion:assess", check=False, FUSED=fused, HSI=pair.hsi, MSI=pair.msi, TABLE=tmp_path / "t.xlsx"
    )
    assert result.code == 1 and "neither .csv nor .json" in result.error
