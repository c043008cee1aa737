"""Bad input through `qgis_process`: exit code 1, one sentence, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.fuse import with_model as fusion
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis import pairs

EMPTY = np.full((pairs.BANDS, *pairs.COARSE), np.nan)
COARSE_PIXEL = pairs.RATIO * pairs.PIXEL
NOISE = np.random.default_rng(0).normal(1000, 100, (pairs.BANDS, 360, 360))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pairs.Pair:
    return pairs.make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def out(tmp_path) -> Path:
    """The folder of outputs, which must be empty after a failure."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(qgis_process, backend, pair, out):
    """Run hsfusion:fuse on the pair with some parameters replaced; the run must fail with these words and leave
    nothing.
    """

    def run(*words: str, algorithm: str = "hsfusion:fuse", env: dict[str, str] | None = None, **parameters) -> None:
        given = {"HSI": pair.hsi, "MSI": pair.msi, "OUTPUT": out / "fused.tif", **parameters}
        result = qgis_process(algorithm, env={**backend, **(env or {})}, check=False, timeout=120, **given)
        assert result.code == 1, result.error
        assert "Traceback" not in result.error
        said = [line for line in result.error.splitlines() if all(word in line for word in words)]
        assert said, f"{words} not in:\n{result.error}"
        assert said[0].rstrip().endswith(".") and len(said[0]) < 400, said[0]
        assert list(out.iterdir()) == []

    return run


@pytest.fixture
def refused_here(backend, pair, out, monkeypatch):
    """The same by the job alone, which saves the time QGIS takes to start."""
    for name, value in backend.items():
        monkeypatch.setenv(name, value)

    def run(*words: str, job=fusion, **changes) -> None:
        request = FusionRequest(hsi=str(pair.hsi), msi=str(pair.msi), output=str(out / "fused.tif"))
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in changes.items()}
        with pytest.raises(HSFusionError) as caught:
            job.run(replace(request, **plain), Progress())
        assert all(word in str(caught.value) for word in words), caught.value
        assert list(out.iterdir()) == []

    return run


def copy_of(pair: pairs.Pair, path: Path, **changes) -> Path:
    """The HSI with something wrong about it."""
    values = changes.pop("values", pairs.read(pair.hsi))
    count = len(values)
    return pairs.write(
        path, values, changes.pop("pixel", COARSE_PIXEL), wavelengths=pairs.WAVELENGTHS[:count], **changes
    )


HSI_PROBLEMS = {
    "no overlap": ({"corner": (800000.0, 5600000.0)}, ("do not overlap",)),
    "no overlap in another CRS": ({"epsg": 32633}, ("do not overlap", "32N", "33N")),
    "finer than the MSI": ({"pixel": 5.0}, ("not larger than the MSI's", "swapped")),
    "all nodata": ({"values": EMPTY}, ("HSI", "only nodata")),
    "one band": ({"values": np.ones((1, *pairs.COARSE))}, ("1 usable band", "at least 2")),
}


@pytest.mark.parametrize("problem", HSI_PROBLEMS)
def test_hsi(refused, pair, tmp_path, problem):
    changes, words = HSI_PROBLEMS[problem]
    refused(*words, HSI=copy_of(pair, tmp_path / "bad.tif", **changes))


def test_one_band_with_data(refused_here, pair, tmp_path):
    values = np.concatenate([pairs.read(pair.hsi)[:1], EMPTY[1:]])
    refused_here("1 band", "at least 2", hsi=copy_of(pair, tmp_path / "bad.tif", values=values))


def test_rotated_msi(refused_here, pair, tmp_path):
    """The result lies on the MSI's grid, and resampling that is the user's decision."""
    turned = pairs.write(tmp_path / "bad.tif", pairs.read(pair.msi), pairs.PIXEL, rotation=1.0)
    refused_here("MSI", "rotated", "gdalwarp", msi=turned)


def test_msi_without_data(refused_here, tmp_path):
    empty = pairs.write(tmp_path / "bad.tif", np.full((4, *pairs.FINE), np.nan), pairs.PIXEL)
    refused_here("MSI", "only nodata", msi=empty)


def test_extent_outside(refused):
    refused("EXTENT lies outside", EXTENT="600000,601000,5600000,5601000 [EPSG:32632]")


