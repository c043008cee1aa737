#!/usr/bin/env python3
"""How long and with how much memory two products of full size are fused, beside the same pair as plain GeoTIFFs.

usage: scripts/dev/products_full_size.py FOLDER [METHOD]     with QGIS's Python, from the root of the repository

Makes a synthetic EnMAP L2A scene (1,000 x 1,000 pixels, 224 bands) and a Sentinel-2 L2A cut of the same place (3,000 x
3,000 pixels of 10 m) below FOLDER, fuses them through qgis_process, and prints a table in Markdown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[2]
SIDE, RATIO, BANDS, EPSG = 1000, 3, 224, 32633
CORNER = (400000.0, 5800020.0)
NAME = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z-"
S2 = {"B02": 492.1, "B03": 559.0, "B04": 664.9, "B08": 832.9}
QGIS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")


def wavelengths() -> np.ndarray:
    """EnMAP's, about: two cameras that overlap."""
    return np.concatenate([np.linspace(418.2, 993.3, 91), np.linspace(902.2, 2445.5, 133)])


def spectra() -> np.ndarray:
    """Six smooth reflectance spectra (materials, bands), times 10,000."""
    rng = np.random.default_rng(0)
    knots = np.linspace(400, 2500, 12)
    return np.array([np.interp(wavelengths(), knots, rng.uniform(200, 5000, 12)) for _ in range(6)])


def abundances(side: int) -> np.ndarray:
    """Shares of the materials (6, side, side), smooth and sharp at once."""
    rng = np.random.default_rng(1)
    shares = np.empty((6, side, side), np.float32)
    frequency = np.abs(np.fft.fftfreq(side))[:, None] + np.abs(np.fft.rfftfreq(side))[None]
    for layer in shares:
        noise = np.fft.rfft2(rng.standard_normal((side, side)).astype(np.float32))
        layer[...] = np.fft.irfft2(noise / np.maximum(frequency, 1 / side) ** 1.3, (side, side))
        layer[...] = np.exp(2 * layer / layer.std())
    return shares / shares.sum(axis=0)


def created(path: Path, driver: str, side: int, count: int, kind: int, pixel: float) -> gdal.Dataset:
    """An empty raster on the scene's corner."""
    made = gdal.GetDriverByName(driver).Create(str(path) if driver != "MEM" else "", side, side, count, kind)
    made.SetGeoTransform((CORNER[0], pixel, 0, CORNER[1], 0, -pixel))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(EPSG)
    made.SetProjection(reference.ExportToWkt())
    return made


