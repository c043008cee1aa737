"""What is not ours is not lost: inputs under any name, and files of others beside an output."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.rasters.grids.grid import Grid
from hsfusion.hsfusion_plugin.rasters.reading.files_behind import files_behind, identity
from hsfusion.hsfusion_plugin.rasters.reading.metadata import BandInfo
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.hsfusion_plugin.rasters.writing.provenance import write_provenance
from hsfusion.hsfusion_plugin.rasters.writing.sidecars import written_sidecar
from hsfusion.hsfusion_plugin.rasters.writing.staging import check_outputs, check_writable, write_text
from hsfusion.hsfusion_plugin.rasters.writing.style import write_style
from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter
from hsfusion.models.errors import HSFusionError

GRID = (500000.0, 10.0, 0.0, 5800000.0, 0.0, -10.0)


def plain(path, driver="GTiff", kind=gdal.GDT_Float32, options=()):
    """A raster that another program wrote."""
    dataset = gdal.GetDriverByName("MEM").Create("", 16, 12, 2, kind)
    dataset.SetGeoTransform(GRID)
    dataset.WriteArray(np.arange(2 * 12 * 16, dtype=np.float32).reshape(2, 12, 16) % 200)
    gdal.GetDriverByName(driver).CreateCopy(str(path), dataset, options=list(options))
    return path


def ours(path, value=1.0):
    """A raster that we wrote, with its sidecars."""

    def finish(inside):
        write_style(inside)
        write_provenance(inside, {"value": value})

    with RasterWriter(path, Grid(12, 16, GRID), [BandInfo()] * 2, finish=finish) as writer:
        writer.write(0, 0, np.full((2, 12, 16), value, np.float32) + np.arange(16, dtype=np.float32))
    return path


def vrt(source, path):
    gdal.Translate(str(path), str(source), format="VRT")
    return str(path)


def as_text(source, path):
    text = Path(vrt(source, path.with_suffix(".vrt"))).read_text()
    return text.replace('relativeToVRT="1">', f'relativeToVRT="0">{source.parent}/')


def relative_vrt(source, path):
    gdal.BuildVRT(str(path), [str(source)])
    text = path.read_text().replace(str(source), source.name).replace('relativeToVRT="0"', 'relativeToVRT="1"')
    path.write_text(text)
    return str(path)


def symbolic(source, path):
    path.with_suffix(".tif").symlink_to(source)
    return str(path.with_suffix(".tif"))


def hard(source, path):
    os.link(source, path.with_suffix(".tif"))
    return str(path.with_suffix(".tif"))


NAMES = {
    "itself": lambda source, path: str(source),
    "with dots in its path": lambda source, path: f"{source.parent}/../{source.parent.name}/{source.name}",
    "a page of a TIFF": lambda source, path: f"GTIFF_DIR:1:{source}",
    "a part of a file": lambda source, path: f"/vsisubfile/0_{source.stat().st_size},{source}",
    "a virtual raster": lambda source, path: vrt(source, path.with_suffix(".vrt")),
    "a relative virtual raster": lambda source, path: relative_vrt(source, path.with_suffix(".vrt")),
    "a virtual raster of one": lambda source, path: vrt(
        vrt(source, path.with_suffix(".a.vrt")), path.with_suffix(".vrt")
    ),
    "a virtual raster as text": as_text,
    "vrt://": lambda source, path: f"vrt://{source}?bands=1",
    "a symbolic link": symbolic,
    "a hard link": hard,
    "a layer of QGIS": lambda source, path: f"{source}|layername=one",
}


@pytest.mark.parametrize("name", NAMES)
def test_an_input_under_any_name(tmp_path, name):
    """Refused before anything is written, whichever way the input's file is reached."""
    source = plain(tmp_path / "x.tif")
    given = NAMES[name](source, tmp_path / "other")
    content = source.read_bytes()
    with pytest.raises(HSFusionError, match="one of the inputs"):
        check_outputs({"OUTPUT": source}, [None, given])
    assert source.read_bytes() == content
    check_outputs({"OUTPUT": tmp_path / "y.tif"}, [given])


@pytest.mark.parametrize(
    ("driver", "kind", "file", "name"),
    [
        ("GPKG", gdal.GDT_Byte, "x.gpkg", "GPKG:{}:x"),
        ("ENVI", gdal.GDT_Float32, "x.img", "{}"),
        ("netCDF", gdal.GDT_Float32, "x.nc", 'NETCDF:"{}":Band1'),
    ],
)
def test_inputs_in_containers_and_of_several_files(tmp_path, driver, kind, file, name):
    if gdal.GetDriverByName(driver) is None:
        pytest.skip(f"this GDAL has no {driver}")
    source = plain(tmp_path / file, driver, kind)
    found = files_behind([name.format(source)])
    assert {identity(path) for path in tmp_path.iterdir() if path.suffix != ".xml"} <= found
    with pytest.raises(HSFusionError, match="one of the inputs"):
        check_writable(source, inputs=[name.format(source)])


def test_inside_an_archive(tmp_path):
    source = plain(tmp_path / "x.tif")
    shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, "x.tif")
    with pytest.raises(HSFusionError, match="one of the inputs"):
        check_writable(tmp_path / "x.zip", inputs=[f"/vsizip/{tmp_path}/x.zip/x.tif"])
    check_writable(source, inputs=[f"/vsizip/{tmp_path}/x.zip/x.tif"])


