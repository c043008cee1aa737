"""hsfusion:fuse and hsfusion:compare with spectral-mlp, which the backend trains on the pair."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import Cancelled, HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_model as fusion
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis import pairs

NAME = "spectral-mlp"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.mark.slow
def test_it_is_trained_applied_and_compared(qgis_process, backend, pair, tmp_path):
    given = {"HSI": pair.hsi, "MSI": pair.msi, "MINUTES": 0.1}
    result = qgis_process("hsfusion:fuse", env=backend, MODEL=NAME, OUTPUT=tmp_path / "fused.tif", **given)
    assert result.outputs["USED_METHOD"] == NAME and result.outputs["HSI_CONSISTENCY"] > 30
    fused, nearest = pairs.read(tmp_path / "fused.tif"), np.repeat(np.repeat(pairs.read(pair.hsi), 4, 1), 4, 2)
    assert np.nanmean((fused - pair.truth) ** 2) < 0.1 * np.mean((nearest - pair.truth) ** 2)
    table = tmp_path / "table.csv"
    qgis_process("hsfusion:compare", env=backend, METHODS=f"glp-hs,{NAME}", TABLE=table, **given)
    rows = {row["method"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    assert rows[NAME]["family"] == "unsupervised" and (rows[NAME]["psnr"] or "64" in rows[NAME]["reason"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"uncertainty": "u.tif"}, "UNCERTAINTY is known for a diffusion model only"),
        ({"ensemble": "members"}, "ENSEMBLE is not made by spectral-mlp"),
        ({"sampler": "ddim"}, "SAMPLER ddim needs a diffusion model"),
    ],
)
def test_what_it_does_not_give_is_said_first(pair, tmp_path, changes, sentence):
    request = FusionRequest(str(pair.hsi), str(pair.msi), model=NAME, output=str(tmp_path / "o.tif"), **changes)
    with pytest.raises(HSFusionError, match=sentence):
        fusion.run(request, Progress())
    assert not list(tmp_path.iterdir())


def test_no_time_and_no_backend(qgis_process, pair, tmp_path):
    given = {"HSI": pair.hsi, "MSI": pair.msi, "MODEL": NAME, "OUTPUT": tmp_path / "o.tif"}
    refused = qgis_process("hsfusion:fuse", check=False, **{**given, "MINUTES": 0})
    assert refused.code == 1 and "MINUTES must be a number from 0.05 to 240" in refused.error
    nowhere = {"HSFUSION_PYTHON": "/nonexistent/python", "HSFUSION_BACKEND": "local"}
    refused = qgis_process("hsfusion:fuse", env=nowhere, check=False, **given)
    assert refused.code == 1 and "hsfusion:setupbackend" in refused.error
    assert not list(tmp_path.iterdir())


def test_a_cancelled_run_leaves_nothing(pair, tmp_path, monkeypatch):
    class Ends(Progress):
        def cancelled(self) -> bool:
            return True

    request = FusionRequest(str(pair.hsi), str(pair.msi), model=NAME, output=str(tmp_path / "o.tif"))
    with pytest.raises(Cancelled):
        fusion.run(request, Ends())
    assert not list(tmp_path.iterdir())
