"""What scripts/train.py reads as reference images: GeoTIFF, ENVI, .mat of both kinds, folders of images; and what it
says of wrong ones.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.full_band.config import Bands, Source
from hsfusion.tests.backend.full_band_tiny import tiny

rasterio = pytest.importorskip("rasterio")
scipy_io = pytest.importorskip("scipy.io")
ROOT = Path(__file__).resolve().parents[2]
WHERE = "Get it from https://example.org/scene."


@pytest.fixture(scope="module")
def read():
    """`read_reference` of the scripts."""
    from hsfusion.scripts.data.sources import read_reference

    return read_reference


@pytest.fixture(scope="module")
def cube(make_scene) -> np.ndarray:
    return make_scene(6, 20, 24)


def write(path: Path, cube: np.ndarray, driver: str = "GTiff", wavelengths=None, **options) -> None:
    count, height, width = cube.shape
    with rasterio.open(
        path, "w", driver=driver, height=height, width=width, count=count, dtype=cube.dtype.name, **options
    ) as target:
        target.write(cube)
        for band, value in enumerate(wavelengths or [], start=1):
            target.update_tags(band, wavelength=str(value), wavelength_units="Nanometers")


@pytest.mark.parametrize(("name", "driver"), [("one.tif", "GTiff"), ("one.dat", "ENVI")])
def test_rasters(read, tmp_path, cube, name, driver):
    write(tmp_path / name, cube, driver)
    for source in (Source(name), Source("one")):
        np.testing.assert_array_equal(read(source, tiny(), tmp_path).cube, cube)
    part = read(Source(name, rows=(4, 16), cols=(8, 24)), tiny(), tmp_path).cube
    np.testing.assert_array_equal(part, cube[:, 4:16, 8:24])


def test_matlab_files(read, tmp_path, cube):
    scipy_io.savemat(tmp_path / "one.mat", {"paviaU": np.moveaxis(cube, 0, -1), "note": "text"})
    for source in (Source("one.mat"), Source("one", variable="paviaU")):
        np.testing.assert_array_equal(read(source, tiny(), tmp_path).cube, cube)
    with pytest.raises(HSFusionError, match=rf"holds .*paviaU.*, not pavia. {WHERE}"):
        read(Source("one", variable="pavia"), tiny(obtain=WHERE), tmp_path)
    scipy_io.savemat(tmp_path / "two.mat", {"a": cube, "b": cube})
    with pytest.raises(HSFusionError, match="holds a, b: name one with the scene's key variable"):
        read(Source("two"), tiny(), tmp_path)


def test_matlab_7_3_files_are_hdf5_with_reversed_axes(read, tmp_path):
    """cube.h5 holds `cube`, 5 bands x 4 cols x 3 rows of 0, 1, 2, ..., as MATLAB stores rows x cols x bands."""
    (tmp_path / "one.mat").write_bytes((Path(__file__).parent / "cube.h5").read_bytes())
    config = tiny(bands=Bands(count=5, first=450, last=850))
    found = read(Source("one", variable="cube"), config, tmp_path).cube
    np.testing.assert_array_equal(found, np.arange(60).reshape(5, 4, 3).transpose(0, 2, 1))
    with pytest.raises(HSFusionError, match="has no array other that can be read"):
        read(Source("one", variable="other"), config, tmp_path)
    with pytest.raises(HSFusionError, match="is HDF5: name its array"):
        read(Source("one"), config, tmp_path)


def test_a_folder_of_images_is_a_cube(read, tmp_path):
    """CAVE: one 16-bit PNG per band, and an RGB picture that is none."""
    bands = np.random.default_rng(0).integers(0, 65535, (6, 1, 20, 24), dtype=np.uint16)
    (tmp_path / "toy" / "toy").mkdir(parents=True)
    for number, band in enumerate(bands, start=1):
        write(tmp_path / "toy" / "toy" / f"toy_{number:02d}.png", band, "PNG")
    write(tmp_path / "toy" / "toy" / "toy_RGB.bmp", np.zeros((3, 20, 24), np.uint8), "BMP")
    np.testing.assert_array_equal(read(Source("toy"), tiny(), tmp_path).cube, bands[:, 0])


def test_other_bands_are_resampled_where_that_is_asked_for(read, tmp_path, make_scene):
    fine = make_scene(41, 16, 16)
    fine[3] = 0.0  # a dead band
    write(tmp_path / "one.tif", fine, wavelengths=list(np.linspace(400, 900, 41)))
    found = read(Source("one"), tiny(bands=Bands(count=6, first=450, last=850, resample=True)), tmp_path).cube
    expected = fine[[4, 10, 17, 24, 30, 36]]
    assert found.shape == (6, 16, 16)
    assert np.abs(found - expected).mean() < 0.1 * np.abs(np.diff(expected, axis=0)).mean() + 60


def test_a_pair_keeps_its_own_msi(read, tmp_path, cube):
    pan = np.random.default_rng(0).random((2, 80, 96)).astype(np.float32)
    write(tmp_path / "ms.tif", cube)
    write(tmp_path / "pan.tif", pan)
    pair = read(Source("ms", msi="pan", rows=(4, 16)), tiny(), tmp_path)
    np.testing.assert_array_equal(pair.msi, pan[:, 16:64])
    with pytest.raises(HSFusionError, match="ms.tif has 6 bands instead of 2"):
        read(Source("ms", msi="ms"), tiny(), tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source("none"), rf"There is no none in .*\. {WHERE}"),
        (Source("few"), rf"few.tif has 5 bands instead of 6. {WHERE}"),
        (Source("text"), rf"text.mat cannot be read .*{WHERE}"),
        (Source("one", rows=(0, 30)), "has 20 rows, but rows 0 to 30 are asked for"),
    ],
    ids=lambda value: getattr(value, "file", ""),
)
def test_a_wrong_file_says_where_the_right_one_is(read, tmp_path, cube, source, message):
    write(tmp_path / "one.tif", cube)
    write(tmp_path / "few.tif", cube[:5])
    (tmp_path / "text.mat").write_text("not a matrix" * 50, encoding="utf-8")
    with pytest.raises(HSFusionError, match=message):
        read(source, tiny(obtain=WHERE), tmp_path)


@pytest.mark.slow
def test_a_dry_run_of_a_full_band_model_says_what_each_stage_takes(tmp_path, cube):
    plain = {
        "name": "tiny", "architecture": "hsr-diff", "settings": {"width": 8, "layers": 2, "heads": 2, "window": 4}, "train": ["one"],  # noqa: E501
        "bands": {"count": 6, "first": 450, "last": 850}, "msi": {"centres": [500, 700], "widths": [100, 100]},
        "stages": [{"size": 8, "batch": 2, "steps": 50}, {"size": 16, "batch": 1, "steps": 50}], "overlap": 4,
    }  # fmt: skip
    write(tmp_path / "one.tif", cube)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    command = [sys.executable, ROOT / "scripts" / "train.py", tmp_path / "tiny.yaml", "--data", tmp_path, "--dry-run"]
    done = subprocess.run(
        [*map(str, command), "--device", "cpu"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" in float32 (50 steps") == 2
    assert "parameters" in done.stdout and "expected duration" in done.stdout
