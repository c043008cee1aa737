"""Products as the agencies deliver them: EnMAP with its METADATA.XML, PRISMA's HDF5, netCDF, compressed ENVI, VRT."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import pairs, products
from hsfusion.tests.qgis.products import add_array, group_of

ENMAP = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z-"
# The two spectrometers overlap: bands 3 to 6 are not in order of wavelength.
CENTRES = np.array([418.2, 550.7, 902.2, 979.1, 911.6, 1002.3])
WIDTHS = np.array([7.0, 6.5, 8.2, 8.9, 10.1, 10.4])


def driver(name: str):
    return pytest.mark.skipif(gdal.GetDriverByName(name) is None, reason=f"this GDAL has no driver {name}")


def metadata_xml(expected: str = "1,2,3,4,5,6", order=range(6), second: str = "") -> str:
    bands = "".join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{CENTRES[i]}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{WIDTHS[i]}</FWHMOfBand><GainOfBand>1e-04</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>"
        for i in order
    )
    lists = f"<expectedChannelsList>{expected}</expectedChannelsList>"
    other = f"<expectedChannelsList>{second}</expectedChannelsList>" if second else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><level_X><specific><bandCharacterisation>\n'
        + bands
        + "\n</bandCharacterisation>"
        f"<vnirProductQuality>{lists}</vnirProductQuality><swirProductQuality>{other}</swirProductQuality>"
        '<deadPixels><bandID number="1">7</bandID></deadPixels></specific></level_X>'
    )


@pytest.fixture
def enmap(tmp_path):
    """An EnMAP product of six bands."""

    def make(xml: str, suffix: str = "", count: int = 6) -> Path:
        image = pairs.write(tmp_path / f"{ENMAP}SPECTRAL_IMAGE{suffix}.TIF", np.ones((count, 4, 5)), 30.0)
        (tmp_path / f"{ENMAP}METADATA.XML").write_text(xml, encoding="utf-8")
        return image

    return make


@pytest.mark.parametrize("suffix", ["", "_COG"])
def test_enmap_level_2a(enmap, suffix):
    raster = Raster.open(enmap(metadata_xml("1,2,3", second="4,6"), suffix))
    assert raster.wavelengths == pytest.approx(CENTRES) and raster.fwhm == pytest.approx(WIDTHS)
    assert raster.bad.tolist() == [False, False, False, False, True, False]
    assert all(band.scale == pytest.approx(1e-4) and band.offset == 0 for band in raster.bands)


def test_enmap_bands_by_their_number_not_their_place(enmap):
    raster = Raster.open(enmap(metadata_xml(order=[3, 0, 5, 1, 4, 2])))
    assert raster.wavelengths == pytest.approx(CENTRES)


@pytest.mark.parametrize(("suffix", "part"), [("_VNIR", slice(0, 4)), ("_SWIR", slice(4, 6))])
def test_enmap_level_1b_has_an_image_per_spectrometer(enmap, suffix, part):
    raster = Raster.open(enmap(metadata_xml(), suffix, len(CENTRES[part])))
    assert raster.wavelengths == pytest.approx(CENTRES[part])


def test_desis(tmp_path):
    """DESIS keeps the same in other words, with other things called band, in a file that ends in small letters."""
    name = "DESIS-HSI-L2A-DT0346883072_003-20190829T140142-V0216-"
    image = pairs.write(tmp_path / f"{name}SPECTRAL_IMAGE.tif", np.ones((6, 4, 5)), 30.0)
    bands = "".join(
        f"<band><bandNumber>{i + 1}</bandNumber><wavelengthCenterOfBand>{CENTRES[i]}</wavelengthCenterOfBand>"
        f"<wavelengthWidthOfBand>{WIDTHS[i]}</wavelengthWidthOfBand><response>0.1,0.9</response>"
        "<gainOfBand>0.0001</gainOfBand><offsetOfBand>0.0</offsetOfBand></band>\n"
        for i in range(6)
    )
    geometry = "<interiorOrientation><band><bandNumber>1</bandNumber><shift>2</shift></band></interiorOrientation>"
    (tmp_path / f"{name}METADATA.xml").write_text(
        f"<hsi_doc><specific>{geometry}<bandCharacterisation>{bands}</bandCharacterisation></specific></hsi_doc>"
    )
    raster = Raster.open(image)
    assert raster.wavelengths == pytest.approx(CENTRES) and raster.fwhm == pytest.approx(WIDTHS)
    assert {band.scale for band in raster.bands} == {1e-4} and not raster.bad.any()


def test_enmap_inside_its_zip(enmap, tmp_path):
    image = enmap(metadata_xml())
    with zipfile.ZipFile(tmp_path / "product.zip", "w") as archive:
        for path in (image, image.with_name(f"{ENMAP}METADATA.XML")):
            archive.write(path, f"product/{path.name}")
            path.unlink()
    assert Raster.open(f"/vsizip/{tmp_path}/product.zip/product/{image.name}").wavelengths == pytest.approx(CENTRES)


@pytest.mark.parametrize("xml", ["", "<level_X/>", "not XML at all", metadata_xml(order=range(5))])
def test_metadata_that_does_not_fit_is_left_alone(enmap, xml):
    raster = Raster.open(enmap(xml))
    assert raster.wavelengths is None and not raster.bad.any()


def test_what_the_image_says_itself_wins(enmap):
    path = enmap(metadata_xml())
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.GetRasterBand(1).SetMetadataItem("wavelength", "420")
    dataset.GetRasterBand(1).SetMetadataItem("wavelength_units", "nm")
    dataset.GetRasterBand(1).SetScale(2e-4)
    dataset = None
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx([420, *CENTRES[1:]]) and raster.bands[0].scale == 2e-4


def test_enmap_is_fused_as_it_is(tmp_path):
    """The result carries the wavelengths, widths and scale of METADATA.XML, though its name is another."""
    pair = pairs.make_pair(tmp_path)
    image = tmp_path / f"{ENMAP}SPECTRAL_IMAGE.TIF"
    pairs.write(image, pairs.read(pair.hsi), pairs.RATIO * pairs.PIXEL)
    bands = "".join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{nm}</wavelengthCenterOfBand><FWHMOfBand>6.5</FWHMOfBand>'
        "<GainOfBand>1.0E-4</GainOfBand><OffsetOfBand>0.0</OffsetOfBand></bandID>\n"
        for i, nm in enumerate(pairs.WAVELENGTHS)
    )
    image.with_name(f"{ENMAP}METADATA.XML").write_text(f"<level_X>{bands}</level_X>", encoding="utf-8")
    request = FusionRequest(hsi=str(image), msi=str(pair.msi), output=str(tmp_path / "fused.tif"), method="glp-hs")
    classical.run(request, Progress())
    fused = Raster.open(tmp_path / "fused.tif")
    assert fused.wavelengths == pytest.approx(pairs.WAVELENGTHS) and fused.fwhm == pytest.approx([6.5] * pairs.BANDS)
    assert {band.scale for band in fused.bands} == {1e-4}
    stored = fused.read(range(fused.rows), range(fused.cols))
    assert np.mean((stored - pair.truth) ** 2) < 0.05 * pair.truth.var()


# PRISMA and other HDF5: netCDF-4 files are HDF5, so GDAL can make them here.

GROUP = ("HDFEOS", "SWATHS", "PRS_L2D_HCO", "Data Fields")


@pytest.fixture
def prisma(tmp_path) -> tuple[str, str, np.ndarray]:
    """(cube, pan, values of the cube (bands, rows, cols)) of a PRISMA level 2D file of five bands."""
    path = tmp_path / "PRS_L2D_STD_20230101.he5"
    values = np.random.default_rng(0).integers(1, 60000, (5, 8, 10)).astype(np.uint16)
    values[:, 0, 0] = 0
    container = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path))
    root = container.GetRootGroup()
    attributes = {
        "List_Cw_Vnir": [972.4, 890.1, 661.7, 441.3, 0.0],
        "List_Fwhm_Vnir": [13.2, 12.0, 11.1, 10.0, 0.0],
        "List_Cw_Vnir_Flags": [1, 0, 1, 1, 0],
        "L2ScaleVnirMin": [0.0],
        "L2ScaleVnirMax": [1.31070],
        "Epsg_Code": [32632],
        "Product_ULcorner_easting": [500015.0],
        "Product_ULcorner_northing": [5599985.0],
        "Product_LRcorner_easting": [500285.0],
        "Product_LRcorner_northing": [5599775.0],
    }
    for name, given in attributes.items():
        kind = gdal.GDT_Int32 if name in ("Epsg_Code", "List_Cw_Vnir_Flags") else gdal.GDT_Float64
        root.CreateAttribute(name, [len(given)], gdal.ExtendedDataType.Create(kind)).Write(given)
    add_array(group_of(root, GROUP), "VNIR_Cube", values.transpose(1, 0, 2), gdal.GDT_UInt16)
    pan = np.arange(1, 48 * 60 + 1).reshape(48, 60)
    add_array(group_of(root, (*GROUP[:2], "PRS_L2D_PCO", "Data Fields")), "Cube", pan, gdal.GDT_UInt16)
    root = container = None
    name = f'HDF5:"{path}"://HDFEOS/SWATHS/PRS_L2D_{{}}/Data_Fields/{{}}'
    return name.format("HCO", "VNIR_Cube"), name.format("PCO", "Cube"), values


@driver("HDF5")
@driver("netCDF")
def test_prisma_cube(prisma):
    path, _, values = prisma
    assert gdal.Open(path).RasterCount == 8, "GDAL takes the rows for bands"
    raster = Raster.open(path, "HSI")
    assert (raster.count, raster.rows, raster.cols) == (5, 8, 10)
    assert raster.wavelengths == pytest.approx([972.4, 890.1, 661.7, 441.3, np.nan], nan_ok=True)
    assert raster.bad.tolist() == [False, True, False, False, True]
    assert raster.fwhm[:4] == pytest.approx([13.2, 12.0, 11.1, 10.0])
    assert raster.geotransform == pytest.approx((500000, 30, 0, 5600000, 0, -30)) and "32632" in raster.crs_wkt
    expected = np.where(values == 0, np.nan, values.astype(np.float32))
    np.testing.assert_array_equal(raster.read(range(8), range(10)), expected)
    assert raster.read(range(8), range(10), unscale=True)[0, 1, 1] == pytest.approx(values[0, 1, 1] * 2e-5, rel=1e-5)


@driver("HDF5")
@driver("netCDF")
def test_prisma_cube_from_several_threads(prisma):
    raster = Raster.open(prisma[0])
    with ThreadPoolExecutor(4) as pool:
        windows = list(pool.map(lambda row: raster.read(range(row, row + 2), range(2, 9), [3, 0]), [0, 2, 4, 6]))
    np.testing.assert_array_equal(np.concatenate(windows, axis=1), raster.read(range(8), range(2, 9), [3, 0]))


@driver("HDF5")
@driver("netCDF")
def test_prisma_pan_nests_in_its_cube(prisma):
    raster = Raster.open(prisma[1], "MSI")
    assert (raster.count, raster.rows, raster.cols) == (1, 48, 60)
    assert raster.geotransform == pytest.approx((500000, 5, 0, 5600000, 0, -5))


def write_netcdf(path: Path, values: np.ndarray, order: tuple[int, ...], unit: str) -> None:
    """A CF cube of (wavelength, y, x), stored in another order of its dimensions; everything is closed at the end."""
    root = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path)).GetRootGroup()
    coordinates = {
        "wavelength": np.array([700.0, 500.0, 600.0, 400.0]) / (1000 if unit == "um" else 1),
        "y": 5599985.0 - 30.0 * np.arange(6),
        "x": 500015.0 + 30.0 * np.arange(7),
    }
    dimensions = []
    for name, numbers in coordinates.items():
        dimension = root.CreateDimension(name, None, None, numbers.size)
        variable = add_array(root, name, numbers, gdal.GDT_Float64, [dimension])
        variable.SetUnit(unit if name == "wavelength" else "m")
        if name != "wavelength":
            standard = variable.CreateAttribute("standard_name", [], gdal.ExtendedDataType.CreateString())
            standard.Write(f"projection_{name}_coordinate")
        dimensions.append(dimension)
    dimensions = [dimensions[i] for i in order]
    add_array(root, "reflectance", values.transpose(order), gdal.GDT_Float32, dimensions)


@driver("netCDF")
@pytest.mark.parametrize(("order", "unit"), [((0, 1, 2), "nm"), ((1, 2, 0), "um"), ((1, 0, 2), "nanometers")])
def test_netcdf_cube_in_any_order(tmp_path, order, unit):
    path, values = tmp_path / "cube.nc", np.random.default_rng(1).normal(size=(4, 6, 7)).astype(np.float32)
    write_netcdf(path, values, order, unit)
    raster = Raster.open(f'NETCDF:"{path}":reflectance')
    assert raster.wavelengths == pytest.approx([700, 500, 600, 400])
    np.testing.assert_array_equal(raster.read(range(6), range(7)), values)
    assert raster.geotransform == pytest.approx((500000, 30, 0, 5600000, 0, -30))


@driver("netCDF")
def test_a_container_says_which_subdatasets_it_has(tmp_path):
    path = tmp_path / "two.nc"
    root = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path)).GetRootGroup()
    for name in ("a", "b"):
        add_array(root, name, np.ones((2, 3, 4)), gdal.GDT_Float32)
    root = None
    with pytest.raises(HSFusionError, match=r"choose one of its subdatasets, such as NETCDF:.*two\.nc"):
        Raster.open(path)


@driver("netCDF")
def test_an_algorithm_takes_names_that_are_no_files(provider, tmp_path):
    """A subdataset and a raster inside a zip; QGIS itself would say that they were not found."""
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    pair = pairs.make_pair(tmp_path)
    container = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(tmp_path / "cube.nc"))
    write_band_last(container.GetRootGroup(), pairs.read(pair.hsi))
    container = None
    with zipfile.ZipFile(tmp_path / "msi.zip", "w") as archive:
        archive.write(pair.msi, "msi.tif")
    parameters = {
        "HSI": f'NETCDF:"{tmp_path}/cube.nc":reflectance',
        "MSI": f"/vsizip/{tmp_path}/msi.zip/msi.tif",
        "OUTPUT": str(tmp_path / "fused.tif"),
    }
    algorithm, feedback = provider.algorithm("fuseclassical").create(), QgsProcessingFeedback(False)
    assert algorithm.checkParameterValues(parameters, QgsProcessingContext()) == (True, "")
    _, done = algorithm.run(parameters, QgsProcessingContext(), feedback)
    assert done, feedback.textLog()
    fused = Raster.open(tmp_path / "fused.tif")
    assert fused.wavelengths == pytest.approx(pairs.WAVELENGTHS)
    assert np.mean((pairs.read(fused.path) - pair.truth) ** 2) < 0.05 * pair.truth.var()
    for missing in ("/vsizip/none.zip/none.tif", 'NETCDF:"none.nc":x'):
        fine, message = algorithm.checkParameterValues({**parameters, "HSI": missing}, QgsProcessingContext())
        assert not fine and missing in message


def write_band_last(root, values: np.ndarray) -> None:
    """The pair's HSI as (y, x, wavelength)."""
    pixel = pairs.RATIO * pairs.PIXEL
    coordinates = {
        "y": pairs.CORNER[1] - pixel * (np.arange(values.shape[1]) + 0.5),
        "x": pairs.CORNER[0] + pixel * (np.arange(values.shape[2]) + 0.5),
        "wavelength": pairs.WAVELENGTHS,
    }
    dimensions = []
    for name, numbers in coordinates.items():
        dimensions.append(root.CreateDimension(name, None, None, numbers.size))
        variable = add_array(root, name, numbers, gdal.GDT_Float64, dimensions[-1:])
        variable.SetUnit("nm" if name == "wavelength" else "m")
    cube = add_array(root, "reflectance", values.transpose(1, 2, 0), gdal.GDT_Float32, dimensions)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32632)
    cube.SetSpatialRef(reference)


