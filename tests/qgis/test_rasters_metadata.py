"""Wavelengths: read in every form in which files carry them, and still there after GDAL's tools."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.rasters.grids.grid import Grid
from hsfusion.hsfusion_plugin.rasters.reading.metadata import BandInfo, full_description
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.hsfusion_plugin.rasters.reading.wavelengths import unit_in_nm, wavelength_in_text
from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter, Stored

UTM = 'LOCAL_CS["grid",UNIT["metre",1]]'
GRID = (500000.0, 30.0, 0.0, 5800000.0, 0.0, -30.0)
# As EnMAP's: the two spectrometers overlap, so the bands are not in order of wavelength.
UNORDERED = [418.24, 550.7, 902.2, 979.1, 911.6, 1002.3]


@pytest.fixture
def bare(tmp_path):
    """A file of four bands, opened for its metadata to be set."""

    def make(name="bare.tif", count=4, driver="GTiff"):
        path = tmp_path / name
        dataset = gdal.GetDriverByName(driver).Create(str(path), 3, 2, count, gdal.GDT_Float32)
        dataset.SetGeoTransform(GRID)
        return path, dataset

    return make


def wavelengths(path):
    found = Raster.open(path).wavelengths
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("Nanometers", [400, 500, 600, 700]),
        ("nm", [400, 500, 600, 700]),
        ("Micrometers", [0.4, 0.5, 0.6, 0.7]),
        ("um", [0.4, 0.5, 0.6, 0.7]),
        ("μm", [0.4, 0.5, 0.6, 0.7]),
        (None, [400, 500, 600, 700]),
        (None, [0.4, 0.5, 0.6, 0.7]),
        ("Unknown", [0.4, 0.5, 0.6, 0.7]),
    ],
)
def test_band_items_in_any_unit(bare, unit, values):
    path, dataset = bare()
    for i, value in enumerate(values):
        dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength", str(value))
        if unit:
            dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength_units", unit)
    dataset = None
    assert wavelengths(path) == pytest.approx([400, 500, 600, 700])


def test_imagery_domain(bare):
    path, dataset = bare()
    for i in range(4):
        dataset.GetRasterBand(i + 1).SetMetadataItem("CENTRAL_WAVELENGTH_UM", str(0.4 + i / 10), "IMAGERY")
        dataset.GetRasterBand(i + 1).SetMetadataItem("FWHM_UM", "0.0065", "IMAGERY")
    dataset = None
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx([400, 500, 600, 700])
    assert raster.fwhm == pytest.approx([6.5] * 4)


@pytest.mark.parametrize("domain", ["", "ENVI"])
def test_list_of_the_data_set(bare, domain):
    path, dataset = bare()
    items = {
        "wavelength": "{0.4, 0.5,\n 0.6 , 0.7}",
        "fwhm": "{0.01,0.01,0.02,0.02}",
        "bbl": "{1,0,1,1}",
        "wavelength_units": "Micrometers",
    }
    for key, value in items.items():
        dataset.SetMetadataItem(key, value, domain)
    dataset = None
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx([400, 500, 600, 700])
    assert raster.fwhm == pytest.approx([10, 10, 20, 20])
    assert raster.bad.tolist() == [False, True, False, False]


def test_list_of_another_length_is_somebody_elses(bare):
    path, dataset = bare()
    dataset.SetMetadataItem("wavelength", "{400, 500, 600}")
    dataset = None
    assert wavelengths(path) is None


def test_envi_file(tmp_path):
    path = tmp_path / "cube.dat"
    np.arange(18, dtype="<f4").tofile(path)
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples = 3\nlines = 2\nbands = 3\nheader offset = 0\nfile type = ENVI Standard\ndata type = 4\n"
        "interleave = bsq\nbyte order = 0\nwavelength units = Micrometers\nwavelength = {0.48, 2.1, 0.66}\n"
        "fwhm = {0.01, 0.02, 0.01}\nbbl = {1, 0, 1}\n",
        encoding="utf-8",
    )
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx([480, 2100, 660])
    assert raster.fwhm == pytest.approx([10, 20, 10])
    assert raster.bad.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "nm"),
    [
        ("band 12 (0.5138 Micrometers)", 513.8),
        ("418.24 nm", 418.24),
        ("B4, central wavelength 665 nm", 665.0),
        ("Band 1 (0.443 µm)", 443.0),
        ("B3 green", None),
        ("10 m resolution", None),
        ("B8A", None),
        ("", None),
    ],
)
def test_descriptions(text, nm):
    assert wavelength_in_text(text) == (nm if nm is None else pytest.approx(nm))


def test_descriptions_of_a_file(bare):
    path, dataset = bare()
    for i in range(4):
        dataset.GetRasterBand(i + 1).SetDescription(f"band {i + 1} ({0.4 + i / 10:.4f} Micrometers)")
    dataset = None
    assert wavelengths(path) == pytest.approx([400, 500, 600, 700])


@pytest.mark.parametrize("unit", ["Index", "Wavenumber", "GHz", None, "Unknown"])
def test_band_numbers_are_no_wavelengths(bare, unit):
    path, dataset = bare()
    for i in range(4):
        dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength", str(i + 1))
        if unit:
            dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength_units", unit)
    dataset = None
    assert wavelengths(path) is None


def test_a_band_without_wavelength_makes_none(bare):
    path, dataset = bare()
    for i in range(3):
        dataset.GetRasterBand(i + 1).SetDescription(f"{400 + i} nm")
    dataset = None
    assert wavelengths(path) is None


def test_wavelength_zero_marks_a_dead_band(bare):
    """PRISMA's cubes hold bands of wavelength 0 that were never measured."""
    path, dataset = bare()
    for i, value in enumerate([400, 0, 600, 700]):
        dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength", str(value))
        dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength_units", "Nanometers")
    dataset = None
    raster = Raster.open(path)
    assert raster.bad.tolist() == [False, True, False, False]
    assert raster.wavelengths == pytest.approx([400, np.nan, 600, 700], nan_ok=True)


