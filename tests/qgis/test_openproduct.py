"""Products as they are delivered, opened: values, wavelengths, widths, bad bands, place, mask, sensor, time, by
miniatures.
"""

from __future__ import annotations

import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form
from hsfusion.hsfusion_plugin.jobs.products.inputs import open_pair, open_single
from hsfusion.hsfusion_plugin.jobs.products.job import ProductRequest, run
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.grids.align import align
from hsfusion.hsfusion_plugin.rasters.grids.warp import mask_on_grid_of
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import pairs, products
from hsfusion.tests.qgis.miniatures import commercial, dlr, envi, hdf, pace, tiles
from hsfusion.tests.qgis.miniatures.truth import Truth, write_tiff

pytest.importorskip("h5py")
MAKERS = (*dlr.MAKERS, *hdf.MAKERS, *tiles.MAKERS, *envi.MAKERS, *commercial.MAKERS, *pace.MAKERS)


@pytest.fixture(autouse=True)
def _work(tmp_path, monkeypatch):
    monkeypatch.setenv("HSFUSION_WORK", str(tmp_path / "work"))


def opened(truth: Truth, folder: Path, **more) -> dict:
    request = ProductRequest(
        str(truth.path), str(folder / "out.tif"), str(folder / "mask.tif"), **{**truth.parameters, **more}
    )
    return run(request, Progress())


def physical(path: Path) -> np.ndarray:
    """All values of a raster times scale plus offset, NaN where nodata."""
    dataset = gdal.Open(str(path))
    layers = []
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        stored, nodata = band.ReadAsArray().astype(np.float64), band.GetNoDataValue()
        missing = np.isnan(stored) if nodata is None or np.isnan(nodata) else stored == nodata
        layers.append(np.where(missing, np.nan, stored * (band.GetScale() or 1) + (band.GetOffset() or 0)))
    return np.array(layers)


def items(path: Path, key: str) -> np.ndarray:
    dataset = gdal.Open(str(path))
    return np.array(
        [float(dataset.GetRasterBand(i + 1).GetMetadataItem(key) or "nan") for i in range(dataset.RasterCount)]
    )


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_product_is_opened(make: Callable[[Path], Truth], tmp_path):
    product, out = tmp_path / "product", tmp_path / "out"
    product.mkdir()
    out.mkdir()
    truth = make(product)
    results = opened(truth, out)
    np.testing.assert_allclose(physical(out / "out.tif"), truth.values, rtol=2e-7, atol=1e-9)
    np.testing.assert_allclose(items(out / "out.tif", "wavelength"), truth.wavelengths, atol=0.005)
    if truth.fwhm is not None:
        np.testing.assert_allclose(items(out / "out.tif", "fwhm"), truth.fwhm, atol=0.005)
    bad = truth.bad if truth.bad is not None else np.zeros(len(truth.values), bool)
    np.testing.assert_array_equal(items(out / "out.tif", "bbl") == 0, bad)
    assert (results["SENSOR"], results["TIME"]) == (truth.sensor, truth.time)
    for name in ("out.tif", "mask.tif"):
        check_place(out / name, truth)
    mask = gdal.Open(str(out / "mask.tif"))
    assert mask.GetRasterBand(1).DataType == gdal.GDT_Byte
    np.testing.assert_array_equal(mask.ReadAsArray() != 0, truth.mask)
    told = gdal.Open(str(out / "out.tif")).GetMetadata()
    assert (told["PRODUCT_FAMILY"], told.get("PRODUCT_LEVEL")) == (truth.family, truth.level)


