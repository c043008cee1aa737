"""Members of an ensemble on disk: what they are, that tiles and extents agree, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import ensemble, with_model
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.pairs import read


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


def fuse(pair: pairs.Pair, folder, **changes) -> dict:
    """The job in this process, with four members in `folder`/members."""
    settings = {"model": "average", "samples": 4, "ensemble": str(folder / "members"), **changes}
    request = FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(folder / "fused.tif"), **settings)
    return with_model.run(request, Progress())


def members(folder) -> np.ndarray:
    return np.stack([read(path) for path in sorted((folder / "members").glob("*.tif"))])


@pytest.fixture(scope="module")
def drawn(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    fuse(pair, folder)
    return folder


def test_through_qgis_process_without_a_backend(qgis_process, pair, tmp_path):
    result = qgis_process(
        "hsfusion:fuse", env={"HSFUSION_PYTHON": "/nowhere"}, HSI=pair.hsi, MSI=pair.msi, MODEL="average", SAMPLES=2,
        ENSEMBLE=tmp_path / "members", OUTPUT=tmp_path / "fused.tif",
    )  # fmt: skip
    assert result.outputs["ENSEMBLE"] == str(tmp_path / "members")
    assert {p.name for p in (tmp_path / "members").iterdir()} == {
        "member_1.tif", "member_2.tif", "ensemble.json", "ensemble.vrt",
    }  # fmt: skip


def test_the_mean_of_the_members_is_the_result(drawn):
    np.testing.assert_allclose(members(drawn).mean(axis=0), read(drawn / "fused.tif"), rtol=1e-5)


def test_the_spread_is_the_size_of_the_errors(drawn, pair):
    spread = members(drawn).std(axis=0, ddof=1).mean()
    error = np.sqrt(np.mean((read(drawn / "fused.tif") - pair.truth) ** 2))
    assert 0.4 < spread / error < 2.5


def test_the_summary_and_the_vrt_say_what_there_is(drawn):
    about = json.loads((drawn / "members" / "ensemble.json").read_text(encoding="utf-8"))
    assert about["sampler"] == "gaussian" and about["members"] == 4 and len(about["files"]) == 4
    assert 0 < about["calibration"]["std_of_block_means"]["4x4"] < 0.5
    stack = gdal.Open(str(drawn / "members" / "ensemble.vrt"))
    assert stack.RasterCount == 4 * pairs.BANDS
    third = stack.GetRasterBand(2 * pairs.BANDS + 1).ReadAsArray()
    np.testing.assert_array_equal(third, members(drawn)[2, 0])


def test_tiles_and_an_extent_are_cuts_of_the_whole(drawn, pair, tmp_path):
    left, top = pairs.CORNER
    box = (left + 200, top - 600, left + 560, top - 160)  # xmin, ymin, xmax, ymax: columns 20 to 56, rows 16 to 60
    fuse(pair, tmp_path, extent=box, tile_size=32)
    found, whole = members(tmp_path), members(drawn)[:, :, 16:60, 20:56]
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-3 * whole.std(axis=0).max())


def test_seeds_differ(drawn, pair, tmp_path):
    fuse(pair, tmp_path, seed=1)
    first, other = (members(folder)[0] - read(folder / "fused.tif") for folder in (drawn, tmp_path))
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples": 1}, "set SAMPLES to 2 or more"),
        ({"sampler": "diffusion"}, "needs a diffusion model"),
        ({"model": "gsa"}, "has no ensemble of its own"),
    ],
)
def test_what_cannot_be_drawn_is_refused(pair, tmp_path, changes, said):
    with pytest.raises(HSFusionError, match=said):
        fuse(pair, tmp_path, **changes)
    assert not (tmp_path / "fused.tif").exists()


def test_a_folder_with_files_of_others_is_refused(pair, tmp_path):
    (tmp_path / "members").mkdir()
    (tmp_path / "members" / "member_1.tif").write_bytes(b"mine")
    with pytest.raises(HSFusionError, match="choose an empty folder"):
        fuse(pair, tmp_path)
    assert (tmp_path / "members" / "member_1.tif").read_bytes() == b"mine"


def test_where_the_disk_fills_up_the_first_members_stay(pair, tmp_path, monkeypatch):
    write = RasterWriter.write

    def full(self, row, col, array):
        if self.path.name == "member_4.tif":
            raise HSFusionError("ENSEMBLE: the disk may be full.")
        write(self, row, col, array)

    monkeypatch.setattr(ensemble.RasterWriter, "write", full)
    fuse(pair, tmp_path)
    assert sorted(p.name for p in (tmp_path / "members").glob("*.tif")) == ["member_1.tif", "member_2.tif"]
    about = json.loads((tmp_path / "members" / "ensemble.json").read_text(encoding="utf-8"))
    assert about["members"] == 2