def test_alpha_is_a_mask_not_a_band(bare):
    path, dataset = bare()
    dataset.GetRasterBand(4).SetColorInterpretation(gdal.GCI_AlphaBand)
    dataset = None
    assert Raster.open(path).bad.tolist() == [False, False, False, True]


@pytest.fixture
def written(tmp_path):
    infos = [BandInfo(nm, 6.5 + i, f"B{i + 1}", bad=i == 3) for i, nm in enumerate(UNORDERED)]
    path = tmp_path / "written.tif"
    with RasterWriter(path, Grid(8, 9, GRID, UTM), infos, metadata={"HSFUSION_METHOD": "test"}) as writer:
        writer.write(0, 0, np.ones((len(infos), 8, 9), np.float32))
    return path


def check(path, tolerance=1e-6, fwhm=True):
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx(UNORDERED, abs=tolerance)
    if fwhm:
        assert raster.fwhm == pytest.approx([6.5 + i for i in range(6)])
        assert raster.bad.tolist() == [False, False, False, True, False, False]


def test_round_trip(written):
    check(written)
    dataset = gdal.Open(str(written))
    band = dataset.GetRasterBand(1)
    assert band.GetDescription() == "B1 (418.24 nm)"
    assert band.GetMetadataItem("wavelength_units") == "Nanometers"
    assert float(band.GetMetadataItem("CENTRAL_WAVELENGTH_UM", "IMAGERY")) == pytest.approx(0.41824)
    assert dataset.GetMetadataItem("HSFUSION_METHOD") == "test"


@pytest.mark.parametrize(
    "command",
    [
        ["gdal_translate", "-q"],
        ["gdal_translate", "-q", "-srcwin", "1", "1", "4", "4", "-co", "COMPRESS=LZW"],
        ["gdalwarp", "-q", "-tr", "15", "15"],
    ],
)
def test_gdal_tools_keep_the_wavelengths(written, command):
    result = written.with_name("result.tif")
    subprocess.run([*command, str(written), str(result)], check=True)
    check(result)


def test_scale_offset_unit_and_nodata_go_through_gdal(tmp_path):
    """What EnMAP and PRISMA need: stored integers, reflectance through scale and offset."""
    info = BandInfo(600.0, 7.0, "B1", scale=1e-4, offset=-0.1, unit="reflectance")
    path, result = tmp_path / "written.tif", tmp_path / "result.tif"
    with RasterWriter(path, Grid(4, 5, GRID, UTM), [info], Stored("Int16")) as writer:
        values = np.full((1, 4, 5), 2500.0, np.float32)
        values[0, 0, 0] = np.nan
        writer.write(0, 0, values)
    subprocess.run(["gdalwarp", "-q", "-tr", "30", "30", str(path), str(result)], check=True)
    for found in (Raster.open(path), Raster.open(result)):
        assert found.bands == [BandInfo(600.0, 7.0, "B1 (600.00 nm)", False, 1e-4, -0.1, "reflectance")]
        window = found.read(range(4), range(5), unscale=True)
        assert np.isnan(window[0, 0, 0]) and window[0, 1, 1] == pytest.approx(0.15)


def test_selected_bands_keep_theirs(written):
    result = written.with_name("result.tif")
    subprocess.run(["gdal_translate", "-q", "-b", "3", "-b", "1", str(written), str(result)], check=True)
    assert wavelengths(result) == pytest.approx([UNORDERED[2], UNORDERED[0]])


def test_envi_keeps_the_names_and_so_the_wavelengths(written):
    result = written.with_name("result.dat")
    subprocess.run(["gdal_translate", "-q", "-of", "ENVI", str(written), str(result)], check=True)
    result.with_name("result.dat.aux.xml").unlink(missing_ok=True)  # what a copy to another disk loses
    check(result, tolerance=0.01, fwhm=False)