def check_place(path: Path, truth: Truth) -> None:
    dataset = gdal.Open(str(path))
    if truth.geotransform is None:
        places = gdal.Open(dataset.GetMetadataItem("X_DATASET", "GEOLOCATION")).ReadAsArray()
        np.testing.assert_allclose(places, truth.places, atol=2e-6)
        return
    pixel = abs(truth.geotransform[1])
    np.testing.assert_allclose(dataset.GetGeoTransform(), truth.geotransform, atol=1e-3 * pixel)
    expected = osr.SpatialReference()
    expected.ImportFromEPSG(truth.epsg)
    assert dataset.GetSpatialRef().IsSame(expected, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"])


# Products given to a fusion


def pair_of_products(folder: Path) -> tuple[Path, Path, pairs.Pair]:
    """An EnMAP L2A folder and a Sentinel-2 SAFE of one scene, taken 50 days apart, and the pair behind them."""
    pair = pairs.make_pair(folder)
    hsi, stored = folder / "enmap", np.rint(pairs.read(pair.hsi) * 4).astype(np.int16)
    grid, fine = gdal.Open(str(pair.hsi)).GetGeoTransform(), gdal.Open(str(pair.msi)).GetGeoTransform()
    dlr.write_enmap(hsi, stored, pairs.WAVELENGTHS, grid, 32632)
    bands = dict(zip(("B02", "B03", "B04", "B08"), np.rint(pairs.read(pair.msi) * 10).clip(1, 60000).astype(np.uint16)))
    scene = products.sentinel_2(folder, {**bands}, fine, 32632)
    return hsi, scene, pair


def test_two_products_are_fused_as_they_are(tmp_path):
    """By the folder of the one and the metadata file of the other; opened once; the dates are told to be apart."""
    hsi, msi, pair = pair_of_products(tmp_path)
    heard = []

    class Listener(Progress):
        def info(self, text: str) -> None:
            heard.append(text)

        def warn(self, text: str) -> None:
            heard.append(text)

    request = FusionRequest(
        hsi=str(hsi),
        msi=str(msi / "MTD_MSIL2A.xml"),
        output=str(tmp_path / "f.tif"),
        report=str(tmp_path / "f.html"),
        method="glp-hs",
    )
    with_closed_form.run(request, Listener())
    fused = physical(tmp_path / "f.tif") * 2500  # reflectance of four times the pair's numbers
    assert np.nanmean((fused - pair.truth) ** 2) < 0.05 * pair.truth.var()
    log = "\n".join(heard)
    assert "EnMAP L2A of 2022-07-24" in log and "Sentinel-2 L2A" in log and "kept in" in log
    assert "days apart" in log
    report = (tmp_path / "f.html").read_text(encoding="utf-8")
    assert "EnMAP L2A 2022-07-24" in report and "Sentinel-2 L2A 2023-06-01" in report
    heard.clear()
    with_closed_form.run(request, Listener())
    assert sum("was opened before" in text for text in heard) == 2


def test_the_mask_of_a_product_joins(tmp_path):
    """A pixel that the product calls cloud has no support."""
    hsi, msi, pair = pair_of_products(tmp_path)
    rows, cols = pairs.read(pair.hsi).shape[1:]
    cloud = np.zeros((rows, cols), np.uint8)
    cloud[2:5, 3:6] = 1
    dlr.add_enmap_layer(hsi, "CLOUD", cloud, gdal.Open(str(pair.hsi)).GetGeoTransform(), 32632)
    found = open_pair(str(hsi), str(msi), Progress())[0]
    values = found.read(range(rows), range(cols))
    assert np.isnan(values[:, cloud == 1]).all() and np.isfinite(values[:, cloud == 0]).all()


def test_only_the_part_that_both_share_is_kept(tmp_path):
    """The alignment, and so the result, is that of the whole product."""
    hsi, msi, pair = pair_of_products(tmp_path)
    whole = open_single(str(msi), "MSI", Progress())
    small = tmp_path / "small.tif"
    gdal.Translate(str(small), str(pair.hsi), srcWin=[2, 3, 10, 9])
    part = open_pair(str(small), str(msi), Progress())[1]
    assert part.cols < whole.cols and part.rows < whole.rows
    small_hsi = Raster.open(small, "HSI")
    first, second = align(small_hsi, whole), align(small_hsi, part)
    assert first.geotransform == pytest.approx(second.geotransform) and first.scene_shape == second.scene_shape
    assert (first.phase_x, first.phase_y) == pytest.approx((second.phase_x, second.phase_y))


# What is wrong with a product


def broken(tmp_path: Path, change: Callable[[Path], Path]) -> str:
    product = tmp_path / "product"
    product.mkdir()
    path = change(product)
    with pytest.raises(HSFusionError) as caught:
        run(ProductRequest(str(path), str(tmp_path / "out.tif"), str(tmp_path / "mask.tif")), Progress())
    left = [p for p in tmp_path.rglob("*") if p.is_file() and product not in p.parents and p != path]
    assert left == [], "nothing is left behind"
    return str(caught.value)


def truncated_zip(folder: Path) -> Path:
    path = tiles.sentinel2_zip(folder).path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def escaping_zip(folder: Path) -> Path:
    path = folder / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.txt", "x")
    return path


def encrypted_zip(folder: Path) -> Path:
    path = tiles.sentinel2_zip(folder).path
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\x01\x02", place + 4)
    path.write_bytes(bytes(data))
    return path


def linking_tar(folder: Path) -> Path:
    path = folder / "links.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("passwd")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return path


def without(pattern: str, make: Callable[[Path], Truth]) -> Callable[[Path], Path]:
    def change(folder: Path) -> Path:
        truth = make(folder)
        next(folder.rglob(pattern)).unlink()
        return truth.path

    return change


def other_band_count(folder: Path) -> Path:
    truth = dlr.enmap_l2a(folder)
    image = next(folder.glob("*SPECTRAL_IMAGE.TIF"))
    write_tiff(image, np.ones((5, 6, 9), np.int16), dlr.GRID, dlr.EPSG, -32768)
    return truth.path


def unknown_level(folder: Path) -> Path:
    truth = dlr.enmap_l2a(folder)
    for file in list(folder.iterdir()):
        text = file.name.replace("L2A", "L9X")
        file.rename(folder / text)
    path = next(folder.glob("*METADATA.XML"))
    path.write_text(path.read_text().replace("L2A", "L9X"))
    return truth.path


def truncated_hdf(folder: Path) -> Path:
    truth = hdf.emit_l2a(folder)
    truth.path.write_bytes(truth.path.read_bytes()[:3000])
    return truth.path


def no_image(folder: Path) -> Path:
    (folder / "notes.txt").write_text("nothing")
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (truncated_zip, ("S2B.zip", "incomplete")),
        (escaping_zip, ("evil.zip", "outside its folder")),
        (encrypted_zip, ("S2B.zip", "encrypted")),
        (linking_tar, ("links.tar.gz", "link")),
        (without("*B04_10m.jp2", tiles.sentinel2_l2a), ("B04_10m.jp2", "missing")),
        (without("*METADATA.XML", dlr.enmap_l2a), ("METADATA.XML", "missing")),
        (without("*SPECTRAL_IMAGE.TIF", dlr.enmap_l2a), ("SPECTRAL_IMAGE.TIF", "missing")),
        (without("*SR_B3.TIF", tiles.landsat_l2), ("SR_B3.TIF", "missing")),
        (other_band_count, ("5 bands", "do not belong together")),
        (unknown_level, ("level", "not known")),
        (truncated_hdf, ("EMIT_L2A_RFL", "incomplete")),
        (no_image, ("none of the products",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_bad_products_get_one_sentence(change, words, tmp_path):
    message = broken(tmp_path, change)
    assert all(word in message for word in words) and "\n" not in message and len(message) < 400, message


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bands": "B99"}, "BANDS: 'B99'"),
        ({"mask_classes": "bears"}, "MASK_CLASSES: 'bears'"),
        ({"resolution": 15.0}, "RESOLUTION is 15"),
        ({"pan": True}, "PAN: Sentinel-2"),
    ],
)
def test_what_the_product_does_not_have(parameters, words, tmp_path):
    truth = tiles.sentinel2_l2a(tmp_path)
    with pytest.raises(HSFusionError, match=words):
        opened(truth, tmp_path, **parameters)


def test_bands_and_classes_are_chosen(tmp_path):
    truth = tiles.sentinel2_l2a(tmp_path)
    opened(truth, tmp_path, bands="480-570, B8A", mask_classes="cloud")
    assert items(tmp_path / "out.tif", "wavelength") == pytest.approx([492.1, 559.0, 864.0])
    mask = gdal.Open(str(tmp_path / "mask.tif")).ReadAsArray()
    assert (mask == 0).sum() == 4 and not mask[4:6, 4:6].any()


def test_a_vrt_reads_the_product_in_place(tmp_path):
    product = tmp_path / "product"
    product.mkdir()
    truth = dlr.enmap_l2a(product)
    run(ProductRequest(str(product), str(tmp_path / "out.vrt"), None), Progress())
    np.testing.assert_allclose(physical(tmp_path / "out.vrt"), truth.values, rtol=2e-7)
    np.testing.assert_allclose(items(tmp_path / "out.vrt", "wavelength"), truth.wavelengths)
    check_place(tmp_path / "out.vrt", truth)


def test_qgis_process_opens_a_product(qgis_process, tmp_path):
    product = tmp_path / "product"
    product.mkdir()
    truth = hdf.neon(product)
    result = qgis_process(
        "hsfusion:openproduct",
        PRODUCT=truth.path,
        OUTPUT=tmp_path / "out.tif",
        MASK=tmp_path / "mask.tif",
        BANDS="good",
    )
    assert result.outputs["SENSOR"] == "NEON AOP" and result.seconds < 60
    np.testing.assert_allclose(physical(tmp_path / "out.tif"), truth.values[~truth.bad], rtol=1e-6)
    failed = qgis_process("hsfusion:openproduct", check=False, PRODUCT=tmp_path / "none", OUTPUT=tmp_path / "o.tif")
    assert failed.code == 1 and "does not exist" in failed.error


def test_the_dialog_has_buttons_for_a_file_and_a_folder(provider):
    from processing.gui.wrappers import WidgetWrapperFactory
    from qgis.PyQt.QtWidgets import QDialog, QToolButton

    algorithm, dialog = provider.algorithm("openproduct"), QDialog()
    wrapper = WidgetWrapperFactory.create_wrapper(algorithm.parameterDefinition("PRODUCT"), dialog)
    widget = wrapper.createWidget()
    assert len(widget.findChildren(QToolButton)) == 2
    wrapper.setValue("/a/product.SAFE")
    assert wrapper.value() == "/a/product.SAFE"
    dialog.close()


def test_a_mask_of_a_swath_is_a_mask(tmp_path):
    """OUTPUT and MASK of a swath lie together on the MSI's grid; both may be moved together."""
    truth = hdf.prisma_l1(tmp_path)
    opened(truth, tmp_path)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in ("out.tif", "mask.tif", "out_places.tif", "mask_places.tif"):
        (tmp_path / file).rename(moved / file)
    lon, lat = truth.places
    grid = (lon.min(), 0.0001, 0.0, lat.max(), 0.0, -0.0001)
    msi = Raster.open(write_tiff(tmp_path / "msi.tif", np.ones((1, 16, 25), np.uint16), grid, 4326), "MSI")
    mask, said = mask_on_grid_of(Raster.open(moved / "mask.tif", "MASK"), msi)
    assert "swath" in said
    found = mask.read(range(16), range(25))[0]
    assert found[3, 4] == 0 and found[0, 10] == 1 and found[10, 14] == 1, "row 1, column 1 of the swath is cloud"


# Cubes that no family knows


def test_a_cube_is_recognised_by_its_structure(tmp_path):
    """Bands in the middle, a list of wavelengths in micrometres under another name, rows that run north."""
    import h5py

    values = np.random.default_rng(0).uniform(0, 1, (6, 5, 7)).astype("f4")  # band, row, column
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file.create_dataset("data/cube", data=values[:, ::-1].transpose(1, 0, 2))
        file.create_dataset("data/northing", data=5000.0 + 30 * np.arange(5))
        file.create_dataset("data/easting", data=400.0 + 30 * np.arange(7))
        file.create_dataset("info/center_wavelengths", data=np.linspace(0.45, 2.2, 6))
        file.attrs["epsg"] = 32633
        for number in range(300):
            file.create_dataset(f"logs/run_{number}/angle", data=float(number))
    began = time.monotonic()
    run(ProductRequest(str(tmp_path / "cube.h5"), str(tmp_path / "out.tif")), Progress())
    assert time.monotonic() - began < 10
    np.testing.assert_allclose(physical(tmp_path / "out.tif"), values, rtol=1e-6)
    np.testing.assert_allclose(items(tmp_path / "out.tif", "wavelength"), np.linspace(450, 2200, 6))
    found = gdal.Open(str(tmp_path / "out.tif"))
    assert found.GetGeoTransform() == pytest.approx((385, 30, 0, 5135, 0, -30))
    assert found.GetSpatialRef().GetAuthorityCode(None) == "32633"


def test_a_cube_without_wavelengths_is_told_what_it_lacks(tmp_path):
    import h5py

    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file.create_dataset("a/cube", data=np.ones((4, 5, 6)))
        file.create_dataset("a/other", data=np.ones((5, 6)))
    with pytest.raises(HSFusionError, match=r"a/cube \(4 x 5 x 6\).*wavelength.*subdataset HDF5:"):
        run(ProductRequest(str(tmp_path / "cube.h5"), str(tmp_path / "out.tif")), Progress())
