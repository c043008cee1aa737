"""A batch of pairs: the list, what is done is skipped, failures do not end it, outliers stand out, one start of the
backend.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hsfusion.hsfusion_plugin.backend.local import session
from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.batch.job import BatchRequest, run
from hsfusion.hsfusion_plugin.jobs.batch.pairs import PairLine, read_pairs
from hsfusion.hsfusion_plugin.jobs.batch.table import Row, mark_outliers
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis import pairs


def listed(path: Path, *lines: str, head: str = "hsi,msi,mask,output") -> Path:
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def request_of(path: Path, folder: Path, **more) -> BatchRequest:
    fusion = FusionRequest(hsi="", msi="", model="glp-hs")
    return BatchRequest(str(path), str(folder), fusion, str(path.with_suffix(".table.csv")), **more)


def table_of(path: Path) -> list[dict[str, str]]:
    with path.with_suffix(".table.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_list_in_other_dresses(tmp_path):
    path = listed(tmp_path / "list.csv", r"a\h.tif;m.tif", "/abs/h.tif;/abs/m.tif", head="\ufeffHSI ; Msi")
    first, second = read_pairs(path, tmp_path / "out")
    assert Path(first.msi) == tmp_path / "m.tif" and second.hsi == "/abs/h.tif"
    assert second.output == (tmp_path / "out" / "h_fused.tif").resolve()
    same = listed(tmp_path / "same.csv", "x/h.tif,m.tif", "y/h.tif,m.tif", 'HDF5:"z.h5"://a/b,m.tif', head="hsi,msi")
    names = [line.output.name for line in read_pairs(same, tmp_path)]
    assert len(set(names)) == 3 and names[:2] == ["h_fused.tif", "h_fused_2.tif"]


@pytest.mark.parametrize(
    ("lines", "head", "words"),
    [
        (["a,b"], "x,y", "columns hsi, msi"),
        ([",b,,"], "hsi,msi,mask,output", "names no HSI"),
        (["a,b,,../../evil"], "hsi,msi,mask,output", "outside of OUTPUT_FOLDER"),
        (["a,b,,o", "c,d,,o"], "hsi,msi,mask,output", "a second time"),
    ],
)
def test_a_wrong_list_is_refused_before_the_work(tmp_path, lines, head, words):
    with pytest.raises(HSFusionError, match=words):
        read_pairs(listed(tmp_path / "list.csv", *lines, head=head), tmp_path / "out")


def test_a_batch_goes_on_and_is_not_done_twice(tmp_path):
    pair = pairs.make_pair(tmp_path)
    path = listed(
        tmp_path / "list.csv",
        f"{pair.hsi},{pair.msi},,first",
        "none.tif,none.tif,,second",
        f"{pair.hsi},{pair.msi},,third",
    )
    results = run(request_of(path, tmp_path / "out", report=True), Progress())
    assert (results["DONE"], results["SKIPPED"], results["FAILED"]) == (2, 0, 1)
    rows = table_of(path)
    assert [row["state"] for row in rows] == ["done", "failed", "done"]
    assert "none.tif" in rows[1]["message"] and float(rows[0]["HSI_CONSISTENCY"]) > 20
    assert (tmp_path / "out" / "first.tif").is_file() and (tmp_path / "out" / "third.html").is_file()
    before = (tmp_path / "out" / "first.tif").stat().st_mtime_ns
    (tmp_path / "out" / "third.tif").unlink()
    results = run(request_of(path, tmp_path / "out", report=True), Progress())
    assert (results["DONE"], results["SKIPPED"], results["FAILED"]) == (1, 1, 1)
    assert (tmp_path / "out" / "first.tif").stat().st_mtime_ns == before
    again = table_of(path)
    assert again[0]["state"] == "skipped" and again[0]["HSI_CONSISTENCY"] == rows[0]["HSI_CONSISTENCY"]


def test_all_failed_is_an_error(tmp_path):
    path = listed(tmp_path / "list.csv", "none.tif,none.tif,,")
    with pytest.raises(HSFusionError, match="All 1 pairs failed"):
        run(request_of(path, tmp_path / "out"), Progress())
    assert table_of(path)[0]["state"] == "failed"


def test_outliers_stand_out():
    line = PairLine("h", "m", None, Path("o.tif"))
    shifts = [0.1, 0.12, 0.09, 0.11, 2.0, 0.1]
    rows = [Row(line, "done", results={"SHIFT_X_USED": s, "PSF_FWHM_USED": 1.0}) for s in shifts]
    mark_outliers(rows)
    assert [row.outlier for row in rows] == [()] * 4 + [("SHIFT_X_USED",)] + [()]


def test_one_child_serves_all_runs(monkeypatch):
    started = []

    class Child:
        pid = 1

        def __init__(self, *_args, **_more) -> None:
            started.append(self)
            self.alive = True

        def launch(self) -> None: ...

        def __enter__(self) -> object:
            return self

        def __exit__(self, *_: object) -> None:
            self.alive = False

        def check(self) -> None:
            if not self.alive:
                raise session.BackendDied("died", memory=False)

        close = __exit__

    monkeypatch.setattr(session, "LocalBackend", Child)
    settings = session.Settings.read()
    with session.one_backend():
        clients = []
        for _ in range(3):
            with session.coming_backend(settings, "local") as arrived:
                clients.append(arrived())
        assert len(started) == 1 and clients[0] is clients[2] and started[0].alive
        started[0].alive = False
        with session.coming_backend(settings, "local") as arrived:
            assert arrived() is started[1], "one that died is started again"
    assert not any(child.alive for child in started)
    with session.coming_backend(settings, "local") as arrived:
        arrived()
    assert len(started) == 3 and not started[2].alive


def test_qgis_process_fuses_a_list(qgis_process, tmp_path):
    pair = pairs.make_pair(tmp_path)
    path = listed(tmp_path / "list.csv", f"{pair.hsi.name},{pair.msi.name}", head="hsi,msi")
    result = qgis_process(
        "hsfusion:fusefolder", PAIRS=path, OUTPUT_FOLDER=tmp_path / "out", TABLE=tmp_path / "t.csv", MODEL="glp-hs"
    )
    assert result.outputs["DONE"] == 1 and (tmp_path / "t.csv").is_file()
    assert (tmp_path / "out" / f"{pair.hsi.stem}_fused.tif").is_file()
