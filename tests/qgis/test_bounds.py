"""While a job runs, GDAL's cache and linear algebra keep to their limits; afterwards QGIS has its own back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.run.process_limits import BLOCK_CACHE, LARGEST_CACHE, bounded, make_room
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster

ROOT = Path(__file__).resolve().parents[2]


def test_gdals_cache_is_bounded_while_a_job_runs_and_given_back_after_the_last():
    before = gdal.GetCacheMax()
    gdal.SetCacheMax(10 * BLOCK_CACHE)
    try:
        with bounded():
            assert gdal.GetCacheMax() == BLOCK_CACHE
            with bounded():
                pass
            assert gdal.GetCacheMax() == BLOCK_CACHE
        assert gdal.GetCacheMax() == 10 * BLOCK_CACHE
        gdal.SetCacheMax(BLOCK_CACHE // 2)
        with bounded():
            assert gdal.GetCacheMax() == BLOCK_CACHE // 2
    finally:
        gdal.SetCacheMax(before)


def test_strips_get_room_until_the_job_ends(tmp_path):
    before = gdal.GetCacheMax()
    make_room(1_000_000)  # without a job nothing changes
    assert gdal.GetCacheMax() == before
    with bounded():
        make_room(5_000_000)
        assert gdal.GetCacheMax() == BLOCK_CACHE + 5_000_000
        make_room(10 * LARGEST_CACHE)
        assert gdal.GetCacheMax() == LARGEST_CACHE
    assert gdal.GetCacheMax() == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["BLOCKYSIZE=2"], (64 + 2) * 900 * 3 * 2), (["TILED=YES", "BLOCKXSIZE=128", "BLOCKYSIZE=128"], 0)],
)
def test_what_strips_take(tmp_path, options, expected):
    path = str(tmp_path / "raster.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(path, 900, 200, 3, gdal.GDT_UInt16, options)
    dataset.GetRasterBand(1).Fill(1)
    dataset = None
    assert Raster.open(path).strip_bytes(64) == expected


_THREADS = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
import numpy
numpy.ones((9, 9)) @ numpy.ones((9, 9))
from hsfusion.hsfusion_plugin.jobs.run import linear_algebra, process_limits
def threads():
    return [count() for _, count in linear_algebra._openblas()]
before = threads()
with process_limits.bounded():
    inside = threads()
print(all(n == 1 for n in inside), before == threads())
"""


def test_linear_algebra_has_one_thread_while_a_job_runs():
    command = [sys.executable, "-c", _THREADS, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin"})
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr
