"""hsfusion:compare: methods ranked on the user's own pair; what fails is a row, and BEST is a name that fuse takes."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import Cancelled
from hsfusion.hsfusion_plugin.jobs.compare import job as comparison
from hsfusion.hsfusion_plugin.jobs.compare.job import ComparisonRequest
from hsfusion.hsfusion_plugin.jobs.fuse import with_model as fusion
from hsfusion.hsfusion_plugin.jobs.pair import blocks as pair_blocks
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.peak import PeakMemory
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.reduced.ranking import CRITERIA, others, ranked
from hsfusion.models.scene.reduced.scene import ReducedScene
from hsfusion.tests.qgis import pairs

NO_BACKEND = {"HSFUSION_PYTHON": "/nonexistent/python", "HSFUSION_BACKEND": "local"}
EVERY = ("glp-hs", "loc", "map", "average", "gsa", "sfim-hs", "sylvester", "cstf", "nssr", "cnmf", "hysure")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


def compare(pair: pairs.Pair, progress=None, **more) -> dict:
    given = {"methods": ("glp-hs", "loc", "gsa"), **more}
    return comparison.run(ComparisonRequest(str(pair.hsi), str(pair.msi), **given), progress or Progress())


def rows_of(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_without_a_backend_models_are_rows_with_the_reason(qgis_process, pair, tmp_path):
    table, report = tmp_path / "table.csv", tmp_path / "report.html"
    methods = ",".join((*EVERY, "hsfusion-base"))
    result = qgis_process(
        "hsfusion:compare",
        env=NO_BACKEND,
        HSI=pair.hsi,
        MSI=pair.msi,
        METHODS=methods,
        CRITERION="rmse",
        TABLE=table,
        REPORT=report,
    )
    rows = rows_of(table)
    assert {row["method"] for row in rows} == {"interpolation", "hsfusion-base", *EVERY}
    assert rows[0]["method"] == result.outputs["BEST"] and result.outputs["BEST"] in EVERY
    scored = [float(row["nrmse"]) for row in rows if row["nrmse"]]
    assert len(scored) == 1 + len(EVERY) and scored == sorted(scored)
    assert rows[-1]["method"] == "hsfusion-base" and "hsfusion:setupbackend" in rows[-1]["reason"]
    page = report.read_text(encoding="utf-8")
    for words in ("Methods compared", "cnmf", "hsfusion:setupbackend", "hsfusion:compare", "Wald", "noise of the HSI"):
        assert words in page


def test_the_table_in_json_and_methods_by_repetition(qgis_process, pair, tmp_path):
    table = tmp_path / "table.json"
    result = qgis_process(
        "hsfusion:compare", env=NO_BACKEND, HSI=pair.hsi, MSI=pair.msi, METHODS=["sfim-hs", "map"], TABLE=table
    )
    record = json.loads(table.read_text(encoding="utf-8"))
    assert record["best"] == result.outputs["BEST"] == "map"
    assert {m["method"] for m in record["methods"]} == {"interpolation", "sfim-hs", "map"}
    assert all(len(m["rmse_bands"]) == pairs.BANDS for m in record["methods"])
    assert record["parameters"]["METHODS"] == ["sfim-hs", "map"] and "PSNR" not in record["conventions"]


def test_scores_are_those_of_the_hsi_as_the_truth(pair, tmp_path):
    """Interpolation can be worked out without our code for the protocol, but for the noise that is brought back."""
    table = tmp_path / "table.json"
    compare(pair, table=str(table), psf_fwhm=1.1, shift_x=0.0, shift_y=0.0)
    record = json.loads(table.read_text(encoding="utf-8"))
    (found,) = (m for m in record["methods"] if m["method"] == "interpolation")
    truth = pairs.read(pair.hsi)
    low = Degradation.whole(Sampling(4, 1.1, 1.1), truth.shape[1:])(truth)
    map_coordinates = pytest.importorskip("scipy.ndimage").map_coordinates

    rows, cols = ((np.arange(n) + 0.5) / 4 - 0.5 for n in truth.shape[1:])
    where = np.meshgrid(rows, cols, indexing="ij")
    up = np.stack([map_coordinates(band, where, order=3, mode="grid-mirror") for band in low])
    mse = np.mean((up - truth) ** 2)
    assert found["psnr"] == pytest.approx(10 * np.log10(truth.max() ** 2 / mse), abs=0.3), "splines are not Keys' cubic"
    assert record["share_of_the_scene"] == 1.0 and record["hsi_pixels_compared"] == truth[0].size


def test_best_is_what_fuse_takes_and_it_is_better_than_the_worst_there_too(pair, tmp_path):
    table = tmp_path / "t.csv"
    best = compare(pair, methods=EVERY, table=str(table))["BEST"]
    ranked = [row["method"] for row in rows_of(table) if row["method"] != "interpolation"]
    errors = {}
    for name in (best, ranked[-1]):
        out = tmp_path / f"{name}.tif"
        fusion.run(FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(out), model=name), Progress())
        errors[name] = float(np.sqrt(np.mean((pairs.read(out) - pair.truth) ** 2)))
    assert errors[best] < errors[ranked[-1]]


def test_a_method_that_fails_is_a_row(pair, tmp_path, monkeypatch):
    def fails(*_):
        raise np.linalg.LinAlgError("Singular matrix")

    def lacks(*_):
        raise HSFusionError("The memory does not suffice: clip the rasters.")

    monkeypatch.setattr(ReducedScene, "full_band", fails)
    assert compare(pair, table=str(tmp_path / "a.csv"))["BEST"] in ("glp-hs", "loc")
    reason = {row["method"]: row["reason"] for row in rows_of(tmp_path / "a.csv")}
    assert "Singular matrix" in reason["gsa"] and not reason["glp-hs"]
    monkeypatch.setattr(ReducedScene, "full_band", lacks)
    with pytest.raises(HSFusionError, match="No method could be compared: The memory does not suffice"):
        compare(pair, methods=("gsa",))


def test_a_large_scene_is_compared_on_blocks_and_says_so(pair, tmp_path, monkeypatch):
    wide = []
    for name, pixel in (("hsi", pairs.RATIO * pairs.PIXEL), ("msi", pairs.PIXEL)):
        values = pairs.read(getattr(pair, name))
        values = np.concatenate([values, values[..., ::-1]], axis=2)
        wide.append(pairs.write(tmp_path / f"{name}.tif", values, pixel))
    monkeypatch.setattr(pair_blocks, "LARGEST_WHOLE", 100)
    monkeypatch.setattr(pair_blocks.read_blocks, "__defaults__", (32, 4))
    monkeypatch.setattr(comparison, "BLOCK", 28)
    report, table = tmp_path / "r.html", tmp_path / "t.json"
    compare(pairs.Pair(*wide, pair.truth), report=str(report), table=str(table), psf_fwhm=1.1, shift_x=0, shift_y=0)
    record = json.loads(table.read_text(encoding="utf-8"))
    assert record["blocks"] == 2 and record["share_of_the_scene"] == pytest.approx(56 / 64)
    assert "88 % of the scene, in 2 blocks" in report.read_text(encoding="utf-8")


def test_a_small_scene_is_refused_in_one_sentence(pair, tmp_path):
    small = pairs.write(tmp_path / "hsi.tif", pairs.read(pair.hsi)[:, :20, :20], pairs.RATIO * pairs.PIXEL)
    with pytest.raises(HSFusionError, match="too small to compare methods .* 24 x 24 HSI pixels") as caught:
        compare(pairs.Pair(small, pair.msi, pair.truth), report=str(tmp_path / "r.html"))
    assert "\n" not in str(caught.value) and not (tmp_path / "r.html").exists()


def test_masked_pixels_take_no_part(pair, tmp_path):
    """Whatever lies under the mask, the scores are the same."""
    spoiled = pairs.read(pair.msi)
    spoiled[:, :40, :40] = np.random.default_rng(0).uniform(0, 9000, (len(spoiled), 40, 40))
    msi = pairs.write(tmp_path / "msi.tif", spoiled, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS)
    mask = np.ones((1, *pairs.FINE))
    mask[:, :40, :40] = 0
    pairs.write(tmp_path / "mask.tif", mask, pairs.PIXEL)
    known = {"psf_fwhm": 1.1, "shift_x": 0.0, "shift_y": 0.0, "methods": ("map",)}
    tables = [tmp_path / f"{name}.json" for name in ("clean", "spoiled")]
    for table, image in zip(tables, (pair.msi, msi)):
        compare(pairs.Pair(pair.hsi, image, pair.truth), mask=str(tmp_path / "mask.tif"), table=str(table), **known)
    records = [json.loads(table.read_text(encoding="utf-8")) for table in tables]
    assert all(record["hsi_pixels_compared"] < 28 * 32 - 100 for record in records)
    clean, dirty = (record["methods"][0] for record in records)
    assert clean["method"] == dirty["method"] == "map" and clean["psnr"] > 28
    assert dirty["psnr"] == pytest.approx(clean["psnr"], abs=1e-3)


class Impatient(Progress):
    begun = False

    def phase(self, text: str) -> None:
        self.begun = self.begun or "Comparing" in text

    def cancelled(self) -> bool:
        return self.begun


def test_cancel_is_no_row(pair, tmp_path):
    with pytest.raises(Cancelled):
        compare(pair, Impatient(), report=str(tmp_path / "r.html"))
    assert not list(tmp_path.iterdir())


def test_wrong_names_exit_1(qgis_process, pair):
    result = qgis_process("hsfusion:compare", check=False, HSI=pair.hsi, MSI=pair.msi, METHODS="glp-hs,lok")
    assert result.code == 1 and "METHODS cannot be lok; did you mean loc" in result.error


def test_a_model_of_the_modeler_goes_on_with_best(provider, pair, tmp_path):
    from qgis.core import (
        QgsProcessingContext,
        QgsProcessingFeedback,
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
    )

    source = QgsProcessingModelChildParameterSource
    model = QgsProcessingModelAlgorithm("best", "best")
    inputs = {"HSI": str(pair.hsi), "MSI": str(pair.msi)}
    steps = {
        "compare": {**inputs, "METHODS": ["glp-hs", "sfim-hs"], "PSF_FWHM": 1.1},
        "fuse": {**inputs, "PSF_FWHM": 1.1, "OUTPUT": str(tmp_path / "fused.tif")},
    }
    for name, parameters in steps.items():
        child = QgsProcessingModelChildAlgorithm(f"hsfusion:{name}")
        child.setChildId(name)
        for key, value in parameters.items():
            child.addParameterSources(key, [source.fromStaticValue(value)])
        if name == "fuse":
            child.addParameterSources("MODEL", [source.fromChildOutput("compare", "BEST")])
        model.addChildAlgorithm(child)
    results, fine = model.run({}, QgsProcessingContext(), QgsProcessingFeedback())
    record = json.loads((tmp_path / "fused.json").read_text(encoding="utf-8"))
    assert fine and record["parameters"]["MODEL"] == record["method"] == "glp-hs"


@pytest.mark.slow
def test_the_installed_model_is_ranked(qgis_process, backend, pair, tmp_path):
    table = tmp_path / "table.json"
    result = qgis_process("hsfusion:compare", env=backend, HSI=pair.hsi, MSI=pair.msi, TABLE=table)
    record = json.loads(table.read_text(encoding="utf-8"))
    scored = {m["method"]: m["psnr"] for m in record["methods"]}
    assert set(scored) == {"interpolation", "hsfusion-base", *EVERY} - {"cstf", "nssr", "cnmf", "hysure"}
    assert None not in scored.values()
    assert len(record["models"]["hsfusion-base"]["sha256"]) == 64
    assert result.outputs["BEST"] == record["best"] == max(scored, key=scored.get)


def rows_with(**scores) -> list:
    """Rows of methods with (RMSE in units of the bands' spread, SAM, Q2n)."""
    names = ("NRMSE", "SAM", "Q2N")
    return [comparison.Row(name, SimpleNamespace(**dict(zip(names, numbers)))) for name, numbers in scores.items()]


def test_criteria_rank_and_say_where_they_disagree():
    rows = [*rows_with(a=(0.10, 2.7, 0.90), b=(0.12, 1.6, 0.94), c=(0.50, 9.0, 0.50)), comparison.Row("d", reason="no")]
    best = {criterion: [row.method for row in ranked(rows, criterion)] for criterion in CRITERIA}
    assert best["rmse"] == ["a", "b", "c", "d"] and best["sam"][0] == best["q2n"][0] == best["together"][0] == "b"
    assert others(rows, "a") == {"sam": "b", "q2n": "b"} and others(rows, "b") == {"rmse": "a"}


def test_a_score_that_is_not_known_does_not_decide():
    rows = rows_with(a=(0.1, 2.0, float("nan")), b=(0.2, 3.0, float("nan")))
    assert [row.method for row in ranked(rows, "together")] == ["a", "b"]


def test_methods_are_grouped_and_told_in_latex(pair, tmp_path):
    found = compare(pair, methods=("glp-hs", "cnmf", "sfim-hs"), table=str(tmp_path / "t.tex"))
    text = (tmp_path / "t.tex").read_text(encoding="utf-8")
    lines = text.splitlines()
    order = [
        next(n for n, line in enumerate(lines) if word in line)
        for word in ("interpolation", "closed form", "model-based")
    ]
    assert order == sorted(order)
    assert text.count("\\textbf{") % 8 == 0 and f"\\textbf{{{found['BEST']}}}" in text
    assert all(line.count("&") == 7 for line in lines if line.endswith("\\\\") and "multicolumn" not in line)
    compare(pair, methods=("glp-hs", "cnmf"), table=str(tmp_path / "t.csv"))
    families = {row["method"]: (row["family"], float(row["memory_mb"])) for row in rows_of(tmp_path / "t.csv")}
    assert families["cnmf"][0] == "model-based" and families["interpolation"][0] == ""
    assert all(memory >= 0 for _, memory in families.values())


def test_the_peak_of_memory_is_seen():
    with PeakMemory() as peak:
        held = b"x" * 50_000_000
    assert len(held) == 50_000_000 and 40e6 < peak.bytes < 500e6
