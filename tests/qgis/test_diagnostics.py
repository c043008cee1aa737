"""hsfusion:diagnostics: one page that tells what works, and that never fails because something does not."""

from __future__ import annotations

import math
import sys

import pytest

from hsfusion.hsfusion_plugin.jobs.diagnose import blas
from hsfusion.hsfusion_plugin.jobs.diagnose import job as diagnostics
from hsfusion.hsfusion_plugin.jobs.diagnose import page as diagnostics_page
from hsfusion.hsfusion_plugin.jobs.diagnose.job import DiagnosticsRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("BACKEND", "PYTHON", "ENDPOINT", "TOKEN", "DEVICE", "MODELS"):
        monkeypatch.delenv(f"HSFUSION_{name}", raising=False)


def page(**request) -> dict:
    return diagnostics.run(DiagnosticsRequest(**request), Progress())


@pytest.mark.slow
def test_from_qgis_process_with_a_timed_tile(qgis_process, backend, tmp_path):
    outputs = qgis_process("hsfusion:diagnostics", env=backend, REPORT=tmp_path / "page.txt").outputs
    text = outputs["TEXT"]
    assert (tmp_path / "page.txt").read_text(encoding="utf-8") == text
    assert outputs["PROBLEMS"] == text.count("PROBLEM:")
    assert outputs["TILE_SECONDS"] > 0
    for said in ("QGIS 3.", "GDAL", "Gflop/s", "hsfusion-base", "its weights are whole", "torch 2.", "device in use: "):
        assert said in text


def test_without_an_interpreter(monkeypatch):
    monkeypatch.setenv("HSFUSION_PYTHON", "/nowhere/python")
    outputs = page()
    assert "PROBLEM: The backend's interpreter /nowhere/python" in outputs["TEXT"]
    assert "run hsfusion:setupbackend" in outputs["TEXT"]
    assert "python: /nowhere/python (from HSFUSION_PYTHON)" in outputs["TEXT"]
    assert outputs["PROBLEMS"] >= 1 and math.isnan(outputs["TILE_SECONDS"])


def test_an_interpreter_without_torch(monkeypatch):
    monkeypatch.setenv("HSFUSION_PYTHON", sys.executable)
    assert "lacks what the backend needs: torch" in page()["TEXT"]


def test_an_endpoint_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("HSFUSION_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HSFUSION_PYTHON", "/nowhere/python")
    monkeypatch.setenv("HSFUSION_TOKEN", "hush")
    text = page(trial=False)["TEXT"]
    assert "uses the remote backend" in text and "not needed with the remote backend" in text
    assert "PROBLEM: http://127.0.0.1:9 does not answer" in text
    assert "hush" not in text and "authentication: set (from HSFUSION_TOKEN)" in text


def test_a_damaged_model(tmp_path, monkeypatch, model_file):
    whole = bytearray(model_file.read_bytes())
    whole[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(whole)
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("HSFUSION_MODELS", str(tmp_path))
    monkeypatch.setenv("HSFUSION_PYTHON", "/nowhere/python")
    text = page(trial=False)["TEXT"]
    assert f"PROBLEM: The weights in {tmp_path / 'flipped.safetensors'} are damaged" in text
    assert f"PROBLEM: The model file {tmp_path / 'cut.safetensors'} is damaged" in text


def test_a_wrong_setting_is_told(monkeypatch):
    monkeypatch.setenv("HSFUSION_BACKEND", "moon")
    monkeypatch.setenv("HSFUSION_PYTHON", "/nowhere/python")
    assert "PROBLEM: HSFUSION_BACKEND is 'moon'" in page(trial=False)["TEXT"]


def test_reference_blas_is_a_problem(monkeypatch):
    monkeypatch.setattr(blas, "blas_name", lambda: "reference BLAS")
    monkeypatch.setenv("HSFUSION_PYTHON", "/nowhere/python")
    assert "sudo apt-get install libopenblas0" in page(trial=False)["TEXT"]


@pytest.mark.parametrize(
    ("state", "speed", "said", "problem"),
    [
        ("bound", 20.0, "numpy was bound to its own library first", False),
        ("not needed", 20.0, "nothing in this process stands in its way", False),
        ("too late", 20.0, "before HSFusion could bind it", False),
        ("too late", 0.9, "start QGIS with LD_PRELOAD=libopenblas.so.0", True),
    ],
)
def test_what_was_done_about_a_slow_blas_of_qgis(monkeypatch, state, speed, said, problem):
    monkeypatch.setattr(diagnostics_page, "outcome", lambda: state)
    monkeypatch.setattr(blas, "blas_name", lambda: "OpenBLAS")
    monkeypatch.setattr(blas, "gigaflops", lambda: speed)
    monkeypatch.setenv("HSFUSION_PYTHON", "/nowhere/python")
    text = page(trial=False)["TEXT"]
    assert said in text and ("PROBLEM: numpy multiplies" in text) == problem


@pytest.mark.parametrize(
    ("maps", "name"),
    [
        ("7f /usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", "OpenBLAS"),
        ("7f /opt/numpy.libs/libopenblas64_p-r0-15028c96.3.21.so", "OpenBLAS"),
        ("7f /usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", "reference BLAS"),
    ],
)
def test_blas_by_what_is_loaded(monkeypatch, maps, name):
    monkeypatch.setattr(blas.Path, "read_text", lambda *args, **kwargs: maps)
    monkeypatch.setattr(blas, "_notes", lambda: "")
    assert blas.blas_name() == name


def test_blas_of_this_process():
    assert blas.blas_name() in ("OpenBLAS", "MKL", "BLIS", "Accelerate", "reference BLAS")
    assert blas.gigaflops() > 0.1
