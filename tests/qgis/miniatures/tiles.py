"""Sentinel-2 (ESA, S2-PDGS-TAS-DI-PSD) and Landsat (USGS, collection 2)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from .truth import Truth, spectra, write_jp2, write_tiff

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
GSD = dict(zip(BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20)))
NM = dict(zip(BANDS, (442.2, 492.1, 559.0, 664.9, 703.8, 739.1, 779.7, 832.9, 864.0, 943.2, 1376.9, 1610.4, 2185.7)))
WIDTH = dict(zip(BANDS, (19, 64, 34, 29, 14, 12, 18, 104, 20, 19, 28, 92, 183)))
LEFT, TOP, EPSG, SIDE = 399960.0, 5800020.0, 32633, 12  # SIDE: pixels of 10 m of a tile


def sentinel2_l2a(folder: Path, tile: str = "T33UUU", left: float = LEFT, offset: int = -1000) -> Truth:
    """Level 2A of baseline 05.09: an offset of -1000, 0 = nodata, the scene classes at 20 m; the tile has 12 x 12
    pixels of 10 m.
    """
    taken = "20230601T101559"
    product = folder / f"S2B_MSIL2A_{taken}_N0509_R065_{tile}_20230601T131200.SAFE"
    granule = product / "GRANULE" / f"L2A_{tile}_A032571_{taken}"
    listed, images = [], {}
    for number, band in enumerate(b for b in BANDS if b != "B10"):
        for gsd in sorted({GSD[band], *({20} if GSD[band] == 10 and band != "B08" else set()), 60}):
            side = SIDE * 10 // gsd
            values = np.rint(spectra(1, side, side, 1001, 9000, 100 * number + gsd)[0]).astype(np.uint16)
            if gsd == GSD[band]:
                values[0, 0] = 0
                images[band] = values
            listed.append(_image(granule, tile, taken, band, gsd, values, left))
    classes = np.full((6, 6), 4, np.uint8)
    classes[0, 0], classes[2, 2], classes[3, 3], classes[4, 4] = 0, 9, 3, 10
    listed.append(_image(granule, tile, taken, "SCL", 20, classes, left))
    (product / "MTD_MSIL2A.xml").write_text(_product_xml("2A", product.name, listed, offset), encoding="utf-8")
    (granule / "MTD_TL.xml").write_text(_tile_xml("2A", left), encoding="utf-8")
    (product / "manifest.safe").write_text("<xfdu/>")
    names = [band for band in BANDS if band != "B10"]
    layers = [np.kron(images[b], np.ones((GSD[b] // 10,) * 2)) for b in names]
    values = np.array([np.where(layer == 0, np.nan, (layer + offset) / 10000) for layer in layers])
    good = [i for i, b in enumerate(names) if GSD[b] < 60]
    mask = ~np.isnan(values[good]).all(axis=0) & (np.kron(np.isin(classes, (0, 9, 3, 10)), np.ones((2, 2))) == 0)
    return Truth(
        product, values, np.array([NM[b] for b in names]), np.array([WIDTH[b] for b in names], float),
        (left, 10.0, 0.0, TOP, 0.0, -10.0), EPSG, mask, "Sentinel-2", "L2A", "Sentinel-2B", "2023-06-01T10:15:59Z",
        np.array([GSD[b] == 60 for b in names]),
    )  # fmt: skip


def sentinel2_zip(folder: Path) -> Truth:
    """The same inside a .zip, from before the offset."""
    truth = sentinel2_l2a(folder / "inside", offset=0)
    path = folder / "S2B.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(truth.path.rglob("*")):
            archive.write(file, file.relative_to(truth.path.parent))
    truth.path = path
    return truth


def sentinel2_two_tiles(folder: Path) -> Truth:
    """Two neighbouring tiles of one date, in a folder, at 20 m."""
    west, east = (sentinel2_l2a(folder, tile, left) for tile, left in (("T33UUU", LEFT), ("T33UVU", LEFT + SIDE * 10)))
    fine = np.concatenate([west.values, east.values], axis=2)
    keep = [i for i, b in enumerate(b for b in BANDS if b != "B10") if GSD[b] == 20]
    west.path, west.parameters = folder, {"resolution": 20.0, "bands": "B05,B06,B07,B8A,B11,B12"}
    west.values, west.wavelengths, west.fwhm = fine[keep][:, ::2, ::2], west.wavelengths[keep], west.fwhm[keep]
    west.mask = np.concatenate([west.mask, east.mask], axis=1)[1::2, 1::2]
    west.mask &= ~np.isnan(west.values).all(axis=0)
    west.geotransform, west.bad = (LEFT, 20.0, 0.0, TOP, 0.0, -20.0), None
    return west


def _image(granule: Path, tile: str, taken: str, band: str, gsd: int, values: np.ndarray, left: float) -> str:
    path = granule / "IMG_DATA" / f"R{gsd}m" / f"{tile}_{taken}_{band}_{gsd}m.jp2"
    write_jp2(path, values, (left, float(gsd), 0.0, TOP, 0.0, -float(gsd)), EPSG)
    return f"<IMAGE_FILE>GRANULE/{granule.name}/IMG_DATA/R{gsd}m/{path.stem}</IMAGE_FILE>"


def _product_xml(level: str, name: str, listed: list[str], offset: int) -> str:
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="{b}"><RESOLUTION>{GSD[b]}</RESOLUTION><Wavelength><MIN unit="nm">1</MIN>'  # noqa: E501
        f'<MAX unit="nm">2</MAX><CENTRAL unit="nm">{NM[b]}</CENTRAL></Wavelength></Spectral_Information>'
        for i, b in enumerate(BANDS)
    )
    key = "BOA_ADD_OFFSET" if level == "2A" else "RADIO_ADD_OFFSET"
    offsets = "".join(f'<{key} band_id="{i}">{offset}</{key}>' for i in range(13)) if offset else ""
    quantification = (
        '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'  # noqa: E501
        if level == "2A"
        else '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD">'
        "<n1:General_Info><Product_Info><PRODUCT_START_TIME>2023-06-01T10:15:59.024Z</PRODUCT_START_TIME>"
        f"<PRODUCT_URI>{name}</PRODUCT_URI><PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>"
        f"<PROCESSING_BASELINE>{'05.09' if offset else '03.01'}</PROCESSING_BASELINE><Datatake><SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>"  # noqa: E501
        "<DATATAKE_SENSING_START>2023-06-01T10:15:59.024Z</DATATAKE_SENSING_START></Datatake><Product_Organisation><Granule_List>"
        f'<Granule imageFormat="JPEG2000">{"".join(listed)}</Granule></Granule_List></Product_Organisation></Product_Info>'  # noqa: E501
        f"<Product_Image_Characteristics>{quantification}<Offset_List>{offsets}</Offset_List>"
        f"<Spectral_Information_List>{spectral}</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info>"
        f"</n1:Level-{level}_User_Product>"
    )


def _tile_xml(level: str, left: float) -> str:
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{SIDE * 10 // r}</NROWS><NCOLS>{SIDE * 10 // r}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{left:.0f}</ULX><ULY>{TOP:.0f}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM></Geoposition>'  # noqa: E501
        for r in (10, 20, 60)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD">'
        f'<n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief"><HORIZONTAL_CS_CODE>EPSG:{EPSG}</HORIZONTAL_CS_CODE>{sizes}'  # noqa: E501
        f"</Tile_Geocoding></n1:Geometric_Info></n1:Level-{level}_Tile_ID>"
    )


LANDSAT_GRID = (300000.0, 30.0, 0.0, 4500000.0, 0.0, -30.0)
LANDSAT_NM = np.array([442.8, 482.3, 560.9, 654.3, 864.6, 1608.4, 2201.1])
LANDSAT_WIDTH = np.array([14.0, 59.0, 56.0, 36.0, 27.0, 85.0, 188.0])


def landsat_l2(folder: Path) -> Truth:
    """Landsat 9, level 2: reflectance 2.75e-5 x - 0.2, fill 0, bits of QA_PIXEL and QA_RADSAT."""
    rows, cols, name = 5, 7, "LC09_L2SP_191031_20230614_20230616_02_T1"
    stored = np.rint(spectra(7, rows, cols, 7000, 40000)).astype(np.uint16)
    stored[:, 0, 0] = 0
    lines = [f'    FILE_NAME_BAND_{i + 1} = "{name}_SR_B{i + 1}.TIF"' for i in range(7)]
    for number, layer in enumerate(stored, 1):
        write_tiff(folder / f"{name}_SR_B{number}.TIF", layer, LANDSAT_GRID, 32633)
    quality = np.full((rows, cols), 21824, np.uint16)
    quality[0, 0], quality[1, 1], quality[2, 2], quality[3, 3] = 1, 1 << 3, 1 << 4, 1 << 2
    saturation = np.zeros((rows, cols), np.uint16)
    saturation[4, 4] = 1 << 4
    write_tiff(folder / f"{name}_QA_PIXEL.TIF", quality, LANDSAT_GRID, 32633)
    write_tiff(folder / f"{name}_QA_RADSAT.TIF", saturation, LANDSAT_GRID, 32633)
    (folder / f"{name}_MTL.txt").write_text(_mtl(name, lines, "L2SP"))
    mask = np.ones((rows, cols), bool)
    for number in range(5):
        mask[number, number] = False
    values = np.where(stored == 0, np.nan, stored * 2.75e-5 - 0.2)
    return Truth(
        folder, values, LANDSAT_NM, LANDSAT_WIDTH, LANDSAT_GRID, 32633, mask,
        "Landsat", "L2", "Landsat-9", "2023-06-14T09:33:44Z",
    )  # fmt: skip


def landsat_l1_pan(folder: Path) -> Truth:
    """Landsat 9, level 1: the panchromatic band, reflectance by the sun's elevation."""
    rows, cols, name = 10, 14, "LC09_L1TP_191031_20230614_20230616_02_T1"
    stored = np.rint(spectra(1, rows, cols, 5000, 40000)).astype(np.uint16)
    grid = (299992.5, 15.0, 0.0, 4500007.5, 0.0, -15.0)
    write_tiff(folder / f"{name}_B8.TIF", stored, grid, 32633)
    (folder / f"{name}_MTL.txt").write_text(_mtl(name, [f'    FILE_NAME_BAND_8 = "{name}_B8.TIF"'], "L1TP"))
    values = (stored * 2e-5 - 0.1) / np.sin(np.radians(62.5))
    return Truth(
        folder / f"{name}_MTL.txt", values, np.array([593.9]), np.array([172.0]), grid, 32633, np.ones((rows, cols), bool),  # noqa: E501
        "Landsat", "L1", "Landsat-9", "2023-06-14T09:33:44Z", parameters={"pan": True},
    )  # fmt: skip