# ENVI and VRT


@pytest.fixture
def envi(tmp_path) -> tuple[Path, np.ndarray]:
    path, values = tmp_path / "cube.dat", np.arange(24, dtype="<f4").reshape(4, 2, 3)
    values.tofile(path)
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples = 3\nlines = 2\nbands = 4\nheader offset = 0\nfile type = ENVI Standard\ndata type = 4\n"
        "interleave = bsq\nbyte order = 0\nfile compression = 1\nwavelength units = Nanometers\n"
        "wavelength = {450, 550, 650, 850}\nfwhm = {10, 10, 10, 20}\nbbl = {1, 1, 0, 1}\n",
        encoding="utf-8",
    )
    return path, values


def test_compressed_envi(envi):
    path, values = envi
    path.write_bytes(gzip.compress(values.tobytes()))
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx([450, 550, 650, 850]) and raster.bad.tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(raster.read(range(2), range(3)), values)


def test_envi_inside_a_zip(envi, tmp_path):
    path, values = envi
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text().replace("file compression = 1\n", ""))
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, ".")
    raster = Raster.open(f"/vsizip/{tmp_path}/packed.zip/cube.dat")
    assert raster.wavelengths == pytest.approx([450, 550, 650, 850])
    np.testing.assert_array_equal(raster.read(range(2), range(3)), values)


