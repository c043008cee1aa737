"""Files laid out exactly as agencies deliver them, small and synthetic: names, dimensions, attributes, scale
factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal, osr


def group_of(root: gdal.Group, names) -> gdal.Group:
    for name in names:
        root = root.CreateGroup(name) if name not in (root.GetGroupNames() or []) else root.OpenGroup(name)
    return root


def add_array(
    group: gdal.Group, name: str, values: np.ndarray, kind: int, dimensions=None, nodata: float | None = None
) -> gdal.MDArray:
    dimensions = dimensions or [
        group.CreateDimension(f"{name}_{i}", None, None, size) for i, size in enumerate(values.shape)
    ]
    array = group.CreateMDArray(name, dimensions, gdal.ExtendedDataType.Create(kind))
    if nodata is not None:  # netCDF wants it before the data
        array.SetNoDataValueDouble(nodata)
    array.Write(np.ascontiguousarray(values))
    return array


def add_attributes(thing: gdal.Group | gdal.MDArray, attributes: Mapping[str, Any]) -> None:
    """Whole numbers, floats, texts, and lists of numbers."""
    for name, given in attributes.items():
        if isinstance(given, str):
            thing.CreateAttribute(name, [], gdal.ExtendedDataType.CreateString()).Write(given)
            continue
        values = np.atleast_1d(given)
        kind = gdal.GDT_Int32 if values.dtype.kind == "i" else gdal.GDT_Float64
        thing.CreateAttribute(name, [values.size], gdal.ExtendedDataType.Create(kind)).Write(values.tolist())


def emit(path: Path, values: np.ndarray, nm: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> str:
    """EMIT L2A (emit-sds/emit-utils, daac_converter.py): reflectance (downtrack, crosstrack, bands), its bands and
    places in groups.
    """
    container = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path))
    root = container.GetRootGroup()
    sizes = {"downtrack": lon.shape[0], "crosstrack": lon.shape[1], "bands": nm.size}
    dims = [root.CreateDimension(name, None, None, size) for name, size in sizes.items()]
    cube = add_array(root, "reflectance", filled(values).transpose(1, 2, 0), gdal.GDT_Float32, dims, -9999.0)
    cube.SetUnit("unitless")
    bands = root.CreateGroup("sensor_band_parameters")
    for name, numbers, unit in (("wavelengths", nm, "nm"), ("fwhm", np.full(nm.size, 8.5), "nm")):
        add_array(bands, name, numbers.astype(np.float32), gdal.GDT_Float32, dims[2:]).SetUnit(unit)
    add_array(bands, "good_wavelengths", np.arange(nm.size) != 3, gdal.GDT_Float32, dims[2:]).SetUnit("unitless")
    location = root.CreateGroup("location")
    for name, numbers, unit in (("lon", lon, "degrees east"), ("lat", lat, "degrees north"), ("elev", 0 * lon, "m")):
        add_array(location, name, numbers, gdal.GDT_Float64, dims[:2]).SetUnit(unit)
    ortho = [location.CreateDimension(name, None, None, 50) for name in ("ortho_y", "ortho_x")]
    for name in ("glt_x", "glt_y"):
        add_array(location, name, np.zeros((50, 50), np.int32), gdal.GDT_Int32, ortho)
    return f'NETCDF:"{path}":reflectance'


def tanager(path: Path, values: np.ndarray, nm: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> str:
    """Planet's Tanager, basic surface reflectance: HDF-EOS5 swath (band, row, column), bands told by attributes of the
    array.
    """
    container = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path))
    swath = group_of(container.GetRootGroup(), ("HDFEOS", "SWATHS", "HYP"))
    cube = add_array(
        group_of(swath, ["Data Fields"]), "surface_reflectance", filled(values), gdal.GDT_Float32, None, -9999.0
    )
    good = (np.arange(nm.size) != 3).astype(np.int32)
    add_attributes(cube, {"wavelengths": nm, "fwhm": np.full(nm.size, 5.5), "good_wavelengths": good})
    places = group_of(swath, ["Geolocation Fields"])
    for name, numbers in (("Latitude", lat), ("Longitude", lon)):
        add_array(places, name, numbers, gdal.GDT_Float64)
    return f'HDF5:"{path}"://HDFEOS/SWATHS/HYP/Data_Fields/surface_reflectance'


def prisma_1(path: Path, values: np.ndarray, nm: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> str:
    """PRISMA L1 (ASI, PRISMA Products Specification): cube (row, band, column), places for each spectrometer."""
    container = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path))
    root = container.GetRootGroup()
    add_attributes(root, {"List_Cw_Vnir": nm, "List_Fwhm_Vnir": np.full(nm.size, 12.0), "ScaleFactor_Vnir": 100.0})
    swath = group_of(root, ("HDFEOS", "SWATHS", "PRS_L1_HCO"))
    stored = np.where(np.isfinite(values), np.clip(values, 1, None), 0).astype(np.uint16)
    add_array(group_of(swath, ["Data Fields"]), "VNIR_Cube", stored.transpose(1, 0, 2), gdal.GDT_UInt16)
    places = group_of(swath, ["Geolocation Fields"])
    for name, numbers in (
        ("Latitude_VNIR", lat),
        ("Longitude_VNIR", lon),
        ("Latitude_SWIR", lat + 0.1),
        ("Longitude_SWIR", lon),
    ):
        add_array(places, name, numbers, gdal.GDT_Float32)
    return f'HDF5:"{path}"://HDFEOS/SWATHS/PRS_L1_HCO/Data_Fields/VNIR_Cube'


def sentinel_2(folder: Path, values: Mapping[str, np.ndarray], grid: tuple[float, ...], epsg: int) -> Path:
    """A Sentinel-2 level 2A product in the compact SAFE format (ESA, S2-PDGS-TAS-DI-PSD) with these 10 m bands ("B04",
    "AOT", ...).
    """
    tile, taken = "T32UMA", "20230601T101559"
    product = folder / f"S2B_MSIL2A_{taken}_N0509_R065_{tile}_20230601T131200.SAFE"
    granule = product / "GRANULE" / f"L2A_{tile}_A032571_{taken}"
    images = granule / "IMG_DATA" / "R10m"
    images.mkdir(parents=True)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    listed = []
    for band, layer in values.items():
        memory = gdal.GetDriverByName("MEM").Create("", layer.shape[1], layer.shape[0], 1, gdal.GDT_UInt16)
        memory.SetGeoTransform(grid)
        memory.SetProjection(reference.ExportToWkt())
        memory.GetRasterBand(1).WriteArray(layer.astype(np.uint16))
        name = f"{tile}_{taken}_{band}_10m"
        lossless = ["REVERSIBLE=YES", "QUALITY=100"]
        gdal.GetDriverByName("JP2OpenJPEG").CreateCopy(str(images / f"{name}.jp2"), memory, options=lossless)
        listed.append(f"<IMAGE_FILE>GRANULE/{granule.name}/IMG_DATA/R10m/{name}</IMAGE_FILE>")
    identifier = f"S2B_OPER_MSI_L2A_TL_2BPS_20230601T131200_A032571_{tile}_N05.09"
    (product / "MTD_MSIL2A.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<n1:Level-2A_User_Product '
        'xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"><n1:General_Info><Product_Info>'
        f"<PRODUCT_URI>{product.name}</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>"
        '<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>'
        f'<Product_Organisation><Granule_List><Granule granuleIdentifier="{identifier}" imageFormat="JPEG2000">'
        f"{''.join(listed)}</Granule></Granule_List></Product_Organisation></Product_Info>"
        "<Product_Image_Characteristics><Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>"
        "<SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values></Product_Image_Characteristics>"
        "</n1:General_Info></n1:Level-2A_User_Product>"
    )
    rows, cols = next(iter(values.values())).shape
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{rows * 10 // r}</NROWS><NCOLS>{cols * 10 // r}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{grid[0]}</ULX><ULY>{grid[3]}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM></Geoposition>'  # noqa: E501
        for r in (10, 20, 60)
    )
    (granule / "MTD_TL.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<n1:Level-2A_Tile_ID '
        'xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd"><n1:General_Info>'
        f'<TILE_ID metadataLevel="Brief">{identifier}</TILE_ID></n1:General_Info><n1:Geometric_Info>'
        f'<Tile_Geocoding metadataLevel="Brief"><HORIZONTAL_CS_CODE>EPSG:{epsg}</HORIZONTAL_CS_CODE>{sizes}'
        "</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>"
    )
    return product


def filled(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, -9999.0).astype(np.float32)