def _mtl(name: str, files: list[str], level: str) -> str:
    factors = [
        f"    REFLECTANCE_MULT_BAND_{i} = 2.0000E-05\n    REFLECTANCE_ADD_BAND_{i} = -0.100000" for i in range(1, 10)
    ]
    surface = [f"    REFLECTANCE_MULT_BAND_{i} = 2.75e-05\n    REFLECTANCE_ADD_BAND_{i} = -0.2" for i in range(1, 8)]
    groups = {
        "PRODUCT_CONTENTS": [
            f'    LANDSAT_PRODUCT_ID = "{name}"',
            f'    PROCESSING_LEVEL = "{level}"',
            "    COLLECTION_NUMBER = 02",
            *files,
            f'    FILE_NAME_QUALITY_L1_PIXEL = "{name}_QA_PIXEL.TIF"',
            f'    FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION = "{name}_QA_RADSAT.TIF"',
        ],
        "IMAGE_ATTRIBUTES": [
            '    SPACECRAFT_ID = "LANDSAT_9"',
            '    SENSOR_ID = "OLI_TIRS"',
            "    DATE_ACQUIRED = 2023-06-14",
            '    SCENE_CENTER_TIME = "09:33:44.1234560Z"',
            "    SUN_ELEVATION = 62.5",
        ],
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": surface if level == "L2SP" else [],
        "LEVEL1_RADIOMETRIC_RESCALING": factors,
    }
    body = "\n".join(
        f"  GROUP = {g}\n" + "\n".join(lines) + f"\n  END_GROUP = {g}" for g, lines in groups.items() if lines
    )
    return f"GROUP = LANDSAT_METADATA_FILE\n{body}\nEND_GROUP = LANDSAT_METADATA_FILE\nEND\n"


MAKERS = (sentinel2_l2a, sentinel2_zip, sentinel2_two_tiles, landsat_l2, landsat_l1_pan)