def test_vrt_of_chosen_bands(tmp_path):
    pair = pairs.make_pair(tmp_path)
    vrt = tmp_path / "some.vrt"
    subprocess.run(["gdal_translate", "-q", "-of", "VRT", "-b", "9", "-b", "2", pair.hsi, vrt], check=True)
    raster = Raster.open(vrt)
    assert raster.wavelengths == pytest.approx(pairs.WAVELENGTHS[[8, 1]], abs=1e-3)
    np.testing.assert_array_equal(raster.read(range(5), range(5)), pairs.read(pair.hsi)[[8, 1], :5, :5])


# ENVI headers as AVIRIS and AVIRIS-NG have them


@pytest.mark.parametrize("interleave", ["bil", "bip", "bsq"])
@pytest.mark.parametrize("kind", [("2", ">i2"), ("4", "<f4")])
def test_aviris(tmp_path, interleave, kind):
    """Big-endian integers behind a header, wavelengths in micrometres, a scale factor, a flight line that is turned on
    the map.
    """
    code, dtype = kind
    values = np.random.default_rng(0).integers(-50, 9000, (4, 6, 7)).astype(np.int16)
    values[:, 0, 0] = -9999
    axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[interleave]
    path = tmp_path / "ang20231022t092801_rfl_v2_img"
    path.write_bytes(b"\0" * 128 + values.transpose(axes).astype(dtype).tobytes())
    path.with_name(path.name + ".hdr").write_text(
        f"ENVI\ndescription = {{\n  AVIRIS-NG reflectance }}\nsamples = 7\nlines = 6\nbands = 4\nheader offset = 128\n"
        f"file type = ENVI Standard\ndata type = {code}\ninterleave = {interleave}\nbyte order = "
        f"{int(dtype[0] == '>')}\n"
        "map info = { UTM , 1.000 , 1.000 , 500000.00 , 5600000.00 , 4.1 , 4.1 , 32 , North , WGS-84 , units=Meters , "
        "rotation=29.0 }\n"
        "wavelength units = Micrometers\nwavelength = { 0.37686, 0.55218 , 0.6573711,\n 0.86272 }\n"
        "fwhm = { 0.00557, 0.0058, 0.005808, 0.0061}\nbbl = { 0, 1, 1, 1}\ndata ignore value = -9999\n"
        "reflectance scale factor = 10000.0\n",
        encoding="utf-8",
    )
    raster = Raster.open(path)
    assert raster.wavelengths == pytest.approx([376.86, 552.18, 657.3711, 862.72], abs=1e-4), (
        "not rounded to nanometres"
    )
    assert raster.fwhm == pytest.approx([5.57, 5.8, 5.808, 6.1], abs=1e-4)
    assert raster.bad.tolist() == [True, False, False, False]
    assert {band.scale for band in raster.bands} == {1e-4}
    found = raster.read(range(6), range(7))
    assert np.isnan(found[:, 0, 0]).all()
    np.testing.assert_array_equal(found[:, 1:], values[:, 1:])
    assert raster.georeferenced and not raster.north_up, "warped onto the MSI's grid, once"