def make_enmap(folder: Path, coarse: np.ndarray) -> Path:
    """The product's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    image = created(folder / f"{NAME}SPECTRAL_IMAGE.TIF", "GTiff", SIDE, BANDS, gdal.GDT_Int16, 30.0)
    rng = np.random.default_rng(2)
    for number, weights in enumerate(spectra().T, 1):
        layer = np.tensordot(weights, coarse, 1) + rng.normal(0, 8, coarse.shape[1:])
        image.GetRasterBand(number).WriteArray(np.rint(layer).astype(np.int16))
        image.GetRasterBand(number).SetNoDataValue(-32768)
    image = None
    cloud = created(folder / f"{NAME}QL_QUALITY_CLOUD.TIF", "GTiff", SIDE, 1, gdal.GDT_Byte, 30.0)
    cloud.GetRasterBand(1).WriteArray(np.pad(np.ones((40, 40), np.uint8), ((100, 860), (200, 760))))
    cloud = None
    bands = "".join(
        f'<bandID number="{i}"><wavelengthCenterOfBand>{nm:.3f}</wavelengthCenterOfBand><FWHMOfBand>8.0</FWHMOfBand>'
        "<GainOfBand>1e-4</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>"
        for i, nm in enumerate(wavelengths(), 1)
    )
    text = (
        "<level_X><base><level>L2A</level><temporalCoverage><startTime>2022-07-24T10:45:26Z</startTime></temporalCoverage></base>"
        f"<specific><bandCharacterisation>{bands}</bandCharacterisation></specific></level_X>"
    )
    (folder / f"{NAME}METADATA.XML").write_text(text, encoding="utf-8")
    return folder


def make_sentinel2(folder: Path, fine: np.ndarray) -> Path:
    """The product's .SAFE folder: four bands of 10 m, with an offset of -1000."""
    tile, taken = "T33UUU", "20220725T101559"
    product = folder / f"S2B_MSIL2A_{taken}_N0509_R065_{tile}_20220725T131200.SAFE"
    granule = product / "GRANULE" / f"L2A_{tile}_A032571_{taken}"
    images = granule / "IMG_DATA" / "R10m"
    images.mkdir(parents=True, exist_ok=True)
    listed = []
    for band, nm in S2.items():
        weights = spectra()[:, int(np.argmin(np.abs(wavelengths() - nm)))]
        memory = created(Path(), "MEM", SIDE * RATIO, 1, gdal.GDT_UInt16, 10.0)
        memory.GetRasterBand(1).WriteArray(np.rint(np.tensordot(weights, fine, 1) + 1000).astype(np.uint16))
        name = f"{tile}_{taken}_{band}_10m"
        gdal.GetDriverByName("JP2OpenJPEG").CreateCopy(
            str(images / f"{name}.jp2"), memory, options=["REVERSIBLE=YES", "QUALITY=100"]
        )
        listed.append(f"<IMAGE_FILE>GRANULE/{granule.name}/IMG_DATA/R10m/{name}</IMAGE_FILE>")
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-1000</BOA_ADD_OFFSET>' for i in range(13))
    (product / "MTD_MSIL2A.xml").write_text(
        "<n1:Level-2A_User_Product><General_Info><Product_Info><PRODUCT_START_TIME>2022-07-25T10:15:59.024Z</PRODUCT_START_TIME>"
        f"<SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME><Granule>{''.join(listed)}</Granule></Product_Info><Product_Image_Characteristics>"
        f"<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>{offsets}</Product_Image_Characteristics></General_Info></n1:Level-2A_User_Product>"
    )
    side = SIDE * RATIO
    (granule / "MTD_TL.xml").write_text(
        f'<n1:Tile><HORIZONTAL_CS_CODE>EPSG:{EPSG}</HORIZONTAL_CS_CODE><Size resolution="10"><NROWS>{side}</NROWS><NCOLS>{side}</NCOLS></Size>'  # noqa: E501
        f'<Geoposition resolution="10"><ULX>{CORNER[0]}</ULX><ULY>{CORNER[1]}</ULY></Geoposition></n1:Tile>'
    )
    return product


def make_pair(folder: Path) -> tuple[Path, Path]:
    """EnMAP and Sentinel-2 of one scene; those of an earlier run are used again."""
    found = sorted(folder.glob("S2B_*.SAFE"))
    if found and (folder / "enmap").is_dir():
        return folder / "enmap", found[0]
    fine = abundances(SIDE * RATIO)
    coarse = fine.reshape(6, SIDE, RATIO, SIDE, RATIO).mean(axis=(2, 4))
    return make_enmap(folder / "enmap", coarse), make_sentinel2(folder, fine)


def timed(algorithm: str, folder: Path, **parameters: object) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of all processors, gigabytes at most."""
    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    if not (plugins / "hsfusion").exists():
        (plugins / "hsfusion").symlink_to(ROOT)
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(plugins),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "HSFUSION_WORK": str(folder / "work"),
    }
    subprocess.run([QGIS, "plugins", "enable", "hsfusion"], env=environment, capture_output=True, check=False)
    command = [QGIS, "run", f"hsfusion:{algorithm}", "--", *(f"{k}={v}" for k, v in parameters.items())]
    began, log = time.monotonic(), folder / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(log.read_text()[-2000:])
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def main() -> None:
    folder = Path(sys.argv[1])
    method = sys.argv[2] if len(sys.argv) > 2 else "glp-hs"
    hsi, msi = make_pair(folder)
    rows = []
    for name, product in (("EnMAP", hsi), ("Sentinel-2", msi)):
        outputs = {"OUTPUT": folder / f"{name}.tif", "MASK": folder / f"{name}_mask.tif"}
        rows.append((f"`openproduct` {name}", *timed("openproduct", folder, PRODUCT=product, **outputs)))
    plain = {"HSI": folder / "EnMAP.tif", "MSI": folder / "Sentinel-2.tif"}
    products = {"HSI": hsi, "MSI": msi}
    for name, pair in (("plain GeoTIFFs", plain), ("products", products), ("products, opened before", products)):
        found = timed("fuseclassical", folder, **pair, METHOD=method, OUTPUT=folder / "fused.tif")
        rows.append((f"`fuseclassical` {method}, {name}", *found))
    print("| step | seconds | processor seconds | GB |\n|---|---|---|---|")
    for name, seconds, busy, memory in rows:
        print(f"| {name} | {seconds:.0f} | {busy:.0f} | {memory:.2f} |")


if __name__ == "__main__":
    main()
