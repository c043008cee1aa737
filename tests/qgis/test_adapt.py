"""hsfusion:adapt through `qgis_process`: a real short adaptation, its file in hsfusion:fuse, cancel, and what is
refused.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.local.interpreter import find_python
from hsfusion.hsfusion_plugin.backend.settings import PLUGIN_FOLDER, Settings
from hsfusion.models.cards import check_weights, model_info
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.tests.qgis import pairs
from hsfusion.tests.qgis.test_backend_faults import children, log_of, wait_for

pytestmark = pytest.mark.backend
ADAPT = "hsfusion:adapt"
# A small model that is wrong on purpose, so that seconds of training are enough to gain.
WRONG = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
import torch
from hsfusion.models.runners.subspace import build_network
from hsfusion.models.cards import OBJECTIVE
from hsfusion.models.runners.weights import save_model
settings = {"components": 4, "width": 8, "depth": 1}
card = {
    "name": "wrong", "architecture": "subspace-unet", "settings": settings, "spectral_mode": "subspace", "components": 4,
    "objective": OBJECTIVE,
    "ratios": [2.0, 8.0], "schedule": {"kind": "zero-terminal-cosine", "steps": 1000}, "default_steps": 1, "tile_multiple": 8, "halo": 32,
}
network = build_network(settings)
torch.manual_seed(0)
state = {k: v + (0.3 * torch.randn_like(v) if "head.bias" in k else 0) for k, v in network.state_dict().items()}
save_model(sys.argv[2], state, card)
"""  # noqa: E501


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(HSI, MSI): 48 x 48 HSI pixels, ratio 2."""
    folder, truth = tmp_path_factory.mktemp("pair"), np.tile(pairs.scene(), (1, 1, 1))[:, :96, :96]
    random = np.random.default_rng(1)
    coarse = Degradation.whole(Sampling(2, 1.0, 1.0), (96, 96))(truth) + random.normal(0, 4, (pairs.BANDS, 48, 48))
    fine = truth[[2, 5, 9, 17]] + random.normal(0, 4, (4, 96, 96))
    hsi = pairs.write(folder / "hsi.tif", coarse, 20.0, wavelengths=pairs.WAVELENGTHS)
    return hsi, pairs.write(folder / "msi.tif", fine, 10.0, wavelengths=pairs.WAVELENGTHS[[2, 5, 9, 17]])


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "wrong.safetensors"
    subprocess.run([str(find_python(Settings())), "-I", "-c", WRONG, str(PLUGIN_FOLDER), str(path)], check=True)
    return path


@pytest.fixture
def out(tmp_path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_an_adapted_model_is_written_and_fuses(qgis_process, pair, wrong, out):
    hsi, msi = pair
    result = qgis_process(
        ADAPT,
        HSI=hsi,
        MSI=msi,
        MODEL_FILE=wrong,
        MINUTES=0.2,
        OUTPUT_MODEL=out / "mine.safetensors",
        REPORT=out / "report.html",
    )
    assert result.outputs["VALIDATION_GAIN"] > 0 and result.outputs["OUTPUT_MODEL"] == str(out / "mine.safetensors")
    assert {path.name for path in out.iterdir()} == {"mine.safetensors", "report.html"}
    assert check_weights(out / "mine.safetensors")
    story = model_info(out / "mine.safetensors").card["adaptation"]
    assert story["parent"] == {"name": "wrong", "sha256": model_info(wrong).sha256}
    assert story["pair"]["hsi"] == "hsi.tif" and story["validation_gain_db"] == round(
        result.outputs["VALIDATION_GAIN"], 3
    )
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("Gain on the judging parts", "qgis_process run hsfusion:adapt", "Loss", "PSF FWHM"):
        assert words in page, words
    fused = qgis_process(
        "hsfusion:fuse", HSI=hsi, MSI=msi, MODEL_FILE=out / "mine.safetensors", GUARD="false", OUTPUT=out / "fused.tif"
    )
    assert fused.outputs["USED_METHOD"] == "mine" and np.isfinite(pairs.read(out / "fused.tif")).all()
    record = json.loads((out / "fused.json").read_text(encoding="utf-8"))
    assert record["model"]["sha256"] == model_info(out / "mine.safetensors").sha256


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="POSIX signals")
def test_a_cancel_ends_it_at_once_and_leaves_nothing(qgis_process, pair, wrong, out):
    hsi, msi = pair
    process = qgis_process.start(
        ADAPT,
        HSI=hsi,
        MSI=msi,
        MODEL_FILE=wrong,
        MINUTES=5,
        OUTPUT_MODEL=out / "mine.safetensors",
        REPORT=out / "report.html",
    )
    try:
        child = wait_for(lambda: children(process.pid))[0]
        wait_for(lambda: "adaptation of wrong" in log_of(child).read_text())
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        stdout, stderr = process.communicate(timeout=60)
        seconds = time.monotonic() - began
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 1 and "cancelled" in stdout + stderr
    assert seconds < 2
    assert list(out.iterdir()) == []


def refused(qgis_process, out, words, environment=None, **parameters):
    result = qgis_process(
        ADAPT, environment, check=False, **{"OUTPUT_MODEL": out / "mine.safetensors", "MINUTES": 0.1, **parameters}
    )
    assert result.code == 1 and words in result.error, result.error
    assert "Traceback" not in result.error and list(out.iterdir()) == []


def test_what_cannot_be_adapted_is_said(qgis_process, pair, wrong, out, tmp_path):
    hsi, msi = pair
    given = {"HSI": hsi, "MSI": msi, "MODEL_FILE": wrong}
    refused(qgis_process, out, "end its name in .safetensors", **{**given, "OUTPUT_MODEL": out / "mine.pt"})
    refused(qgis_process, out, "which has no weights to adapt", **{**given, "MODEL": "glp-hs", "MODEL_FILE": None})
    refused(qgis_process, out, "MINUTES must be a number from 0.05 to 240", **{**given, "MINUTES": 0})
    small = pairs.write(tmp_path / "small.tif", pairs.read(hsi)[:, :30, :30], 20.0, wavelengths=pairs.WAVELENGTHS)
    refused(qgis_process, out, "in 30 x 30 HSI pixels, and adaptation needs 40 x 40", **{**given, "HSI": small})


def test_a_server_without_the_extension_is_refused_in_a_sentence(qgis_process, pair, wrong, out):
    card = model_info(wrong).card

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            plain = {"/v2": {"name": "other", "version": "1", "extensions": ["binary_tensor_data"]}}
            models = {"models": [{"name": "wrong", "sha256": "0" * 64, "card": card}]}
            body = json.dumps({**plain, "/v2/models": models}.get(self.path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        environment = {"HSFUSION_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        given = {"HSI": pair[0], "MSI": pair[1], "MODEL": "wrong", "BACKEND": "remote"}
        refused(qgis_process, out, "does not offer scene adaptation: set BACKEND to local", environment, **given)
    finally:
        server.shutdown()
        server.server_close()
