"""`scripts/benchmark.py reproduce`: data in the layouts of the distributed files, tiny networks, the papers' tables;
what is wrong is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml

from hsfusion.models.metrics.radiometric import band_statistics, ergas
from hsfusion.scripts.benchmarking.papers.catalogue import PAPERS
from hsfusion.scripts.benchmarking.papers.command import CONFIGS, main
from hsfusion.scripts.benchmarking.papers.score import with_truth
from hsfusion.scripts.data.scenes import read_raster

h5py = pytest.importorskip("h5py")
torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
TINY = {
    "ddpm-fus": {"width": 8, "levels": 2, "groups": 4},
    "hsr-diff": {"width": 8, "layers": 1, "heads": 2, "window": 8},
    "ddrf": {"width": 8, "multipliers": [1, 2], "blocks": 1},
}


@pytest.fixture(scope="module")
def make_scene(make_scene):
    """Scenes with values from 0 to 1."""

    def unit(bands, rows, cols, seed=0):
        cube = make_scene(bands, rows, cols, seed=seed)
        return (cube - cube.min()) / np.ptp(cube)

    return unit


@pytest.fixture
def configs(tmp_path) -> Path:
    """The papers' configurations with tiny networks, one step, few sampling steps."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for path in CONFIGS.glob("*-*.yaml"):
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        if plain.get("architecture") not in TINY or path.stem == "hsr-diff":
            continue
        size = 32 if plain["observation"]["ratio"] == 32 else 24 if plain["observation"]["ratio"] == 3 else 16
        plain.update(settings=TINY[plain["architecture"]], stages=[{"size": size, "batch": 2, "steps": 1}])
        plain.update(window=size, overlap=4, default_steps=2)
        (folder / path.name).write_text(yaml.safe_dump(plain), encoding="utf-8")
    return folder


@pytest.fixture
def reproduce(tmp_path, configs):
    (tmp_path / "data").mkdir()

    def run(paper: str, *options: str) -> str:
        where = ["--data", str(tmp_path / "data"), "--config", str(configs), "--out", str(tmp_path / "out")]
        assert main(["--paper", paper, *where, *options]) == 0
        return (tmp_path / "out" / f"{paper}.md").read_text(encoding="utf-8")

    return run


def cave_folder(place: Path, cube: np.ndarray) -> None:
    """As CAVE is distributed: a folder in a folder, 31 PNG files of 16 bit and a picture."""
    (place / place.name).mkdir(parents=True)
    profile = {"driver": "PNG", "height": cube.shape[1], "width": cube.shape[2], "count": 1, "dtype": "uint16"}
    for number, band in enumerate(np.round(60000 * cube).astype(np.uint16), start=1):
        with rasterio.open(place / place.name / f"{place.name}_{number:02d}.png", "w", **profile) as file:
            file.write(band, 1)


def pancollection(path: Path, make_scene, truth: bool, bands: int = 8) -> None:
    fine = np.stack([make_scene(bands + 1, 32, 32, seed=s) for s in (1, 2)])
    low = fine[:, :bands].reshape(2, bands, 8, 4, 8, 4).mean(axis=(3, 5))
    with h5py.File(path, "w") as file:
        file["ms"], file["pan"] = (2047 * low).round(), (2047 * fine[:, bands:]).round()
        file["lms"] = np.zeros((2, bands, 32, 32))
        if truth:
            file["gt"] = (2047 * fine[:, :bands]).round()


def test_cave_as_it_is_distributed(reproduce, make_scene, tmp_path):
    for name in ("balloons_ms", "jelly_beans_ms"):
        cave_folder(tmp_path / "data" / name, make_scene(31, 256, 256))
    text = reproduce("ddpm-fus", "--sets", "cave", "--available")
    assert "| DDPM-Fus, printed | 43.66 | 5.69 | 0.34 |" in text and "| method | PSNR | SAM | ERGAS | SSIM |" in text
    assert "1 test scenes" in text and "beads_ms" in text, "what is not there is named"
    kept = tmp_path / "out" / "ddpm-fus-cave" / "images" / "jelly_beans_ms.json"
    image, _ = read_raster(kept.with_suffix(".tif"))
    assert image.shape == (31, 256, 256) and np.isfinite(image).all()
    numbers = json.loads(kept.read_text())["network"]
    truth = np.round(60000 * make_scene(31, 256, 256))
    again = with_truth(truth, image, 32, 65535.0)
    assert numbers["PSNR"] == pytest.approx(again["PSNR"], abs=1e-3) and numbers["SAM"] == pytest.approx(
        again["SAM"], abs=1e-2
    )
    kept.write_text(json.dumps({m: dict.fromkeys(numbers, 1.0) for m in ("network", "interpolation", "glp-hs")}))
    assert "| this network, measured | 1 | 1 | 1 | 1 |" in reproduce("ddpm-fus", "--sets", "cave", "--available")