def test_no_such_model(refused):
    refused("no model called 'nothere'", "hsfusion-base", MODEL="nothere")


def test_damaged_model(refused, model_file, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(model_file.read_bytes()[:-1000])
    refused("damaged.safetensors", "damaged", MODEL_FILE=damaged)


def test_foreign_model(refused, tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    refused("foreign.safetensors", "belongs to another program", MODEL_FILE=foreign)


def test_model_for_other_ratios(refused_here, tmp_path):
    """A ratio that no card of ours covers."""
    coarse = pairs.write(tmp_path / "hsi.tif", NOISE[:, :12, :12], 300.0, wavelengths=pairs.WAVELENGTHS)
    fine = pairs.write(tmp_path / "msi.tif", NOISE[:4], 10.0)
    refused_here("ratios", "30", hsi=coarse, msi=fine)


def test_interpreter_without_torch(refused):
    refused("no torch", "hsfusion:setupbackend", "hsfusion:fuseclassical", env={"HSFUSION_PYTHON": "/usr/bin/python3"})


def test_remote_without_endpoint(refused_here):
    refused_here("HSFUSION_ENDPOINT", backend="remote")


@pytest.mark.parametrize("algorithm", ["hsfusion:fuse", "hsfusion:fuseclassical"])
def test_output_that_cannot_be_written(refused, tmp_path, algorithm):
    (tmp_path / "file").write_text("not a folder")
    refused("OUTPUT", "folder", "exist", algorithm=algorithm, OUTPUT=tmp_path / "file" / "fused.tif")


def test_output_in_a_folder_that_takes_no_files(refused):
    refused("OUTPUT", "/proc", "choose another folder", OUTPUT="/proc/fused.tif")


def test_uncertainty_of_a_closed_form(refused_here, out):
    refused_here("UNCERTAINTY", "glp-hs", model="glp-hs", uncertainty=out / "std.tif")


def test_sensor_without_wavelengths(refused_here, pair, tmp_path):
    bare = pairs.write(tmp_path / "bare.tif", pairs.read(pair.hsi), COARSE_PIXEL)
    refused_here("SENSOR", "no wavelengths", job=classical, hsi=bare, sensor="Sentinel-2A")


def test_response_of_another_msi(refused_here, tmp_path):
    srf = tmp_path / "srf.csv"
    srf.write_text("wavelength,a,b\n" + "\n".join(f"{w},1,1" for w in range(400, 1000, 10)))
    refused_here("SRF_FILE", "2 bands", "4", job=classical, srf_file=srf)


# Ends that nobody asked for


def backend_of(pid: int) -> int | None:
    """The child process of a run that is the backend."""
    for folder in Path("/proc").iterdir():
        try:
            if (
                folder.name.isdigit()
                and f"PPid:\t{pid}\n" in (folder / "status").read_text()
                and b"serve.py" in (folder / "cmdline").read_bytes()
            ):
                return int(folder.name)
        except OSError:  # ended meanwhile
            continue
    return None


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_for(condition, seconds: float = 90.0):
    """The condition's first true value, or a failure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"nothing happened within {seconds:g} s")


@pytest.fixture
def long_run(qgis_process, backend, pair, out):
    """A fusion in the midst of a tile that takes minutes: (process, pid of its backend)."""
    process = qgis_process.start(
        "hsfusion:fuse", backend, HSI=pair.hsi, MSI=pair.msi, GUARD="false", SAMPLES=48, STEPS=1000,
        OUTPUT=out / "fused.tif", REPORT=out / "report.html",
    )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is not None or list(out.glob(".hsfusion-*")))
        assert process.poll() is None, process.communicate()
        child = wait_for(lambda: backend_of(process.pid))
        time.sleep(1.0)  # the tile is under way
        yield process, child
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cancel_during_a_tile(long_run, out, number):
    process, child = long_run
    started = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - started < 2.0
    assert process.returncode != 0
    assert "cancelled" in error and "Traceback" not in error
    assert list(out.iterdir()) == []
    wait_for(lambda: not alive(child), 1.0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes through /proc")
def test_the_backend_ends_with_a_killed_qgis(long_run, out):
    process, child = long_run
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    wait_for(lambda: not alive(child), 5.0)
    assert not (out / "fused.tif").exists()
    shutil.rmtree(out)
