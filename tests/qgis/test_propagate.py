"""hsfusion:propagate: answers with their uncertainty, from a pair without a backend and from a folder of members."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from osgeo import ogr

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_model
from hsfusion.hsfusion_plugin.jobs.propagate import job
from hsfusion.hsfusion_plugin.jobs.propagate.formula import Formula
from hsfusion.hsfusion_plugin.jobs.propagate.polygons import Area, Tally
from hsfusion.hsfusion_plugin.jobs.propagate.quantities import Target, interval
from hsfusion.hsfusion_plugin.jobs.propagate.request import Polygons, PropagateRequest
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read

LEFT, TOP = pairs.CORNER
USED = list(range(pairs.BANDS))
NDVI = "(w842 - w665) / (w842 + w665)"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def members(pair, tmp_path_factory):
    """A folder of twenty members."""
    folder = tmp_path_factory.mktemp("fused")
    with_model.run(
        FusionRequest(
            hsi=str(pair.hsi), msi=str(pair.msi), output=str(folder / "fused.tif"), model="average", samples=20,
            ensemble=str(folder / "members"),
        ),
        Progress(),
    )  # fmt: skip
    return folder / "members"


def ask(members, folder, **changes) -> dict:
    """The job in this process, from the folder of members."""
    settings = {"ensemble": str(members), "output_mean": str(folder / "mean.tif"), **changes}
    return job.run(PropagateRequest(hsi="", msi="", **settings), Progress())


def square(row: int, col: int, size: int) -> bytes:
    """WKB of a square of whole pixels."""
    x, y, side = LEFT + pairs.PIXEL * col, TOP - pairs.PIXEL * row, pairs.PIXEL * size
    text = f"POLYGON(({x} {y},{x + side} {y},{x + side} {y - side},{x} {y - side},{x} {y}))"
    return bytes(ogr.CreateGeometryFromWkt(text).ExportToWkb())


def fields(pair: pairs.Pair, *squares: tuple[int, int, int]) -> Polygons:
    from osgeo import gdal

    crs = gdal.Open(str(pair.msi)).GetProjection()
    return Polygons(tuple((f"field {n}", square(*s)) for n, s in enumerate(squares)), crs, "fields.gpkg")


def true_index(pair: pairs.Pair) -> np.ndarray:
    near = [int(np.abs(pairs.WAVELENGTHS - nm).argmin()) for nm in (842, 665)]
    high, low = pair.truth[near[0]], pair.truth[near[1]]
    return (high - low) / (high + low)


def test_an_index_through_qgis_process_without_a_backend(qgis_process, pair, tmp_path):
    result = qgis_process(
        "hsfusion:propagate", env={"HSFUSION_PYTHON": "/nowhere"}, HSI=pair.hsi, MSI=pair.msi, MODEL="average", SAMPLES=20,  # noqa: E501
        WHAT="index", FORMULA="NDVI", OUTPUT_MEAN=tmp_path / "mean.tif", OUTPUT_STD=tmp_path / "std.tif",
        OUTPUT_QUANTILES=tmp_path / "q.tif", REPORT=tmp_path / "report.html",
    )  # fmt: skip
    assert set(result.outputs) == {"OUTPUT_MEAN", "OUTPUT_STD", "OUTPUT_QUANTILES", "REPORT"}
    mean, std, shares = (read(tmp_path / name)[...] for name in ("mean.tif", "std.tif", "q.tif"))
    error = np.sqrt(np.mean((mean[0] - true_index(pair)) ** 2))
    assert 0.3 < np.sqrt(np.mean(std**2)) / error < 3
    assert (shares[0] <= shares[1]).all() and (shares[1] <= shares[2]).all()
    assert "How to read this" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_algorithm_and_a_vector_layer_through_qgis_process(qgis_process, members, pair, tmp_path):
    layer = tmp_path / "fields.geojson"
    # In degrees: the polygons are brought to the raster's CRS. About the middle of the pair.
    from osgeo import gdal, osr

    source, target = osr.SpatialReference(gdal.Open(str(pair.msi)).GetProjection()), osr.SpatialReference()
    target.ImportFromEPSG(4326)
    for system in (source, target):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    shape = ogr.CreateGeometryFromWkb(square(20, 20, 12))
    shape.Transform(osr.CoordinateTransformation(source, target))
    feature = {"type": "Feature", "properties": {"name": "home"}, "geometry": json.loads(shape.ExportToJson())}
    layer.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    qgis_process(
        "hsfusion:propagate", ENSEMBLE=members, WHAT="algorithm", ALGORITHM="native:slope",
        ALGORITHM_PARAMETERS='{"Z_FACTOR": 0.01}', POLYGONS=layer, TABLE=tmp_path / "table.csv",
        OUTPUT_MEAN=tmp_path / "mean.tif",
    )  # fmt: skip
    mean = read(tmp_path / "mean.tif")
    assert np.nanmin(mean) >= 0 and np.nanmax(mean) <= 90 and np.nanstd(mean) > 0.05
    rows = list(csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8")))
    assert {row["polygon"] for row in rows} == {"home"} and int(rows[0]["pixels"]) in range(120, 170)


def test_zonal_intervals_hold_the_truth(members, pair, tmp_path):
    places = [(row, col, size) for size in (4, 8) for row in range(2, 100, 14) for col in range(2, 110, 14)]
    ask(members, tmp_path, what="zonal", formula="b8", polygons=fields(pair, *places), table=str(tmp_path / "t.json"))
    found = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    rows = [row for row in found["rows"] if row["statistic"] == "mean"]
    truth = [pair.truth[7, r : r + s, c : c + s].mean() for r, c, s in places]
    covered = np.mean([row["low"] <= value <= row["high"] for row, value in zip(rows, truth)])
    assert len(rows) == len(places) and 0.75 < covered < 1
    assert "0.05 (n + 1)" in found["interval"]


def test_an_area_above_a_threshold(members, pair, tmp_path):
    index = true_index(pair)
    level = float(np.median(index))
    outputs = ask(
        members, tmp_path, what="area", formula=NDVI, threshold=level, polygons=fields(pair, (10, 10, 40)),
        table=str(tmp_path / "t.csv"),
    )  # fmt: skip
    with open(outputs["TABLE"], encoding="utf-8") as stream:
        rows = {row["statistic"]: row for row in csv.DictReader(stream)}
    truth = float((index[10:50, 10:50] > level).sum()) * pairs.PIXEL**2
    assert float(rows["area"]["mean"]) == pytest.approx(truth, rel=0.15)
    assert float(rows["area"]["low_90"]) <= float(rows["area"]["mean"]) <= float(rows["area"]["high_90"])
    assert np.nanmin(read(tmp_path / "mean.tif")) >= 0 and np.nanmax(read(tmp_path / "mean.tif")) <= 1


def spectra_file(pair: pairs.Pair, folder, scale: float = 1.0) -> str:
    """The spectra of two pixels that differ most, in micrometres."""
    path = folder / "spectra.csv"
    a, b = pair.truth[:, 20, 20], pair.truth[:, 80, 90]
    lines = [f"{nm / 1000:.4f},{x * scale:.3f},{y * scale:.3f}" for nm, x, y in zip(pairs.WAVELENGTHS, a, b)]
    path.write_text("\n".join(["wavelength,one,two", *lines]), encoding="utf-8")
    return str(path)


def test_angles_and_targets_are_best_where_the_spectrum_is(members, pair, tmp_path):
    ask(members, tmp_path, what="angle", spectra=spectra_file(pair, tmp_path))
    angle = read(tmp_path / "mean.tif")
    assert angle.shape[0] == 2 and angle[0, 20, 20] < 0.3 * np.median(angle[0])
    ask(members, tmp_path, what="target", spectra=spectra_file(pair, tmp_path))
    score = read(tmp_path / "mean.tif")
    assert score[0, 20, 20] > np.quantile(score[0], 0.95)


def test_classes_have_probabilities(members, pair, tmp_path):
    ask(members, tmp_path, what="class", spectra=spectra_file(pair, tmp_path))
    shares = read(tmp_path / "mean.tif")
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-5)
    assert shares[0, 20, 20] == 1.0 and shares[1, 80, 90] == 1.0


def test_classes_are_learnt_from_polygons(members, pair, tmp_path):
    training = fields(pair, (18, 18, 4), (78, 88, 4))
    ask(members, tmp_path, what="class", training=training)
    shares = read(tmp_path / "mean.tif")
    assert shares[0, 20, 20] > 0.9 and shares[1, 80, 90] > 0.9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"formula": "w1600 / w665"}, "no band lies near 1600 nm"),
        ({"formula": "b99 / b1"}, "no usable band 99"),
        ({"formula": "red / b1"}, "no band red"),
        ({"formula": "__import__('os')"}, "may hold numbers, bands"),
        ({"formula": "(b1"}, "cannot be read"),
        ({"quantiles": (0.001,)}, "too few for the quantile 0.001: set SAMPLES to 999 or more"),
        ({"what": "angle"}, "needs SPECTRA"),
        ({"what": "zonal"}, "needs POLYGONS"),
        ({"what": "algorithm", "algorithm_id": "no:such"}, "no Processing algorithm no:such"),
        ({"table": "t.csv"}, "give POLYGONS"),
        ({"output_mean": None}, "Nothing is to be written"),
    ],
)
def test_bad_input_gets_one_sentence(members, tmp_path, changes, said):
    with pytest.raises(HSFusionError, match=said):
        ask(members, tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_spectra_of_another_unit_are_refused(members, pair, tmp_path):
    with pytest.raises(HSFusionError, match="bring the spectra to the raster's units"):
        ask(members, tmp_path, what="angle", spectra=spectra_file(pair, tmp_path, scale=1e-4))


def test_polygons_outside_are_refused(members, pair, tmp_path):
    with pytest.raises(HSFusionError, match="holds the centre of a pixel"):
        ask(members, tmp_path, what="zonal", polygons=fields(pair, (-500, 10, 8)))


def test_a_folder_without_members_is_refused(tmp_path):
    with pytest.raises(HSFusionError, match="holds 0 member"):
        ask(tmp_path, tmp_path)


def test_formulas_are_arithmetic():
    spectra = np.array([[[2.0, 0.0]], [[8.0, 1.0]]], np.float32)
    parse = lambda text: Formula.parse(text, np.array([660.0, 840.0]), ["red", "nir"], [0, 1])  # noqa: E731
    np.testing.assert_allclose(parse("(w842 - red) / (b2 + b1)")(spectra), [[0.6, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(parse("sqrt(nir * 2) - -1")(spectra)[0, 0], 5.0)
    assert np.isnan(parse("nir / (red - red)")(spectra)).all()
    assert np.isfinite(parse("red + 0 * 9 ** 2")(spectra)).all()


def test_ranks_are_unbiased():
    random = np.random.default_rng(0)
    draws, new = random.normal(size=(32, 20_000)), random.normal(size=20_000)
    low, high = interval(draws, (0.05, 0.95))
    assert np.mean((new >= low) & (new <= high)) == pytest.approx(0.9, abs=0.02)


def test_a_target_scores_one_against_itself():
    random = np.random.default_rng(1)
    background = random.normal(size=(500, 5)) + 10
    wanted = background.mean(axis=0) + np.array([3.0, 0, 0, 0, 0])
    target = Target.against(["x"], wanted[None], background)
    assert target(wanted[:, None, None])[0, 0, 0] == pytest.approx(1.0, abs=1e-5)
    assert abs(target(background.T[:, :, None])[0]).mean() < 0.5


def test_a_polygon_in_two_windows_is_one():
    tally = Tally(Area("x", 2, 2, np.ones((4, 4), bool)), 2)
    values = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)
    tally.add(0, 0, values[:, :4])
    tally.add(4, 0, values[:, 4:])
    np.testing.assert_allclose(tally.mean, values[:, 2:6, 2:6].mean(axis=(1, 2)))
    np.testing.assert_allclose(tally.quantile(0.5), np.median(values[:, 2:6, 2:6].reshape(2, -1), axis=1))


def test_parameters_name_the_layers():
    request = PropagateRequest(hsi="a", msi="b", polygons=Polygons((("x", b""),), "", "fields.gpkg"))
    plain = replace(request, class_name="wheat").parameters()
    assert plain["POLYGONS"] == "fields.gpkg" and plain["CLASS"] == "wheat" and plain["QUANTILES"] == "0.05,0.5,0.95"