# Sentinel-2 and Landsat


@driver("SENTINEL2")
@driver("JP2OpenJPEG")
def test_sentinel_2_as_a_safe_product(provider, tmp_path):
    """Wavelengths, widths, and 0 outside the swath as nodata, by the name that GDAL gives the 10 m bands; algorithms
    take that name.
    """
    from qgis.core import QgsProcessingContext

    pair = pairs.make_pair(tmp_path)
    blue, green, red, infrared = pairs.read(pair.msi).clip(1, 60000)
    blue[:20, :30] = green[:20, :30] = red[:20, :30] = infrared[:20, :30] = 0
    bands = {"B02": blue, "B03": green, "B04": red, "B08": infrared, "AOT": blue, "WVP": blue}
    grid = (pairs.CORNER[0], 10.0, 0.0, pairs.CORNER[1], 0.0, -10.0)
    product = products.sentinel_2(tmp_path, bands, grid, 32632)
    with pytest.raises(
        HSFusionError, match=r"choose one of its subdatasets, such as SENTINEL2_L2A:.*:10m:EPSG_32632\."
    ):
        Raster.open(product / "MTD_MSIL2A.xml", "MSI")
    name = f"SENTINEL2_L2A:{product}/MTD_MSIL2A.xml:10m:EPSG_32632"
    raster = Raster.open(name, "MSI")
    used = np.flatnonzero(~raster.bad)
    assert raster.wavelengths[used] == pytest.approx([665, 560, 490, 842])
    assert raster.fwhm[used] == pytest.approx([30, 35, 65, 115])
    values = raster.read(range(raster.rows), range(raster.cols), used)
    assert np.isnan(values[:, :20, :30]).all() and np.isfinite(values[:, 20:]).all()
    parameters = {"HSI": str(pair.hsi), "MSI": name, "OUTPUT": str(tmp_path / "fused.tif")}
    algorithm = provider.algorithm("fuseclassical").create()
    assert algorithm.checkParameterValues(parameters, QgsProcessingContext()) == (True, "")
    request = FusionRequest(hsi=str(pair.hsi), msi=name, output=parameters["OUTPUT"], method="glp-hs")
    classical.run(request, Progress())
    fused = pairs.read(tmp_path / "fused.tif")
    known = np.isfinite(fused)
    assert not known[:, :15, :25].any()
    assert np.mean((fused - pair.truth)[known] ** 2) < 0.05 * pair.truth.var()