def test_pancollection_at_both_resolutions(reproduce, make_scene, tmp_path):
    data = tmp_path / "data"
    for name, truth in (("train_wv3", True), ("test_wv3_multiExm1", True), ("test_wv3_OrigScale_multiExm1", False)):
        pancollection(data / f"{name}.h5", make_scene, truth)
    text = reproduce("ddrf", "--sets", "wv3-reduced,wv3-full")
    assert "| DDRF, printed | 2.77 | 2.05 |" in text and "| method | D_LAMBDA | D_S | HQNR |" in text
    assert len(list((tmp_path / "out" / "ddrf-wv3-full" / "images").glob("*.tif"))) == 2


def test_hypsen_runs_the_network_of_pavia_university(reproduce, make_scene, tmp_path):
    """103 bands, 6 MSI bands, ratio 4 -> 84 bands, 4 MSI bands, ratio 3: interpolated, without training on the pair."""
    import scipy.io

    data = tmp_path / "data"
    scipy.io.savemat(data / "PaviaU.mat", {"paviaU": np.moveaxis(make_scene(103, 160, 160), 0, -1)})
    profile = {"driver": "GTiff", "dtype": "float32"}
    for name, cube in (("hyperion", make_scene(84, 24, 24)), ("sentinel2", make_scene(4, 72, 72))):
        with rasterio.open(
            data / f"{name}.tif", "w", count=len(cube), height=cube.shape[1], width=cube.shape[2], **profile
        ) as f:
            f.write(cube.astype(np.float32))
    configs = tmp_path / "configs" / "hsr-diff-paviau.yaml"
    plain = yaml.safe_load(configs.read_text())
    plain["train"] = [{"file": "PaviaU", "variable": "paviaU", "rows": [128, 160]}]
    configs.write_text(yaml.safe_dump(plain))
    text = reproduce("hsr-diff", "--sets", "paviau,hypsen")
    assert "hypsen" in text and "| HSR-Diff, printed | 46.47 | 1.45 | 1.053 |" in text
    image, _ = read_raster(next((tmp_path / "out" / "hsr-diff-hypsen" / "images").glob("*.tif")))
    assert image.shape == (84, 72, 72)


def test_what_is_wrong_is_one_sentence(reproduce, make_scene, tmp_path):
    data = tmp_path / "data"
    with pytest.raises(SystemExit, match="There is no test_gf2_multiExm1 in .*PanCollection: train_gf2.h5"):
        reproduce("ddrf", "--sets", "gf2-reduced")
    pancollection(data / "test_wv3_multiExm1.h5", make_scene, truth=False)
    with pytest.raises(
        SystemExit, match="has no array gt .it has: lms, ms, pan.: a PanCollection file holds gt, ms, pan"
    ):
        reproduce("ddrf", "--sets", "wv3-reduced")
    pancollection(data / "test_qb_multiExm1.h5", make_scene, truth=True, bands=8)
    with pytest.raises(SystemExit, match=r"The array ms of .* has the shape \(2, 8, 8, 8\); it must be \(2, 4, 8, 8\)"):
        reproduce("ddrf", "--sets", "qb-reduced")
    (data / "test_wv3_multiExm1.h5").write_text("no")
    with pytest.raises(SystemExit, match="is not an HDF5 file of PanCollection"):
        reproduce("ddrf", "--sets", "wv3-reduced")
    with pytest.raises(SystemExit, match="has no data set moon: choose of cave, chikusei, pavia-centre"):
        reproduce("ddpm-fus", "--sets", "moon")
    with pytest.raises(SystemExit, match="There are no weights .*train hsr-diff-paviau first"):
        for name, bands, size in (("hyperion", 84, 24), ("sentinel2", 4, 72)):
            with rasterio.open(data / f"{name}.tif", "w", "GTiff", size, size, bands, dtype="float32") as file:
                file.write(make_scene(bands, size, size).astype(np.float32))
        reproduce("hsr-diff", "--sets", "hypsen")


def test_numbers_are_of_eight_bit_images():
    """A constant error of one 8-bit step: 20 log10 255 = 48.13 dB whatever the unit of the data; ERGAS is per pixel
    ratio."""
    truth = np.linspace(0.2, 1.0, 2 * 40 * 40).reshape(2, 40, 40)
    found = with_truth(65535 * truth, 65535 * (truth - 1 / 255), 32, 65535.0)
    assert found["PSNR"] == pytest.approx(20 * np.log10(255), abs=1e-6)
    statistics = band_statistics(truth * 255, truth * 255 - 1)
    assert found["ERGAS"] == pytest.approx(ergas(statistics, 32), rel=1e-6)


def test_every_data_set_has_its_configuration():
    for sets in PAPERS.values():
        for data in sets:
            assert (CONFIGS / f"{data.config}.yaml").exists()
            assert all(set(numbers) <= set(data.columns) for numbers in data.printed.values())
