"""scripts/benchmark.py: one command, a table and a CSV with every method."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
ROOT = Path(__file__).resolve().parents[2]


def write_scene(path: Path) -> None:
    """A cube of smooth fields and edges mixed from five spectra."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[0:64, 0:64]
    abundance = np.stack(
        [np.sin(rows / (3 + i) + i) * np.cos(cols / (2 + i)) + ((rows + i * cols) % 17 > 8) for i in range(5)]
    )
    spectra = rng.random((40, 5)).cumsum(axis=0) + 5
    cube = (100 * np.tensordot(spectra, abundance + 2, axes=1)).astype(np.float32)
    with rasterio.open(path, "w", driver="GTiff", height=64, width=64, count=40, dtype="float32") as target:
        target.write(cube)
        for band in range(40):
            target.update_tags(band + 1, wavelength=str(400 + 12 * band), wavelength_units="Nanometers")


@pytest.mark.slow
def test_table_and_rows(tmp_path):
    write_scene(tmp_path / "synthetic.tif")
    command = [sys.executable, "scripts/benchmark.py", "--scenes", str(tmp_path), "--cases", "clean,25 dB"]
    done = subprocess.run([*command, "--output", str(tmp_path / "table.md")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "table.md").read_text()
    assert "| clean: worst gain |" in text and "--scenes SCENES" in text and str(tmp_path) not in text
    with open(tmp_path / "table.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    methods = {row["method"] for row in rows}
    assert {"glp-hs*", "interpolation", "loc", "map", "average", "hsfusion-base", "guarded"} <= methods
    psnr = {(row["case"], row["method"]): float(row["psnr"]) for row in rows}
    assert psnr["clean", "glp-hs"] > psnr["clean", "interpolation"] + 3
    assert psnr["25 dB", "hsfusion-base"] > psnr["25 dB", "glp-hs"]


def test_an_unknown_scene_is_one_sentence(tmp_path):
    command = [sys.executable, "scripts/benchmark.py", "--scenes", str(tmp_path), "--names", "nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "no scene nowhere" in done.stderr and "Traceback" not in done.stderr