def test_sentinel_2_level_2a_brings_maps_among_its_bands(tmp_path):
    """As GDAL describes the 10 m subdataset of a .SAFE product: AOT and WVP are no bands, though "550nm" is said of
    one.
    """
    path = pairs.write(tmp_path / "s2.tif", np.random.default_rng(0).normal(size=(6, 5, 5)), 10.0)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    told = [("B4", 665, 30), ("B3", 560, 35), ("B2", 490, 65), ("B8", 842, 115)]
    for i, (name, nm, width) in enumerate(told, 1):
        band = dataset.GetRasterBand(i)
        band.SetDescription(f"{name}, central wavelength {nm} nm")
        for key, value in {
            "BANDNAME": name,
            "BANDWIDTH": width,
            "BANDWIDTH_UNIT": "nm",
            "WAVELENGTH": nm,
            "WAVELENGTH_UNIT": "nm",
        }.items():
            band.SetMetadataItem(key, str(value))
    dataset.GetRasterBand(5).SetDescription("AOT, Aerosol Optical Thickness map (at 550nm)")
    dataset.GetRasterBand(6).SetDescription("WVP, Scene-average Water Vapour map")
    dataset = None
    raster = Raster.open(path)
    assert raster.bad.tolist() == [False] * 4 + [True] * 2
    assert raster.wavelengths[:4] == pytest.approx([665, 560, 490, 842])
    assert raster.fwhm[:4] == pytest.approx([30, 35, 65, 115])