@pytest.mark.parametrize("suffix", [".aux.xml", ".ovr", ".msk"])
def test_what_belongs_to_an_input(tmp_path, suffix):
    """An output whose name makes GDAL's file beside an input its own."""
    base = tmp_path / "x"
    source = plain(tmp_path / f"x.tif{suffix}") if suffix != ".aux.xml" else plain(tmp_path / "x.tif")
    if suffix == ".aux.xml":
        (tmp_path / "x.tif.aux.xml").write_text("<PAMDataset/>", encoding="utf-8")
    with pytest.raises(HSFusionError, match="one of the inputs"):
        check_writable(base.with_suffix(".tif"), inputs=[str(source)])


@pytest.mark.parametrize("name", ["scene.json", "scene.qml"])
def test_sidecars_of_others_stay(tmp_path, name):
    own = tmp_path / name
    own.write_text('{"type": "Feature", "stac_version": "1.0.0"}', encoding="utf-8")
    target = tmp_path / "scene.tif"
    (note,) = check_outputs({"OUTPUT": target})
    ours(target)
    assert own.read_text(encoding="utf-8").startswith('{"type": "Feature"')
    mine = written_sidecar(target, own.suffix)
    assert mine.name == f"scene.hsfusion{own.suffix}" and mine.exists() and mine.name in note
    ours(target, 2.0)
    assert len(list(tmp_path.glob(f"*{own.suffix}"))) == 2, "a second run replaces ours"


def test_ours_are_replaced(tmp_path):
    target = tmp_path / "scene.tif"
    assert check_outputs({"OUTPUT": target}) == []
    for value in (1.0, 2.0):
        ours(target, value)
        assert check_outputs({"OUTPUT": target}) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.json", "scene.qml", "scene.tif"]
    assert json.loads((tmp_path / "scene.json").read_text())["value"] == 2.0


def test_a_style_that_the_user_changed_is_the_users(tmp_path):
    target = ours(tmp_path / "scene.tif")
    style = tmp_path / "scene.qml"
    style.write_text(style.read_text().replace("<!-- written by HSFusion for scene.tif -->", ""), encoding="utf-8")
    changed = style.read_bytes()
    ours(target)
    assert style.read_bytes() == changed and (tmp_path / "scene.hsfusion.qml").exists()


def test_an_output_with_the_stem_of_an_input(tmp_path):
    """in.tiff beside in.tif: the style of the input stays."""
    plain(tmp_path / "in.tif")
    (tmp_path / "in.qml").write_text("<qgis/>", encoding="utf-8")
    ours(tmp_path / "in.tiff")
    assert (tmp_path / "in.qml").read_text() == "<qgis/>"


def test_two_outputs_never_share_a_name(tmp_path):
    one, other = ours(tmp_path / "c.tif", 1.0), ours(tmp_path / "c.tiff", 2.0)
    values = [json.loads(written_sidecar(path, ".json").read_text())["value"] for path in (one, other)]
    assert values == [1.0, 2.0]
    for outputs, sentence in (
        ({"OUTPUT": tmp_path / "d.tif", "REPORT": tmp_path / "d.json"}, "written beside OUTPUT"),
        ({"OUTPUT": tmp_path / "d.tif", "TABLE": tmp_path / "d.qml"}, "written beside OUTPUT"),
        ({"OUTPUT": tmp_path / "d.tif", "QUALITY": f"{tmp_path}/../{tmp_path.name}/d.tif"}, "same file"),
    ):
        with pytest.raises(HSFusionError, match=sentence):
            check_outputs(outputs)


def test_overviews_of_others_stay_and_are_not_looked_at(tmp_path):
    """GDAL would take them for those of the new raster."""
    source = plain(tmp_path / "scene.tif")
    gdal.SetConfigOption("TIFF_USE_OVR", "YES")
    dataset = gdal.Open(str(source))
    dataset.BuildOverviews("NEAREST", [2])
    dataset = None
    gdal.SetConfigOption("TIFF_USE_OVR", None)
    before = (tmp_path / "scene.tif.ovr").read_bytes()
    ours(source, 5000.0)
    assert (tmp_path / "scene.tif.ovr").read_bytes() == before
    dataset = gdal.Open(str(source))
    small = dataset.GetRasterBand(1).GetOverview(0)
    assert np.frombuffer(small.ReadRaster(buf_type=gdal.GDT_Float32), np.float32).min() > 4000


def test_notes_and_masks_of_others_make_room(tmp_path):
    for suffix in (".aux.xml", ".msk"):
        (tmp_path / f"scene.tif{suffix}").write_text("theirs", encoding="utf-8")
    ours(tmp_path / "scene.tif")
    assert {path.name for path in tmp_path.glob("*before*")} == {"scene.tif.aux.xml.before", "scene.tif.msk.before"}
    assert not np.isnan(Raster.open(tmp_path / "scene.tif").read(range(12), range(16))).any()


def test_a_text_takes_its_own_name(tmp_path):
    (tmp_path / "t.json").write_text("old", encoding="utf-8")
    write_text(tmp_path / "t.json", "new")
    assert (tmp_path / "t.json").read_text() == "new"