def test_full_description():
    assert full_description(BandInfo(492.7, description="B2")) == "B2 (492.70 nm)"
    assert full_description(BandInfo(492.7)) == "492.70 nm"
    assert full_description(BandInfo(664.6, description="B4, central wavelength 665 nm")).endswith("665 nm")
    assert wavelength_in_text(full_description(BandInfo(700.0, description="was 500 nm"))) == pytest.approx(700)
    assert full_description(BandInfo(description="elevation")) == "elevation"


def test_units():
    assert unit_in_nm("Nanometres") == unit_in_nm("nanometer") == 1.0
    assert unit_in_nm("microns") == unit_in_nm("µm") == 1000.0
    assert unit_in_nm("Index") is None
    assert unit_in_nm(None) is None


def envi(folder, header, bands=3, encoding="utf-8"):
    """An ENVI file of 2 x 3 pixels with these lines in its header."""
    path = folder / "cube.dat"
    np.arange(6 * bands, dtype="<f4").tofile(path)
    head = f"ENVI\nsamples = 3\nlines = 2\nbands = {bands}\nheader offset = 0\ndata type = 4\ninterleave = bsq\nbyte order = 0\n"  # noqa: E501
    path.with_suffix(".hdr").write_bytes((head + header).encode(encoding))
    return Raster.open(path)


@pytest.mark.parametrize("between", [", ", ",", ",\n"])
def test_decimal_commas_in_an_envi_header(tmp_path, between):
    wavelength, fwhm = between.join(["420,00", "436,55", "453,10"]), between.join(["8,2", "8,2", "8,4"])
    raster = envi(tmp_path, f"wavelength units = Nanometers\nwavelength = {{{wavelength}}}\nfwhm = {{{fwhm}}}\n")
    assert raster.wavelengths == pytest.approx([420, 436.55, 453.1])
    assert raster.fwhm == pytest.approx([8.2, 8.2, 8.4])
    assert not raster.bad.any() and raster.descriptions == ["", "", ""]


@pytest.mark.parametrize("listed", ["420, 436, 453, 470", "420, 436"])
def test_a_list_that_does_not_fit_is_not_read_shifted(tmp_path, listed):
    raster = envi(tmp_path, f"band names = {{a, b, c}}\nwavelength units = Nanometers\nwavelength = {{{listed}}}\n")
    assert raster.wavelengths is None and not raster.bad.any()
    assert raster.descriptions == ["a", "b", "c"]
    assert f"{len(listed.split())} wavelengths for 3 bands" in raster.warnings[0]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
def test_headers_that_are_not_utf8(tmp_path, encoding):
    header = "band names = {für, Wälder, Größe}\nwavelength units = µm\nwavelength = {0.42, 0.5, 0.6}\n"
    raster = envi(tmp_path, header, encoding=encoding)
    assert raster.wavelengths == pytest.approx([420, 500, 600])
    assert [text[:3] for text in raster.descriptions] == ["für", "Wäl", "Grö"]


@pytest.mark.parametrize("values", [[0.42, 0.5, 0.6, 0.7], [420e3, 500e3, 600e3, 700e3], [8.2] * 4, [550] * 4])
def test_wavelengths_that_cannot_be(bare, values):
    path, dataset = bare()
    for i, value in enumerate(values):
        dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength", str(value))
        dataset.GetRasterBand(i + 1).SetMetadataItem("wavelength_units", "Nanometers")
    dataset = None
    raster = Raster.open(path)
    assert raster.wavelengths is None and not raster.bad.any() and len(raster.warnings) == 1


def test_names_with_bare_wavelengths(bare):
    path, dataset = bare()
    for i, nm in enumerate([503, 510, 519, 535]):
        dataset.GetRasterBand(i + 1).SetDescription(f"Band_{nm}")
    dataset = None
    assert wavelengths(path) == [503, 510, 519, 535]


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("kind", [gdal.GDT_Byte, gdal.GDT_UInt16])
def test_a_band_tagged_as_alpha(tmp_path, mask, kind):
    """Of four byte bands GDAL calls the last one alpha, be it a mask or the near infrared."""
    rng, path = np.random.default_rng(0), tmp_path / "rgbn.tif"
    largest = 255 if kind == gdal.GDT_Byte else 65535
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 200, 150, 4, kind)
    for i in range(4):
        dataset.GetRasterBand(i + 1).WriteArray(rng.integers(1, 250, (150, 200)).astype(np.uint16))
    values = rng.integers(0, 250, (150, 200))
    values[:40] = 0  # dark water
    if mask:
        values = np.where(values > 60, largest, 0)
    dataset.GetRasterBand(4).WriteArray(values.astype(np.uint16))
    dataset.GetRasterBand(4).SetColorInterpretation(gdal.GCI_AlphaBand)
    dataset = None
    raster = Raster.open(path)
    holes = np.isnan(raster.read(range(150), range(200), [0])[0])
    assert raster.bad.tolist() == [False, False, False, mask]
    assert np.array_equal(holes, values == 0) if mask else not holes.any()
    assert bool(raster.facts) is not mask
