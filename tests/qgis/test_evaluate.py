"""hsfusion:evaluate: numbers, maps, table and report of two rasters, and a sentence for every bad pair."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.errors import Cancelled
from hsfusion.hsfusion_plugin.jobs.evaluate import shared_pair
from hsfusion.hsfusion_plugin.jobs.evaluate.job import EvaluationRequest, evaluate_rasters
from hsfusion.hsfusion_plugin.jobs.run import memory
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.grids.grid import Grid
from hsfusion.hsfusion_plugin.rasters.reading.metadata import BandInfo
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter, Stored
from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics import NUMBERS, evaluate

UTM33 = "EPSG:32633"
GRID = (400000.0, 5.0, 0.0, 5800000.0, 0.0, -5.0)
WAVELENGTHS = (450.0, 560.0, 665.0, 865.0, 1610.0)


def wkt(code: str = UTM33) -> str:
    from osgeo import osr

    reference = osr.SpatialReference()
    reference.SetFromUserInput(code)
    return reference.ExportToWkt()


def cubes(rows: int = 44, cols: int = 52) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    y, x = np.mgrid[:rows, :cols]
    waves = [np.sin(x / (4 + band)) + np.cos(y / (6 + band)) for band in range(len(WAVELENGTHS))]
    reference = (2000 + 400 * np.stack(waves) + random.normal(0, 30, (len(waves), rows, cols))).astype(np.float32)
    return reference, (reference + random.normal(0, 40, reference.shape)).astype(np.float32)


def write(path: Path, cube: np.ndarray, bad=(), grid=GRID, code=UTM33, wavelengths=WAVELENGTHS, **options) -> str:
    infos = [BandInfo(wavelength_nm=w, bad=i in bad) for i, w in enumerate(wavelengths[: len(cube)])]
    place = Grid(*cube.shape[1:], grid, wkt(code) if code else "")
    with RasterWriter(path, place, infos, Stored(**options)) as writer:
        writer.write(0, 0, cube)
    return str(path)


@pytest.fixture
def pair(tmp_path):
    reference, fused = cubes()
    return write(tmp_path / "reference.tif", reference), write(tmp_path / "fused.tif", fused)


def test_through_qgis_process_all_outputs_arrive(qgis_process, pair, tmp_path):
    outputs = {
        "SAM_MAP": tmp_path / "sam.tif",
        "ERROR_MAP": tmp_path / "error.tif",
        "REPORT": tmp_path / "report.html",
        "TABLE": tmp_path / "table.csv",
    }
    result = qgis_process("hsfusion:evaluate", REFERENCE=pair[0], FUSED=pair[1], RATIO=4, **outputs)
    wanted = evaluate(*cubes(), 4)
    for name in NUMBERS:
        assert result.outputs[name] == pytest.approx(getattr(wanted, name), rel=1e-9), name
    for name, path in outputs.items():
        assert result.outputs[name] == str(path) and path.stat().st_size > 0
    sam, error = Raster.open(outputs["SAM_MAP"]), Raster.open(outputs["ERROR_MAP"])
    assert sam.geotransform == GRID and sam.crs_wkt
    np.testing.assert_allclose(sam.read(range(44), range(52))[0], wanted.sam_map, rtol=1e-6)
    np.testing.assert_allclose(error.read(range(44), range(52))[0], wanted.error_map, rtol=1e-6)
    assert (tmp_path / "sam.qml").exists() and (tmp_path / "error.qml").exists()
    assert not list(tmp_path.glob(".hsfusion-*"))


def test_through_qgis_process_only_the_numbers(qgis_process, pair, tmp_path):
    before = set(tmp_path.iterdir())
    result = qgis_process("hsfusion:evaluate", REFERENCE=pair[0], FUSED=pair[0])
    assert result.outputs["SAM"] == 0 and result.outputs["SSIM"] == pytest.approx(1)
    assert {path for path in set(tmp_path.iterdir()) - before if not path.name.endswith(".aux.xml")} == set()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cube": np.s_[:4]}, "FUSED has 4 bands and REFERENCE 5"),
        ({"grid": (400002.0, 5.0, 0.0, 5800000.0, 0.0, -5.0)}, "0.4 of a pixel apart"),
        ({"grid": (405000.0, 5.0, 0.0, 5800000.0, 0.0, -5.0)}, "shares none of them"),
        ({"grid": (400000.0, 6.0, 0.0, 5800000.0, 0.0, -6.0)}, "warp one of them"),
        ({"code": "EPSG:32632"}, "different CRSs"),
        ({"bad": (0, 1, 2, 3, 4)}, "Every band is marked bad"),
        ({"cube": None}, "no valid pixel in common"),
    ],
)
def test_bad_pairs_get_one_sentence(pair, tmp_path, change, sentence):
    change = dict(change)
    cube = cubes()[1]
    part = change.pop("cube", np.s_[:])
    cube = np.full_like(cube, np.nan) if part is None else cube[part]
    other = write(tmp_path / "other.tif", cube, **change)
    report = tmp_path / "report.html"
    with pytest.raises(HSFusionError, match=sentence) as caught:
        evaluate_rasters(EvaluationRequest(pair[0], other, report=str(report)))
    assert "\n" not in str(caught.value)
    assert not report.exists()


@pytest.mark.parametrize(
    ("part", "grid"),
    [
        (np.s_[:, :20], (399990.0, 5.0, 0.0, 5800000.0, 0.0, -5.0)),  # sticking out of the reference
        (np.s_[:], (400050.0, 5.0, 0.0, 5799980.0, 0.0, -5.0)),
    ],
)
def test_the_common_area_is_compared(pair, tmp_path, part, grid):
    """Whatever both share, pixel on pixel, and the report says how much that is."""
    reference, fused = cubes()
    col, row = round((grid[0] - GRID[0]) / 5), round((GRID[3] - grid[3]) / 5)
    cube = np.roll(fused, (-row, -col), axis=(1, 2))[part]
    report = tmp_path / "report.html"
    found = evaluate_rasters(EvaluationRequest(pair[0], write(tmp_path / "x.tif", cube, grid=grid), report=str(report)))
    rows = slice(max(row, 0), min(row + cube.shape[1], reference.shape[1]))
    cols = slice(max(col, 0), min(col + cube.shape[2], reference.shape[2]))
    direct = evaluate(reference[:, rows, cols], fused[:, rows, cols], 1.0)
    assert pytest.approx(direct.PSNR, abs=1e-4) == found.PSNR
    assert f"common area of {cols.stop - cols.start} x {rows.stop - rows.start}" in report.read_text()


@pytest.mark.parametrize(("cut", "refused"), [(2, False), (3, True)])
def test_without_georeference_what_simulation_cuts_is_left_out(tmp_path, cut, refused):
    """Simulation cuts less than a coarse pixel at the south and east edge; a raster that lacks more may begin
    anywhere.
    """
    reference, fused = cubes()
    paths = [tmp_path / "reference.tif", tmp_path / "fused.tif"]
    for path, cube in zip(paths, (reference, fused[:, :-cut, :-cut])):
        dataset = gdal.GetDriverByName("GTiff").Create(
            str(path), cube.shape[2], cube.shape[1], len(cube), gdal.GDT_Float32
        )
        dataset.WriteArray(cube)
        dataset = None
    request = EvaluationRequest(*map(str, paths), ratio=3)
    if refused:
        with pytest.raises(HSFusionError, match="clip the larger one"):
            evaluate_rasters(request)
        return
    direct = evaluate(reference[:, :-cut, :-cut], fused[:, :-cut, :-cut], 3)
    assert pytest.approx(direct.PSNR, abs=1e-4) == evaluate_rasters(request).PSNR


def test_longitude_and_latitude_under_two_names(tmp_path):
    """EPSG:4326 and OGC:CRS84 differ in the order in which people write them, not in where a pixel lies."""
    grid, (x, y) = (14.0, 1e-4, 0.0, 50.0, 0.0, -1e-4), cubes()
    one = write(tmp_path / "x.tif", x, grid=grid, code="EPSG:4326")
    other = write(tmp_path / "y.tif", y, grid=grid, code="OGC:CRS84")
    found = evaluate_rasters(EvaluationRequest(one, other))
    assert pytest.approx(evaluate(x, y, 1.0).PSNR, abs=1e-4) == found.PSNR


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"RATIO": 0.25}, "RATIO must be"),
        ({"FUSED": "nowhere.tif"}, "nowhere.tif"),
        ({"TABLE": "numbers.xlsx"}, "neither .csv nor .json"),
        ({"REPORT": "/proc/report.html"}, "/proc"),
    ],
)
def test_bad_parameters_exit_1(qgis_process, pair, tmp_path, parameters, sentence):
    parameters = {"REFERENCE": pair[0], "FUSED": pair[1], **parameters}
    if parameters.get("TABLE"):
        parameters["TABLE"] = tmp_path / parameters["TABLE"]
    result = qgis_process("hsfusion:evaluate", check=False, **parameters)
    assert result.code == 1
    assert sentence in result.error


def test_bad_bands_and_nodata_are_left_out_and_counted(tmp_path):
    x, y = cubes()
    wanted = evaluate(x[[0, 1, 3]], y[[0, 1, 3]], 4, peak=4000)
    y[2] = 1e9
    x[4] = np.nan
    reference, fused = write(tmp_path / "a.tif", x), write(tmp_path / "b.tif", y, bad=(2,))
    table = tmp_path / "t.json"
    scores = evaluate_rasters(EvaluationRequest(reference, fused, 4, 4000, table=str(table)))
    assert scores.numbers() == pytest.approx(wanted.numbers())
    assert list(scores.bands) == [0, 1, 3] and scores.bands_total == 5 and scores.bands_excluded == 2
    record = json.loads(table.read_text())
    assert record["scores"]["SAM"] == pytest.approx(wanted.SAM)
    assert [row["band"] for row in record["bands"]] == [1, 2, 4]
    assert [row["wavelength_nm"] for row in record["bands"]] == [450, 560, 865]
    assert record["counts"]["bands_excluded"] == 2
    assert "degrees" in record["conventions"]["SAM"] and record["software"]["HSFusion"]


def test_a_window_of_the_reference_is_compared_where_it_lies(tmp_path):
    # What fuse writes for an EXTENT, or for a scene that is no multiple of the ratio.
    x, y = cubes()
    reference = write(tmp_path / "a.tif", x)
    grid = (GRID[0] + 5 * 7, 5.0, 0.0, GRID[3] - 5 * 4, 0.0, -5.0)
    fused = write(tmp_path / "b.tif", y[:, 4:40, 7:47], grid=grid)
    sam = tmp_path / "sam.tif"
    for pair in ((reference, fused), (fused, reference)):
        scores = evaluate_rasters(EvaluationRequest(*pair, sam_map=str(sam)))
        wanted = evaluate(*((x, y) if pair[0] == reference else (y, x)), 4)
        assert scores.pixels_total == 36 * 40
        np.testing.assert_allclose(scores.sam_map, wanted.sam_map[4:40, 7:47])
        assert Raster.open(sam).geotransform == grid


def test_scaled_integers_are_compared_in_physical_units(tmp_path):
    x, y = cubes()
    wanted = evaluate(x, y, 4)
    reference = write(tmp_path / "a.tif", x)
    fused = write(tmp_path / "b.tif", y, dtype="Int16", scale=0.5)
    assert pytest.approx(wanted.PSNR, abs=1e-3) == evaluate_rasters(EvaluationRequest(reference, fused)).PSNR


def test_slips_are_warned_about(tmp_path):
    x, y = cubes()
    y[:, :5, :5] = np.nan
    x[:, 30, 30] = 0

    class Listener(Progress):
        said: list[str] = []

        def warn(self, text: str) -> None:
            self.said.append(text)

    reference = write(tmp_path / "a.tif", x)
    fused = write(tmp_path / "b.tif", y / 10000, wavelengths=WAVELENGTHS[::-1])
    evaluate_rasters(EvaluationRequest(reference, fused), Listener())
    for sentence in ("25 pixels", "same units", "all-zero spectrum", "order of the bands"):
        assert any(sentence in text for text in Listener.said), sentence


def test_without_georeference_pixels_are_compared_by_place(tmp_path):
    paths = []
    for name, cube in zip("ab", cubes()):
        path = tmp_path / f"{name}.tif"
        dataset = gdal.GetDriverByName("GTiff").Create(str(path), 52, 44, 5, gdal.GDT_Float32)
        for i, layer in enumerate(cube):
            dataset.GetRasterBand(i + 1).WriteRaster(0, 0, 52, 44, layer.tobytes())
        dataset = None
        paths.append(str(path))
    report = tmp_path / "report.html"
    scores = evaluate_rasters(EvaluationRequest(*paths, report=str(report)))
    assert pytest.approx(evaluate(*cubes(), 4).PSNR) == scores.PSNR
    assert "no georeference" in report.read_text()


def test_csv_has_one_row_for_all_and_one_per_band(pair, tmp_path):
    table = tmp_path / "t.csv"
    scores = evaluate_rasters(EvaluationRequest(*pair, table=str(table)))
    with open(table, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["band"] for row in rows] == ["all", "1", "2", "3", "4", "5"]
    assert float(rows[0]["psnr_global"]) == pytest.approx(scores.PSNR)
    assert float(rows[0]["sam_deg"]) == pytest.approx(scores.SAM)
    assert float(rows[3]["wavelength_nm"]) == 665
    assert float(rows[3]["rmse"]) == pytest.approx(scores.rmse_bands[2])
    assert rows[3]["ergas"] == ""


def test_perfect_result_stays_valid_json(tmp_path):
    x, _ = cubes()
    path, table = write(tmp_path / "a.tif", x), tmp_path / "t.json"
    scores = evaluate_rasters(EvaluationRequest(path, path, table=str(table), report=str(tmp_path / "r.html")))
    assert math.isinf(scores.PSNR)
    assert json.loads(table.read_text())["scores"]["PSNR"] is None
    assert "∞" in (tmp_path / "r.html").read_text()


def test_too_large_for_memory_is_refused_before_reading(pair, monkeypatch):
    monkeypatch.setattr(shared_pair, "available_memory", lambda: 1_000_000)
    with pytest.raises(HSFusionError, match="GB of memory"):
        evaluate_rasters(EvaluationRequest(*pair))
    assert memory.available_memory() > 100_000_000


def test_cancel_ends_between_bands_and_leaves_nothing(pair, tmp_path):
    class Impatient(Progress):
        calls = 0

        def cancelled(self) -> bool:
            Impatient.calls += 1
            return Impatient.calls > 6

    report = tmp_path / "report.html"
    with pytest.raises(Cancelled):
        evaluate_rasters(EvaluationRequest(*pair, report=str(report)), Impatient())
    assert not report.exists() and not list(tmp_path.glob(".hsfusion-*"))
