"""The demo: its pieces, then the whole of it as scripts/demo runs it."""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["env", f"PYTHONPATH={ROOT}", "/usr/bin/python3", "-s", "-m", "scripts.dev.demo"]  # as scripts/demo calls it


@pytest.fixture(scope="module")
def demo():
    return importlib.import_module("hsfusion.scripts.dev.demo")


def write(path, values, pixel):
    """A (bands, rows, cols) array as a GeoTIFF with its upper left corner at (500000, 4500000)."""
    bands, rows, cols = values.shape
    target = gdal.GetDriverByName("GTiff").Create(str(path), cols, rows, bands, gdal.GDT_Float32)
    target.SetGeoTransform((500000, pixel, 0, 4500000, 0, -pixel))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32616)
    target.SetProjection(crs.ExportToWkt())
    target.WriteArray(values.astype(np.float32))
    target.FlushCache()
    return path


def test_sample_is_what_it_says(sample):
    scene = gdal.Open(str(sample))
    wavelengths = [float(scene.GetRasterBand(b + 1).GetMetadataItem("wavelength")) for b in range(scene.RasterCount)]
    assert (scene.RasterCount, scene.RasterXSize, scene.RasterYSize) == (200, 128, 128)
    assert wavelengths[0] == pytest.approx(400.02) and wavelengths[-1] == pytest.approx(2489.11)
    assert "APPROXIMATE" in scene.GetMetadataItem("GEOREFERENCE") and "10.4231/R7RX991C" in scene.GetMetadataItem(
        "CITATION"
    )
    assert osr.SpatialReference(scene.GetProjection()).GetAuthorityCode(None) == "32616"


def test_interpolation_is_phase_exact(demo, tmp_path):
    """Cubic interpolation keeps a plane; half a pixel of shift would move it by 2 units."""
    fine = np.add.outer(10.0 * np.arange(64), np.arange(64))[None]
    coarse = fine.reshape(1, 16, 4, 16, 4).mean(axis=(2, 4))
    hsi, msi = write(tmp_path / "hsi.tif", coarse, 40), write(tmp_path / "msi.tif", fine, 10)
    result = demo.interpolate(hsi, msi, tmp_path / "out.tif")
    inside = gdal.Open(str(result.raster)).ReadAsArray()[12:-12, 12:-12]
    np.testing.assert_allclose(inside, fine[0, 12:-12, 12:-12], atol=1e-3)


def test_quicklook_shows_panels_side_by_side_in_one_stretch(demo, tmp_path, sample):
    png = tmp_path / "look.png"
    demo.quicklook([sample, sample], png, height=128)
    picture = gdal.Open(str(png)).ReadAsArray()
    assert picture.shape == (3, 128, 128 + 4 + 128)
    np.testing.assert_array_equal(picture[:, :, :128], picture[:, :, 132:])
    assert picture[:, :, :128].std() > 20


def test_percentiles_of_a_histogram(demo):
    percentiles = importlib.import_module("hsfusion.scripts.dev.quicklook").percentiles
    low, high = percentiles({"min": 0.0, "max": 100.0, "count": 100, "buckets": [1] * 100})
    assert low == pytest.approx(1, abs=1) and high == pytest.approx(98, abs=1)


def test_table_leaves_out_what_is_not_known(demo, tmp_path):
    text = demo.table([demo.Fused("GLP-HS", tmp_path, 1.5, {"PSNR": 31.25, "SAM": None})], demo.METRICS)
    assert "31.25" in text and " - " in text and "1.5" in text


@pytest.mark.parametrize("arguments", [["one.tif"], ["no.tif", "such.tif"]])
def test_wrong_arguments_are_refused(root, arguments):
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "error:" in done.stderr


@pytest.mark.slow
@pytest.mark.backend
def test_demo_from_end_to_end(root, tmp_path):
    """The bundled scene, then the pair that it made taken as the user's own."""
    command = COMMAND
    env = {k: v for k, v in os.environ.items() if not k.startswith("HSFUSION_")}
    done = subprocess.run([*command, "--output", tmp_path / "a"], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.count(".") >= 5]
    psnr = {row[0]: float(row[-5]) for row in rows}
    assert psnr["GLP-HS"] > psnr["interpolation"] and psnr["diffusion"] > psnr["interpolation"]
    for name in ("fused.tif", "fused.qml", "fused.json", "fusion.html", "evaluation_fused.html", "quicklook.png"):
        assert (tmp_path / "a" / name).stat().st_size > 0

    pair = [tmp_path / "a" / "hsi.tif", tmp_path / "a" / "msi.tif"]
    done = subprocess.run(
        [*command, *pair, "--output", tmp_path / "b"], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / "fused.tif").is_file() and (tmp_path / "b" / "quicklook.png").is_file()