def test_a_vrt_of_landsat_files(tmp_path):
    """One file a band, 0 outside the scene, stacked by gdalbuildvrt: no wavelengths, so the sensor goes by the number
    of bands.
    """
    names = []
    for number in (2, 3, 4, 5):
        name = tmp_path / f"LC09_L2SP_193024_20230601_20230603_02_T1_SR_B{number}.TIF"
        dataset = gdal.GetDriverByName("GTiff").Create(str(name), 5, 4, 1, gdal.GDT_UInt16)
        dataset.SetGeoTransform((399585.0, 30.0, 0.0, 5800215.0, 0.0, -30.0))
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(32633)
        dataset.SetProjection(reference.ExportToWkt())
        values = np.full((4, 5), 7000 + number, np.uint16)
        values[0, 0] = 0
        dataset.GetRasterBand(1).WriteArray(values)
        dataset.GetRasterBand(1).SetNoDataValue(0)
        dataset = None
        names.append(str(name))
    vrt = tmp_path / "landsat.vrt"
    subprocess.run(["gdalbuildvrt", "-q", "-separate", vrt, *names], check=True)
    raster = Raster.open(vrt, "MSI")
    assert raster.count == 4 and raster.wavelengths is None and not raster.bad.any()
    found = raster.read(range(4), range(5))
    assert np.isnan(found[:, 0, 0]).all() and found[:, 1, 1].tolist() == [7002, 7003, 7004, 7005]
