"""Products of makers: STAC items (Wyvern), Planet, Maxar, Airbus, Gaofen, drones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from osgeo import gdal

from .truth import Truth, spectra, write_tiff

GRID, EPSG = (500000.0, 3.0, 0.0, 5600000.0, 0.0, -3.0), 32632


def stored(count: int, rows: int = 5, cols: int = 6, low: float = 1, high: float = 9000) -> np.ndarray:
    """Whole numbers, the first pixel without data."""
    values = np.rint(spectra(count, rows, cols, low, high)).astype(np.uint16)
    values[:, 0, 0] = 0
    return values


def truth(path: Path, values: np.ndarray, scale, nm, fwhm, family: str, level, sensor: str, time: str, **more) -> Truth:
    """Of numbers whose zeros are no data."""
    mask = ~(values == 0).all(axis=0)
    physical = np.where(values == 0, np.nan, values * np.reshape(scale, (-1, 1, 1)))
    grid = more.pop("grid", GRID)
    return Truth(
        path,
        physical,
        np.array(nm),
        None if fwhm is None else np.array(fwhm),
        grid,
        EPSG,
        mask,
        family,
        level,
        sensor,
        time,
        **more,
    )


def wyvern(folder: Path) -> Truth:
    """Dragonette: bands named after wavelengths, a STAC item with widths and a cloud mask."""
    nm, values = [503.0, 570.0, 650.0, 799.0], stored(4)
    image = write_tiff(folder / "wyvern_dragonette-001_20240512T142233_abc.tiff", values, GRID, EPSG, 0)
    cloud = np.zeros((5, 6), np.uint8)
    cloud[2, 2] = 1
    write_tiff(folder / "cloud.tiff", cloud, GRID, EPSG)
    bands = [{"name": f"Band_{n:.0f}", "center_wavelength": n / 1e3, "full_width_half_max": 0.0195} for n in nm]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "wyvern_dragonette-001_20240512T142233_abc",
        "properties": {"datetime": "2024-05-12T14:22:33.1Z", "platform": "dragonette-001"},
        "assets": {
            "Cube": {"href": f"./{image.name}", "eo:bands": bands, "raster:bands": [{"nodata": 0, "scale": 0.01}] * 4},
            "mask": {"href": "./cloud.tiff", "roles": ["cloud"]},
        },
    }
    (folder / "item.json").write_text(json.dumps(item))
    found = truth(folder, values, 0.01, nm, [19.5] * 4, "STAC item", None, "dragonette-001", "2024-05-12T14:22:33Z")
    found.mask[2, 2] = False
    return found


def superdove(folder: Path) -> Truth:
    """PlanetScope of 8 bands, surface reflectance, with its udm2."""
    values, stem = stored(8), "20230615_093344_12_2461"
    image = write_tiff(folder / f"{stem}_3B_AnalyticMS_SR_8b.tif", values, GRID, EPSG, 0)
    mask = np.zeros((8, 5, 6), np.uint8)
    mask[0] = 1
    mask[5, 1, 1] = mask[2, 3, 3] = 1
    write_tiff(folder / f"{stem}_3B_udm2.tif", mask, GRID, EPSG)
    nm = [443.7, 492.3, 532.7, 565.8, 611.6, 666.4, 707.0, 865.5]
    fwhm = [20.0, 52.0, 37.0, 38.0, 23.0, 32.0, 16.0, 41.0]
    found = truth(
        image,
        values,
        1e-4,
        nm,
        fwhm,
        "PlanetScope",
        "surface reflectance",
        "PlanetScope-SuperDove",
        "2023-06-15T09:33:44Z",
    )
    found.mask[1, 1] = found.mask[3, 3] = False
    return found


def worldview2(folder: Path) -> Truth:
    """Standard image with an IMD: radiance factors for every band."""
    codes, values = ("C", "B", "G", "Y", "R", "RE", "N", "N2"), stored(8)
    cal, width = np.linspace(7e-3, 1.3e-2, 8), np.linspace(3.7e-2, 1e-1, 8)
    write_tiff(folder / "10JUN29093012-M2AS-052345.TIF", values, GRID, EPSG)
    groups = "\n".join(
        f"BEGIN_GROUP = BAND_{code}\n\tULLon = 1;\n\tabsCalFactor = {a!r};\n\teffectiveBandwidth = {w!r};\nEND_GROUP = "
        f"BAND_{code}"
        for code, a, w in zip(codes, cal, width)
    )
    imd = (
        'version = "28.3";\nproductLevel = "LV2A";\nbandId = "Multi";\n'
        f'{groups}\nBEGIN_GROUP = IMAGE_1\n\tsatId = "WV02";\n\tfirstLineTime = 2010-06-29T09:30:12.456789Z;\nEND_GROUP = IMAGE_1\nEND;\n'  # noqa: E501
    )
    (folder / "10JUN29093012-M2AS-052345.IMD").write_text(imd)
    nm = [428.4, 479.2, 547.6, 608.0, 659.2, 723.8, 827.7, 923.3]
    fwhm = [51.0, 60.0, 69.0, 38.0, 58.0, 39.0, 117.0, 92.0]
    return truth(folder, values, cal / width, nm, fwhm, "WorldView-2", "LV2A", "WorldView-2", "2010-06-29T09:30:12Z")


def pleiades(folder: Path) -> Truth:
    """DIMAP 2: bands in another order than their names, radiance = number / GAIN + BIAS."""
    values, gains = stored(4), {"B2": 10.46, "B1": 9.94, "B0": 9.23, "B3": 15.69}
    write_tiff(folder / "IMG_PHR1B_MS_202306150933449_ORT_1_R1C1.TIF", values, GRID, EPSG)
    index = "".join(
        f"<Raster_Index><BAND_ID>{b}</BAND_ID><BAND_INDEX>{i}</BAND_INDEX></Raster_Index>"
        for i, b in enumerate(gains, 1)
    )
    factors = "".join(
        f"<Band_Radiance><BAND_ID>{b}</BAND_ID><GAIN>{g}</GAIN><BIAS>0</BIAS></Band_Radiance>" for b, g in gains.items()
    )
    (folder / "DIM_PHR1B_MS_202306150933449_ORT_1.XML").write_text(
        '<?xml version="1.0"?><Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>'  # noqa: E501
        "</Metadata_Identification><Dataset_Identification><DATASET_NAME>PHR1B_1</DATASET_NAME></Dataset_Identification>"
        "<Dataset_Content><Dataset_Components/></Dataset_Content><Processing_Information><Product_Settings><PROCESSING_LEVEL>ORTHO</PROCESSING_LEVEL>"
        "<Radiometric_Settings><RADIOMETRIC_PROCESSING>BASIC</RADIOMETRIC_PROCESSING></Radiometric_Settings></Product_Settings></Processing_Information>"
        "<Raster_Data><Data_Access><DATA_FILE_ORGANISATION>BAND_COMPOSITE</DATA_FILE_ORGANISATION><DATA_FILE_FORMAT>image/tiff</DATA_FILE_FORMAT>"
        '<DATA_FILE_TILES>true</DATA_FILE_TILES><Data_Files><Data_File tile_R="1" tile_C="1">'
        '<DATA_FILE_PATH href="IMG_PHR1B_MS_202306150933449_ORT_1_R1C1.TIF"/></Data_File></Data_Files></Data_Access>'
        f"<Raster_Dimensions><NROWS>5</NROWS><NCOLS>6</NCOLS><NBANDS>4</NBANDS><Tile_Set><NTILES>1</NTILES><Regular_Tiling>"
        '<NTILES_SIZE nrows="5" ncols="6"/><NTILES_COUNT ntiles_R="1" ntiles_C="1"/><OVERLAP_COL>0</OVERLAP_COL><OVERLAP_ROW>0</OVERLAP_ROW>'  # noqa: E501
        "</Regular_Tiling></Tile_Set></Raster_Dimensions><Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN></Raster_Encoding>"
        f"<Raster_Display><Raster_Index_List>{index}</Raster_Index_List><Special_Value><SPECIAL_VALUE_COUNT>0</SPECIAL_VALUE_COUNT>"
        "<SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT></Special_Value></Raster_Display></Raster_Data>"
        f"<Radiometric_Data><Radiometric_Calibration><Instrument_Calibration><Band_Measurement_List>{factors}</Band_Measurement_List>"
        "</Instrument_Calibration></Radiometric_Calibration></Radiometric_Data><Geoposition><Geoposition_Insert><ULXMAP>500000</ULXMAP><ULYMAP>5600000</ULYMAP>"
        "<XDIM>3</XDIM><YDIM>3</YDIM></Geoposition_Insert></Geoposition><Coordinate_Reference_System><Projected_CRS><PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::32632"
        "</PROJECTED_CRS_CODE></Projected_CRS></Coordinate_Reference_System>"
        "<Dataset_Sources><Source_Identification><Strip_Source><MISSION>PLEIADES</MISSION><MISSION_INDEX>1B</MISSION_INDEX>"
        "<IMAGING_DATE>2023-06-15</IMAGING_DATE><IMAGING_TIME>09:33:44.9Z</IMAGING_TIME></Strip_Source></Source_Identification></Dataset_Sources></Dimap_Document>"
    )
    scale = [1 / g for g in gains.values()]
    nm, fwhm = [662.8, 558.2, 504.9, 844.0], [75.0, 82.5, 72.5, 127.5]
    return truth(folder, values, scale, nm, fwhm, "Pleiades-1B", "ORTHO", "Pleiades-1B", "2023-06-15T09:33:44Z")


def gaofen5(folder: Path) -> Truth:
    """AHSI: two cameras, tables of wavelengths and calibration as texts."""
    stem, names = (
        "GF5_AHSI_E110.5_N20.5_20190722_006462_L10000050876",
        {"VN": [400.1, 700.5, 1010.2], "SW": [1020.4, 2500.9]},
    )
    layers, scales = [], []
    for part, nm in names.items():
        values, gains = stored(len(nm)), np.linspace(0.01, 0.02, len(nm)) * (1 if part == "VN" else 3)
        write_tiff(folder / f"{stem}_{part}.geotiff", values, GRID, EPSG)
        (folder / f"GF5_AHSI_Spectralresponse_{part}.raw").write_text(
            "\n".join(f"{n},{4.5 if part == 'VN' else 8.2}" for n in nm)
        )
        (folder / f"GF5_AHSI_RadCal_{part}.raw").write_text("\n".join(f"{float(g)!r},0.0" for g in gains))
        layers.append(values)
        scales += list(gains)
    nm, fwhm = [n for part in names.values() for n in part], [4.5] * 3 + [8.2] * 2
    return truth(folder, np.concatenate(layers), scales, nm, fwhm, "Gaofen-5 AHSI", None, "GF-5-AHSI", "2019-07-22")


def gaofen2(folder: Path) -> Truth:
    """PMS: numbers as stored."""
    values, stem = stored(4), "GF2_PMS1_E113.1_N22.9_20180612_L1A0003253012-MSS1"
    write_tiff(folder / f"{stem}.tiff", values, GRID, EPSG)
    (folder / f"{stem}.xml").write_text(
        "<ProductMetaData><SatelliteID>GF2</SatelliteID><SensorID>PMS1</SensorID><ProductLevel>LEVEL1A</ProductLevel>"
        "<StartTime>2018-06-12 03:21:09</StartTime></ProductMetaData>"
    )
    nm, fwhm = [491.9, 555.4, 665.3, 821.6], [60.0, 70.0, 60.0, 118.0]
    return truth(folder, values, 1.0, nm, fwhm, "GF-2", "LEVEL1A", "GF-2", "2018-06-12T03:21:09Z")


def micasense(folder: Path) -> Truth:
    """Orthophotos of reflectance, a file for each colour."""
    values = spectra(5, 5, 6, 0.01, 0.7).astype(np.float32)
    values[:, 0, 0] = -10000
    for layer, colour in zip(values, ("blue", "green", "red", "red edge", "nir")):
        write_tiff(folder / f"field_transparent_reflectance_{colour}.tif", layer, GRID, EPSG, -10000)
    physical = np.where(values == -10000, np.nan, values)
    nm, fwhm = np.array([475.0, 560.0, 668.0, 717.0, 842.0]), np.array([32.0, 27.0, 14.0, 12.0, 57.0])
    return Truth(
        folder, physical, nm, fwhm, GRID, EPSG, ~np.isnan(physical[0]), "drone camera", None, "MicaSense-RedEdge", ""
    )


def aster(folder: Path) -> Truth:
    """GeoTIFFs of the three VNIR bands."""
    values = stored(3, high=250).astype(np.uint8)
    for layer, band in zip(values, ("1", "2", "3N")):
        write_tiff(folder / f"AST_L1T_00306152023093344_20230616101112_4242_ImageData{band}.tif", layer, GRID, EPSG)
    found = truth(
        folder, values, 1.0, [560.0, 660.0, 820.0], [80.0, 60.0, 100.0], "ASTER", "L1T", "ASTER", "2023-06-15T09:33:44Z"
    )
    return found


def naip(folder: Path) -> Truth:
    """An orthophoto of four bands, of which nothing is known but what the file says."""
    values = stored(4, high=250).astype(np.uint8)
    path = write_tiff(folder / "m_3712213_sw_10_1_20140613.tif", values, GRID, EPSG, 0)
    gdal.Open(str(path), gdal.GA_Update).SetMetadataItem("TIFFTAG_DATETIME", "2014:06:13 12:00:00")
    return truth(path, values, 1.0, [np.nan] * 4, None, "raster", None, "", "2014-06-13T12:00:00Z")


MAKERS = (wyvern, superdove, worldview2, pleiades, gaofen5, gaofen2, micasense, aster, naip)
