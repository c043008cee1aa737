"""Pairs whose HSI does not lie where its grid says: found, used by every method, and the same however the output is
cut.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.register import job as register
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.models.observation import Displacement
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read

INNER = (slice(None), slice(8, -8), slice(8, -8))


def wave(pixels: float) -> np.ndarray:
    """A smooth local field (2, H, W) of so many MSI pixels rms, no sum of the cosines that are fitted."""
    y, x = np.mgrid[: pairs.FINE[0], : pairs.FINE[1]] / np.array(pairs.FINE)[:, None, None]
    d = np.stack([np.sin(2 * np.pi * (0.8 * y + 0.5 * x) + 0.4), np.sin(2 * np.pi * (0.9 * x - 0.4 * y) + 2.0)])
    d -= d.mean(axis=(1, 2), keepdims=True)
    return pixels * d / np.sqrt((d**2).sum(axis=0).mean())


def far() -> np.ndarray:
    """A shift of 2.3 HSI pixels south and 1.7 west, and 0.6 degrees."""
    y, x = np.mgrid[: pairs.FINE[0], : pairs.FINE[1]].astype(float)
    return Displacement(pairs.FINE, 0.6).of(y, x) + np.array([9.3, -6.7])[:, None, None]


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("still"))


@pytest.fixture(scope="module")
def waved(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("waved"), displacement=wave(1.0))


@pytest.fixture(scope="module")
def distant(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("distant"), displacement=far())


def run(pair: pairs.Pair, output: Path, method: str = "glp-hs", **changes) -> dict:
    request = FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(output), method=method, **changes)
    return classical.run(request, Progress())


def error(path: Path, truth: np.ndarray, inner: tuple[slice, ...] = INNER) -> float:
    return float(np.sqrt(np.nanmean((read(path)[inner] - truth[inner]) ** 2)))


def test_a_field_costs_nothing_through_qgis_process(qgis_process, still, waved, tmp_path):
    run(still, tmp_path / "still.tif")
    run(waved, tmp_path / "none.tif", registration="none")
    qgis_process(
        "hsfusion:fuseclassical", HSI=waved.hsi, MSI=waved.msi, OUTPUT=tmp_path / "auto.tif",
        REPORT=tmp_path / "report.html", REGISTRATION="auto",
    )  # fmt: skip
    best, bad, found = (error(tmp_path / f"{name}.tif", still.truth) for name in ("still", "none", "auto"))
    assert found < 1.05 * best and bad > 1.5 * best
    record = json.loads((tmp_path / "auto.json").read_text(encoding="utf-8"))
    assert record["parameters"]["REGISTRATION"] == "auto"
    assert 0.8 < record["displacement"]["local_rms"] < 1.2
    before, after = record["displacement"]["held_out_misfit"]
    assert after < 0.5 * before


@pytest.mark.slow
@pytest.mark.parametrize("method", ["average", "gsa", "sfim-hs", "cnmf", "hysure"])
def test_every_method_uses_the_field(still, waved, tmp_path, method):
    run(still, tmp_path / "still.tif", method)
    run(waved, tmp_path / "auto.tif", method)
    assert error(tmp_path / "auto.tif", still.truth) < 1.1 * error(tmp_path / "still.tif", still.truth)


def test_a_part_equals_that_part_of_the_whole(waved, tmp_path):
    run(waved, tmp_path / "whole.tif", "average")
    x, y = pairs.CORNER
    box = (x + 20 * pairs.PIXEL, y - 70 * pairs.PIXEL, x + 90 * pairs.PIXEL, y - 30 * pairs.PIXEL)
    run(waved, tmp_path / "part.tif", "average", extent=box)
    np.testing.assert_allclose(
        read(tmp_path / "part.tif"), read(tmp_path / "whole.tif")[:, 30:70, 20:90], rtol=2e-5, atol=1e-2
    )


def test_a_shift_of_several_hsi_pixels_and_a_turn(still, distant, tmp_path):
    run(still, tmp_path / "still.tif")
    outputs = run(distant, tmp_path / "auto.tif")
    assert outputs["SHIFT_Y_USED"] == pytest.approx(9.3, abs=0.1)
    assert outputs["SHIFT_X_USED"] == pytest.approx(-6.7, abs=0.1)
    both = (slice(None), slice(20, -8), slice(8, -16))  # ground that both saw
    assert error(tmp_path / "auto.tif", still.truth, both) < 1.05 * error(tmp_path / "still.tif", still.truth, both)
    assert np.isnan(read(tmp_path / "auto.tif")[0, :4]).all(), "the HSI saw nothing there"


def test_a_given_shift_is_kept_and_the_rest_fitted(distant, tmp_path):
    outputs = run(distant, tmp_path / "given.tif", shift_x=-6.7, shift_y=9.3)
    assert (outputs["SHIFT_X_USED"], outputs["SHIFT_Y_USED"]) == (-6.7, 9.3)
    record = json.loads((tmp_path / "given.json").read_text(encoding="utf-8"))
    assert record["displacement"]["rotation"] == pytest.approx(0.6, abs=0.1)


def test_a_pair_that_lies_well_stays_as_it_is(still, tmp_path):
    run(still, tmp_path / "auto.tif", "average")
    run(still, tmp_path / "none.tif", "average", registration="none")
    assert error(tmp_path / "auto.tif", still.truth) < 1.003 * error(tmp_path / "none.tif", still.truth)
    record = json.loads((tmp_path / "auto.json").read_text(encoding="utf-8"))
    assert record["displacement"] is None


def test_a_shift_beyond_the_search_is_an_error(tmp_path):
    pair = pairs.make_pair(tmp_path, displacement=np.full((2, *pairs.FINE), 36.0) * np.array([0, 1])[:, None, None])
    with pytest.raises(HSFusionError, match="limit of the search"):
        run(pair, tmp_path / "fused.tif")
    assert not (tmp_path / "fused.tif").exists()


def test_register_through_qgis_process(qgis_process, still, distant, tmp_path):
    result = qgis_process(
        "hsfusion:register", HSI=distant.hsi, MSI=distant.msi, OUTPUT=tmp_path / "moved.tif",
        GCPS=tmp_path / "hsi.points", REPORT=tmp_path / "report.html",
    )  # fmt: skip
    assert result.outputs["SHIFT_Y"] == pytest.approx(9.3, abs=0.1)
    assert result.outputs["SHIFT_X"] == pytest.approx(-6.7, abs=0.1)
    assert result.outputs["ROTATION"] == pytest.approx(0.6, abs=0.1)
    moved, right, wrong = read(tmp_path / "moved.tif"), read(still.hsi), read(distant.hsi)
    inner = (slice(None), slice(5, -3), slice(3, -5))
    assert moved.shape == right.shape

    def apart(a: np.ndarray) -> float:
        return float(np.sqrt(np.nanmean((a[inner] - right[inner]) ** 2)))

    assert apart(moved) < 0.35 * apart(wrong)
    assert np.isnan(moved[0, :2]).all(), "the HSI saw nothing there"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page and "Rotation" in page


def test_control_points_are_read_by_gdal(distant, tmp_path):
    outputs = register.run(
        register.RegisterRequest(hsi=str(distant.hsi), msi=str(distant.msi), gcps=str(tmp_path / "hsi.points")),
        Progress(),
    )
    with open(tmp_path / "hsi.points", newline="", encoding="utf-8") as stream:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    south, east = (np.mean([row[a] - row[b] for row in rows]) for a, b in (("sourceY", "mapY"), ("mapX", "sourceX")))
    assert south / pairs.PIXEL == pytest.approx(outputs["SHIFT_Y"], abs=0.2)
    assert east / pairs.PIXEL == pytest.approx(outputs["SHIFT_X"], abs=0.2)
    vrt = gdal.Open(str(tmp_path / "hsi.vrt"))
    points = vrt.GetGCPs()
    assert len(points) == len(rows) >= 100 and vrt.GetGCPSpatialRef() is not None
    for point, row in zip(points, rows):
        assert pytest.approx((row["mapX"], row["mapY"])) == (point.GCPX, point.GCPY)
        x, y = pairs.CORNER
        side = pairs.RATIO * pairs.PIXEL
        assert (x + side * point.GCPPixel, y - side * point.GCPLine) == pytest.approx((row["sourceX"], row["sourceY"]))
    warped = gdal.Warp("", vrt, format="MEM", tps=True, xRes=40, yRes=40, resampleAlg="cubic")
    assert warped is not None and warped.RasterCount == pairs.BANDS
