"""Writing: a file is whole, with everything that belongs to it, or it does not exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.rasters.grids.grid import Grid
from hsfusion.hsfusion_plugin.rasters.reading.metadata import BandInfo
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.hsfusion_plugin.rasters.writing import staging
from hsfusion.hsfusion_plugin.rasters.writing.provenance import metadata_items, write_provenance
from hsfusion.hsfusion_plugin.rasters.writing.quicklook import quicklook_png
from hsfusion.hsfusion_plugin.rasters.writing.staging import check_writable, staged, write_text
from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter, Stored, int16_scale
from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.listener import SILENT, Listener

GRID = (4e5, 10.0, 0.0, 5.8e6, 0.0, -10.0)


def cube(bands=3, rows=40, cols=50):
    return np.random.default_rng(3).normal(1000, 300, (bands, rows, cols)).astype(np.float32)


def opened(path, shape, finish=None, listener=SILENT, bands=None, **stored):
    count, rows, cols = shape
    return RasterWriter(
        path, Grid(rows, cols, GRID), bands or [BandInfo()] * count, Stored(**stored), finish=finish, listener=listener
    )


def write(path, array, **how):
    with opened(path, array.shape, **how) as writer:
        writer.write(0, 0, array)
    return Raster.open(path)


def whole(raster, **arguments):
    return raster.read(range(raster.rows), range(raster.cols), **arguments)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_windows_make_the_whole(tmp_path):
    array = cube(4, 300, 520)
    array[2, 280:, 500:] = np.nan
    array[:, 5, 5] = np.nan
    path = tmp_path / "out.tif"
    with opened(path, array.shape, nodata=-9999) as writer:
        for row in range(0, 300, 100):
            for col in range(0, 520, 256):
                assert not path.exists()
                writer.write(row, col, array[:, row : row + 100, col : col + 256])
    raster = Raster.open(path)
    np.testing.assert_array_equal(whole(raster), array)
    assert raster.nodata == -9999
    assert raster.geotransform == GRID
    assert names(tmp_path) == ["out.tif"]
    structure = gdal.Open(str(path)).GetMetadata("IMAGE_STRUCTURE")
    assert (structure["COMPRESSION"], structure["INTERLEAVE"]) == ("ZSTD", "BAND")
    assert gdal.Open(str(path)).GetRasterBand(1).GetBlockSize() == [128, 128]


@pytest.mark.parametrize(
    ("size", "options", "wanted"),
    [((600, 600), "", [256, 128]), ((100, 90), "", [112, 112]), ((600, 600), "BLOCKXSIZE=64|BLOCKYSIZE=32", [64, 32])],
)
def test_blocks_are_as_asked_for(tmp_path, size, options, wanted):
    path = tmp_path / "out.tif"
    with opened(path, (1, *size), options=options, block=(128, 256)) as writer:
        writer.write(0, 0, np.ones((1, *size)))
    assert gdal.Open(str(path)).GetRasterBand(1).GetBlockSize() == wanted


def test_what_is_never_written_is_nodata(tmp_path):
    path = tmp_path / "out.tif"
    with opened(path, (2, 300, 300)) as writer:
        writer.write(0, 0, np.ones((2, 10, 10)))
    values = whole(Raster.open(path))
    assert np.isfinite(values).sum() == 200


def test_int16_is_scaled(tmp_path):
    array = np.linspace(-0.2, 1.3, 600, dtype=np.float32).reshape(1, 20, 30)
    array[0, 3, 3] = np.nan
    scale = int16_scale(float(np.nanmax(array)))
    raster = write(tmp_path / "out.tif", array, dtype="Int16", scale=scale)
    assert scale == pytest.approx(1e-4)
    assert (raster.dtype, raster.nodata) == ("Int16", -32768)
    np.testing.assert_allclose(whole(raster, unscale=True), array, atol=scale / 2 * 1.01)


def test_int16_keeps_counts_and_the_files_own_scale(tmp_path):
    """Reflectance x 10000 with scale 1e-4, as many products come: the numbers stay, and so does the scale."""
    assert int16_scale(9604) == 1.0
    array = np.rint(cube(1))
    bands = [BandInfo(scale=1e-4, offset=-0.1)]
    for dtype in ("Int16", "Float32"):
        raster = write(tmp_path / f"{dtype}.tif", array, dtype=dtype, bands=bands)
        np.testing.assert_array_equal(whole(raster), array)
        assert (raster.bands[0].scale, raster.bands[0].offset) == pytest.approx((1e-4, -0.1))


def test_int16_counts_what_does_not_fit(tmp_path):
    with opened(tmp_path / "out.tif", (1, 1, 3), dtype="Int16") as writer:
        writer.write(0, 0, np.array([[[1.0, 40000.0, -1e6]]]))
    assert writer.clipped == 2
    assert whole(Raster.open(tmp_path / "out.tif")).ravel().tolist() == [1, 32767, -32767]


def test_a_value_equal_to_nodata_survives(tmp_path):
    raster = write(tmp_path / "out.tif", np.array([[[0.0, 1.0, np.nan]]]), nodata=0.0)
    values = whole(raster).ravel()
    assert np.isnan(values).tolist() == [False, False, True]
    assert values[0] == pytest.approx(0.0, abs=1e-30)


def test_options_as_qgis_writes_them(tmp_path):
    write(tmp_path / "a.tif", cube(), options="COMPRESS=LZW|tiled=NO")
    structure = gdal.Open(str(tmp_path / "a.tif")).GetMetadata("IMAGE_STRUCTURE")
    assert structure["COMPRESSION"] == "LZW"
    write(tmp_path / "b.tif", cube(), options="COMPRESS=NONE")
    assert "COMPRESSION" not in gdal.Open(str(tmp_path / "b.tif")).GetMetadata("IMAGE_STRUCTURE")


def test_overviews_and_cogs_for_those_who_want_them(tmp_path):
    array = cube(2, 600, 700)
    info = [BandInfo(description=f"b{n}", wavelength_nm=500.0 + n) for n in range(2)]
    for name, options in (("plain", ""), ("ovr", "OVERVIEWS=YES"), ("cog", "COG=YES|COMPRESS=DEFLATE")):
        write(tmp_path / f"{name}.tif", array, options=options, bands=info)
        raster = Raster.open(tmp_path / f"{name}.tif")
        np.testing.assert_array_equal(whole(raster), array)
        assert raster.wavelengths.tolist() == [500.0, 501.0]
    found = {path.stem: gdal.Open(str(path)) for path in tmp_path.glob("*.tif")}
    counts = {name: dataset.GetRasterBand(1).GetOverviewCount() for name, dataset in found.items()}
    assert counts["plain"] == 0 and counts["ovr"] >= 2 and counts["cog"] >= 2
    structure = found["cog"].GetMetadata("IMAGE_STRUCTURE")
    assert structure["LAYOUT"] == "COG" and structure["COMPRESSION"] == "DEFLATE"
    assert names(tmp_path) == ["cog.tif", "ovr.tif", "plain.tif"]


def test_a_cancel_while_overviews_are_made_leaves_nothing(tmp_path):
    class Impatient(Listener):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(RunCancelled):
        write(tmp_path / "out.tif", cube(2, 600, 700), options="OVERVIEWS=YES", listener=Impatient())
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("out.tif", {"options": "LZW"}, "OPTIONS"),
        ("out.tif", {"options": "COMPRESS=NOSUCH"}, "OPTIONS"),
        ("out.tif", {"dtype": "Float64"}, "Float32 or Int16"),
        ("out.img", {}, r"\.tif"),
        ("missing/out.tif", {}, "does not exist"),
        ("file/out.tif", {}, "does not exist"),
        ("folder.tif", {}, "is a folder"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, name, arguments, words):
    (tmp_path / "file").touch()
    (tmp_path / "folder.tif").mkdir()
    before = names(tmp_path)
    with pytest.raises(HSFusionError, match=words), opened(tmp_path / name, (1, 8, 8), **arguments):
        pytest.fail("the work must not begin")
    assert names(tmp_path) == before


def test_a_folder_where_nothing_can_be_made():
    folder = Path("/proc/self")  # not writable even for root
    if not folder.is_dir():
        pytest.skip("no such folder on this system")
    with pytest.raises(HSFusionError, match="cannot write in '/proc/self'"):
        check_writable(folder / "out.tif")


def test_an_input_is_not_overwritten(tmp_path):
    write(tmp_path / "msi.tif", cube())
    (tmp_path / "link.tif").symlink_to(tmp_path / "msi.tif")
    with pytest.raises(HSFusionError, match="one of the inputs"):
        check_writable(tmp_path / "msi.tif", inputs=[None, "", 'NETCDF:"x.nc":a', tmp_path / "link.tif"])
    assert check_writable(tmp_path / "new.tif", inputs=[tmp_path / "msi.tif"]) == tmp_path / "new.tif"


def test_no_room_is_said_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    with (
        pytest.raises(HSFusionError, match="1.00 MB left and up to 0.12 GB"),
        opened(tmp_path / "out.tif", (30, 1000, 1000)),
    ):
        pytest.fail("the work must not begin")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.name != "posix", reason="limits files as POSIX does")
def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    """A limit on file size stands in for a full disk: writing fails in the middle."""
    script = tmp_path / "fill.py"
    script.write_text(
        "import resource, signal, sys\n"
        "import numpy as np\n"
        "from hsfusion.hsfusion_plugin.rasters.grids.grid import Grid\n"
        "from hsfusion.hsfusion_plugin.rasters.reading.metadata import BandInfo\n"
        "from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter\n"
        "from hsfusion.models.errors import HSFusionError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    with RasterWriter(sys.argv[1], Grid(512, 512, (0, 1, 0, 0, 0, -1)), [BandInfo()] * 4) as writer:\n"
        "        for row in (0, 256):\n"
        "            writer.write(row, 0, np.random.default_rng(row).normal(size=(4, 256, 512)))\n"
        "except HSFusionError as error:\n"
        "    sys.exit(f'refused: {error}')\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    out.mkdir()
    run = subprocess.run([sys.executable, str(script), str(out / "x.tif")], capture_output=True, text=True)
    assert run.returncode == 1
    assert "refused: OUTPUT" in run.stderr
    assert "disk may be full" in run.stderr
    assert names(out) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, HSFusionError])
@pytest.mark.parametrize("where", ["writing", "finishing"])
def test_a_crash_leaves_the_old_file_or_nothing(tmp_path, error, where):
    def finish(path):
        path.with_suffix(".json").write_text("{}", encoding="utf-8")
        raise error("stop")

    def crash(path):
        with opened(path, (3, 40, 50), finish=finish if where == "finishing" else None) as writer:
            writer.write(0, 0, cube())
            if where == "writing":
                raise error("stop")

    with pytest.raises(error):
        crash(tmp_path / "new.tif")
    assert names(tmp_path) == []
    (tmp_path / "old.tif").write_bytes(b"earlier result")
    with pytest.raises(error):
        crash(tmp_path / "old.tif")
    assert names(tmp_path) == ["old.tif"]
    assert (tmp_path / "old.tif").read_bytes() == b"earlier result"


def test_everything_appears_together(tmp_path):
    def finish(path):
        assert names(tmp_path) != ["out.json", "out.tif"]
        write_provenance(path, {"method": "glp-hs"})

    write(tmp_path / "out.tif", cube(), finish=finish)
    assert names(tmp_path) == ["out.json", "out.tif"]


def test_statistics_of_an_earlier_raster_go_with_it(tmp_path):
    write(tmp_path / "out.tif", cube())
    (tmp_path / "out.tif.aux.xml").write_text("<PAMDataset/>", encoding="utf-8")
    write(tmp_path / "out.tif", cube())
    assert names(tmp_path) == ["out.tif"]


def test_text_is_written_whole_or_not(tmp_path):
    write_text(tmp_path / "report.html", "größer")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "größer"
    with pytest.raises(RuntimeError), staged(tmp_path / "report.html") as inside:
        inside.write_text("half", encoding="utf-8")
        raise RuntimeError
    with pytest.raises(HSFusionError, match="not written"), staged(tmp_path / "never.html"):
        pass
    assert names(tmp_path) == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "größer"


def test_provenance_beside_and_inside(tmp_path):
    raster = write(tmp_path / "out.tif", cube(), bands=[BandInfo(400.0 + i) for i in range(3)])
    record = {
        "method": "hsfusion-base",
        "psf": {"fwhm_y": np.float32(1.25), "fwhm_x": 1.5},
        "gain": np.array([1.0, np.nan]),
        "model-file": Path("x.safetensors"),
        "srf": np.zeros((40, 200)),
        "guard": None,
        "flag": np.bool_(True),
    }
    write_provenance(raster.path, record)
    stored = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert stored["psf"] == {"fwhm_y": 1.25, "fwhm_x": 1.5}
    assert stored["gain"] == [1.0, None]
    assert np.array(stored["srf"]).shape == (40, 200)
    copy = tmp_path / "copy.tif"
    subprocess.run(["gdal_translate", "-q", str(raster.path), str(copy)], check=True)
    items = gdal.Open(str(copy)).GetMetadata()
    assert items["HSFUSION_METHOD"] == "hsfusion-base"
    assert items["HSFUSION_PSF_FWHM_Y"] == "1.25"
    assert items["HSFUSION_GAIN"] == "[1.0, null]"
    assert items["HSFUSION_MODEL_FILE"] == "x.safetensors"
    assert items["HSFUSION_FLAG"] == "true"
    assert "HSFUSION_SRF" not in items
    assert "HSFUSION_GUARD" not in items
    assert Raster.open(raster.path).wavelengths == pytest.approx([400, 401, 402])
    assert names(tmp_path) == ["copy.tif", "out.json", "out.tif"]


def test_metadata_items_are_flat():
    assert metadata_items({"a": {"b c": 1, "d": {"e": "x"}}}) == {"HSFUSION_A_B_C": "1", "HSFUSION_A_D_E": "x"}


def test_quicklook(tmp_path):
    array = cube(5, 60, 80)
    array[:, :10] = np.nan
    bands = [BandInfo(nm) for nm in (2100.0, 470.0, 660.0, 900.0, 550.0)]
    raster = write(tmp_path / "out.tif", array, bands=bands)
    limits = quicklook_png(raster.path, tmp_path / "look.png", largest=40)
    picture = gdal.Open(str(tmp_path / "look.png")).ReadAsArray()
    assert picture.shape == (4, 30, 40)
    assert (picture[3, :5] == 0).all()
    assert (picture[3, 5:] == 255).all()
    assert limits[0] == pytest.approx(np.nanpercentile(array[2], (2, 98)), rel=0.1)
    assert quicklook_png(raster.path, tmp_path / "again.png", limits=((0, 1), (0, 1), (0, 1))) == ((0, 1),) * 3
    assert names(tmp_path) == ["again.png", "look.png", "out.tif"]
    with pytest.raises(HSFusionError, match="folder"):
        quicklook_png(raster.path, tmp_path / "missing" / "look.png")


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_living_one_has_is_not(tmp_path):
    script = (
        "import sys, time, types, pathlib\n"
        "package = types.ModuleType('hsfusion'); package.__path__ = [sys.argv[1]]; sys.modules['hsfusion'] = package\n"
        "from hsfusion.hsfusion_plugin.rasters.writing.staging import staged\n"
        "with staged(pathlib.Path(sys.argv[2]) / 'big.tif') as inside:\n"
        "    inside.write_bytes(b'half'); print('there', flush=True); time.sleep(60)\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen([sys.executable, "-c", script, root, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"there\n"
        time.sleep(1.1)
        write_text(tmp_path / "mine.txt", "mine")
        assert len(list(tmp_path.glob(".hsfusion-*/big.tif"))) == 1
    finally:
        process.kill()
        process.communicate()
    write_text(tmp_path / "mine.txt", "mine again")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
