"""hsfusion:fuseclassical with the methods that work on all bands: gsa, sfim-hs, sylvester, cstf, nssr, cnmf, hysure."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import Cancelled, HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.fuse import with_model as fusion
from hsfusion.hsfusion_plugin.jobs.methods import classical as full_band
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read

QUICK = ("gsa", "sfim-hs", "sylvester", "cnmf", "hysure")
METHODS = ("gsa", "sfim-hs", "sylvester", "cstf", "nssr", "cnmf", "hysure")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


def run(pair: pairs.Pair, output, progress=None, **changes) -> dict:
    return classical.run(
        FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(output), **changes), progress or Progress()
    )


def error_against_nearest(path, pair) -> float:
    """RMSE over that of pixel replication."""
    nearest = np.repeat(np.repeat(read(pair.hsi), pairs.RATIO, axis=1), pairs.RATIO, axis=2)
    return float(np.sqrt(np.nanmean((read(path) - pair.truth) ** 2) / np.mean((nearest - pair.truth) ** 2)))


@pytest.mark.parametrize("method", METHODS)
def test_through_qgis_process(qgis_process, pair, tmp_path, method):
    result = qgis_process(
        "hsfusion:fuseclassical", METHOD=method, HSI=pair.hsi, MSI=pair.msi,
        OUTPUT=tmp_path / "fused.tif", REPORT=tmp_path / "report.html",
    )  # fmt: skip
    assert result.outputs["USED_METHOD"] == method
    assert result.outputs["HSI_CONSISTENCY"] > 30
    assert {p.name for p in tmp_path.iterdir()} == {"fused.tif", "fused.json", "fused.qml", "report.html"}
    assert error_against_nearest(tmp_path / "fused.tif", pair) < 0.3


@pytest.mark.parametrize("method", QUICK)
def test_a_part_equals_that_part_of_the_whole(pair, tmp_path, method):
    run(pair, tmp_path / "whole.tif", method=method)
    x, y = pairs.CORNER
    box = (x + 20 * pairs.PIXEL, y - 70 * pairs.PIXEL, x + 90 * pairs.PIXEL, y - 30 * pairs.PIXEL)
    run(pair, tmp_path / "part.tif", method=method, extent=box)
    np.testing.assert_allclose(read(tmp_path / "part.tif"), read(tmp_path / "whole.tif")[:, 30:70, 20:90], rtol=1e-5)


@pytest.mark.parametrize("method", QUICK)
def test_clouds_come_out_as_nodata_and_change_nothing_far_away(pair, tmp_path, method):
    clear, cloudy = read(pair.msi), read(pair.msi)
    cloudy[:, 40:52, 60:76] = np.nan
    masked = pairs.write(tmp_path / "msi.tif", cloudy, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS)
    run(pairs.Pair(pair.hsi, masked, pair.truth), tmp_path / "fused.tif", method=method, psf_fwhm=1.1)
    fused = read(tmp_path / "fused.tif")
    np.testing.assert_array_equal(np.isnan(fused[0]), np.isnan(cloudy[0]))
    assert np.isfinite(clear).all() and error_against_nearest(tmp_path / "fused.tif", pair) < 0.3


@pytest.mark.parametrize("method", QUICK)
def test_panchromatic(pair, tmp_path, method):
    grey = pairs.write(tmp_path / "pan.tif", pair.truth.mean(axis=0, keepdims=True), pairs.PIXEL)
    run(pairs.Pair(pair.hsi, grey, pair.truth), tmp_path / "fused.tif", method=method)
    assert error_against_nearest(tmp_path / "fused.tif", pair) < 0.75


@pytest.mark.parametrize("method", ["cnmf", "hysure"])
def test_too_little_memory_is_said_before_the_work(pair, tmp_path, method, monkeypatch):
    monkeypatch.setattr(full_band, "available_memory", lambda: 1_000_000)
    with pytest.raises(HSFusionError, match=f"The method {method} works on the whole overlap at once .* such as gsa"):
        run(pair, tmp_path / "fused.tif", method=method)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ("loc", *METHODS))
def test_fuse_takes_them_as_model_and_needs_no_backend(pair, tmp_path, monkeypatch, method):
    monkeypatch.setenv("HSFUSION_PYTHON", "/nonexistent/python")
    names = {"hsi": str(pair.hsi), "msi": str(pair.msi)}
    found = fusion.run(FusionRequest(output=str(tmp_path / "fuse.tif"), model=method, **names), Progress())
    assert found["USED_METHOD"] == method and np.isnan(found["GUARD_GAIN"])
    run(pair, tmp_path / "classical.tif", method=method)
    np.testing.assert_array_equal(read(tmp_path / "fuse.tif"), read(tmp_path / "classical.tif"))
    with pytest.raises(HSFusionError, match="UNCERTAINTY is known for a diffusion model only"):
        uncertain = str(tmp_path / "std.tif")
        fusion.run(
            FusionRequest(output=str(tmp_path / "f.tif"), model=method, uncertainty=uncertain, **names), Progress()
        )


class Impatient(Progress):
    """Cancels as soon as the method itself has begun."""

    begun = False

    def phase(self, text: str) -> None:
        self.begun = self.begun or "whole scene" in text

    def cancelled(self) -> bool:
        return self.begun


@pytest.mark.parametrize("method", ["cnmf", "hysure"])
def test_cancel_leaves_nothing(pair, tmp_path, method):
    with pytest.raises(Cancelled):
        run(pair, tmp_path / "fused.tif", Impatient(), method=method)
    assert not list(tmp_path.iterdir())
