"""Mosaics on a Ray cluster: the plugin's pixels, a run that goes on where it was broken off, a worker that is killed,
rasters by URL.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio

ROOT = Path(__file__).resolve().parents[2]
SIZE = 4096  # fine pixels of the large mosaic's sides; 10 bands at ratio 4
TOLERANCE = (
    1e-5  # of the largest value: windows are cut otherwise than the plugin's tiles, and sums run in another order
)


@pytest.fixture(scope="session")
def make_pair(tmp_path_factory):
    """make_pair(size): paths of HSI and MSI."""
    from hsfusion.scripts.benchmarking.speed.pair import write_pair

    def make(size: int) -> tuple[Path, Path]:
        return write_pair(tmp_path_factory.mktemp("pair"), size, size, 10)

    return make


@pytest.fixture
def mosaic(python_of, tmp_path):
    """mosaic(NAME=VALUE...): the running process; its output is read from `stdout`."""
    running: list[subprocess.Popen] = []

    def start(*options: str, **parameters) -> subprocess.Popen:
        command = [python_of("ray"), "-u", str(ROOT / "scripts" / "mosaic.py"), "--workers", "2", "--device", "cpu"]
        command += [*options, *(f"{name}={value}" for name, value in parameters.items())]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(process: subprocess.Popen) -> str:
    """Everything that it says; it must end well."""
    said = process.communicate()[0]
    assert process.returncode == 0, said[-4000:]
    print("\n" + "\n".join(line for line in said.splitlines() if re.match(r"(window|/|\w[\w-]*: \d+ windows)", line)))
    return said


def assert_same(found: Path, expected: Path) -> None:
    """Block by block, since all of it would be large."""
    apart = peak = 0.0
    with rasterio.open(found) as a, rasterio.open(expected) as b:
        assert (a.shape, a.count, a.transform, a.crs, a.dtypes) == (b.shape, b.count, b.transform, b.crs, b.dtypes)
        assert a.descriptions == b.descriptions
        assert a.profile["tiled"] and max(a.block_shapes[0]) <= 512
        for _, window in a.block_windows(1):
            x, y = a.read(window=window), b.read(window=window)
            np.testing.assert_array_equal(np.isnan(x), np.isnan(y))
            apart, peak = max(apart, float(np.nanmax(np.abs(x - y)))), max(peak, float(np.nanmax(y)))
    print(f"largest difference {apart:.2e} of {peak:.0f}")
    assert apart <= TOLERANCE * peak


def workers_of(text: str) -> list[int]:
    return sorted({int(pid) for pid in re.findall(r"by process (\d+)", text)})


def test_a_large_mosaic_broken_off_and_with_a_worker_killed(mosaic, make_pair, qgis_process, tmp_path):
    hsi, msi = make_pair(SIZE)
    output, plugin = tmp_path / "mosaic.tif", tmp_path / "plugin.tif"
    wanted = {"HSI": hsi, "MSI": msi, "METHOD": "average"}
    first = mosaic(**wanted, OUTPUT=output)
    said = ""
    while len(re.findall(r"^window", said, re.MULTILINE)) < 20:
        line = first.stdout.readline()
        assert line, said
        said += line
    os.kill(workers_of(said)[0], signal.SIGKILL)  # Ray starts another one, and the run goes on
    while len(re.findall(r"^window", said, re.MULTILINE)) < 36:
        line = first.stdout.readline()
        assert line, said
        said += line
    os.killpg(first.pid, signal.SIGKILL)  # and now the whole run
    first.wait()
    assert not output.exists() and len(workers_of(said)) == 3
    kept = len(list((tmp_path / ".mosaic.tif.windows").rglob("*.npz")))
    assert kept >= 36
    end = time.monotonic() + 60
    while leftovers() and time.monotonic() < end:
        time.sleep(0.5)
    second = finish(mosaic(**wanted, OUTPUT=output))
    assert int(re.search(r"64 windows, (\d+) of them finished before", second)[1]) >= kept
    assert len(workers_of(second)) == 2
    assert not (tmp_path / ".mosaic.tif.windows").exists()
    began = time.monotonic()
    qgis_process("hsfusion:fuseclassical", **wanted, OUTPUT=plugin)
    print(f"the plugin: {time.monotonic() - began:.1f} s")
    assert_same(output, plugin)


def leftovers() -> list[str]:
    """Processes of a Ray whose driver was killed, in this network namespace; they end by themselves."""
    own, found = os.readlink("/proc/self/ns/net"), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() in ("raylet", "gcs_server") and os.readlink(
                folder / "ns/net"
            ) == own:
                found.append(folder.name)
    return found


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Answers requests for a part of a file, as object stores do."""

    protocol_version = "HTTP/1.1"
    asked: list[str] = []

    def do_GET(self):
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not (found and path.is_file()):
            return super().do_GET()
        size = path.stat().st_size
        start, stop = int(found[1]), min(int(found[2] or size - 1), size - 1)
        with path.open("rb") as stream:
            stream.seek(start)
            data = stream.read(stop - start + 1)
        self.asked.append(self.path)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def site(make_pair):
    """Address of a pair of rasters on a web server, and the handler that counts."""
    hsi, msi = make_pair(640)
    handler = partial(_Ranges, directory=str(hsi.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", hsi, msi
    server.shutdown()
    server.server_close()


def test_the_model_on_rasters_by_url_as_the_plugin_has_it(mosaic, site, serve, qgis_process, tmp_path):
    """In float32: bfloat16 turns the last digit of the estimates, which differ from numpy to numpy, into the third of
    the result.
    """
    address, hsi, msi = site
    output, plugin = tmp_path / "mosaic.tif", tmp_path / "plugin.tif"
    wanted = {"MODEL": "hsfusion-base", "GUARD": "true", "SEED": 3, "SAMPLES": 1, "TILE_SIZE": 256}
    exact = ("--precision", "float32")
    finish(mosaic(*exact, HSI=f"{address}/hsi.tif", MSI=f"{address}/msi.tif", **wanted, OUTPUT=output))
    assert {"/hsi.tif", "/msi.tif"} <= set(_Ranges.asked)
    with serve("", "serve.py", *exact, ready="/v2/health/ready") as served:
        remote = {"HSFUSION_ENDPOINT": served.client.endpoint}
        qgis_process("hsfusion:fuse", remote, HSI=hsi, MSI=msi, **wanted, BACKEND="remote", OUTPUT=plugin)
    assert_same(output, plugin)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"METHOD": "hysure"}, "does not work in windows"),
        ({"METHOD": "average", "REPORT": "r.html"}, "REPORT is not made of a mosaic"),
        ({"METHOD": "average", "COLOUR": "red"}, "is no parameter of a mosaic"),
        ({"METHOD": "average", "SEED": "x"}, "cannot be read"),
    ],
)
def test_refusals(mosaic, make_pair, tmp_path, parameters, words):
    hsi, msi = make_pair(128)
    process = mosaic(HSI=hsi, MSI=msi, OUTPUT=tmp_path / "m.tif", **parameters)
    said = process.communicate()[0]
    assert process.returncode == 1 and words in said and "Traceback" not in said
