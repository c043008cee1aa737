"""PRISMA, EMIT, NEON and Tanager: HDF5 and netCDF-4 files with the groups, attributes, types and blocks of the real
ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from osgeo import osr

from .truth import Truth, spectra


def prisma_l2d(folder: Path, pan: bool = False) -> Truth:
    """Level 2D: cubes of (row, band, column), wavelengths that fall, bands of wavelength 0, an overlap, 0..65535."""
    import h5py

    rows, cols = 8, 10
    vnir_nm, swir_nm = np.array([972.4, 890.1, 661.7, 441.3, 0.0]), np.array([2497.1, 1650.2, 943.4, 0.0])
    vnir_width, swir_width = np.array([13.2, 12.0, 11.1, 10.0, 0.0]), np.array([9.1, 10.9, 12.5, 0.0])
    vnir, swir = (np.rint(spectra(n, rows, cols, 1, 65535, n)).astype(np.uint16) for n in (5, 4))
    panchromatic = np.rint(spectra(1, rows * 6, cols * 6, 1, 65535, 9)[0]).astype(np.uint16)
    vnir[:, 0, 0] = swir[:, 0, 0] = 0
    path = folder / "PRS_L2D_STD_20230101101010_20230101101014_0001.he5"
    low, high = {"Vnir": 0.0, "Swir": 0.01, "Pan": 0.0}, {"Vnir": 0.9731, "Swir": 0.8152, "Pan": 1.1}
    with h5py.File(path, "w") as file:
        attributes = {
            "Processing_Level": np.bytes_("2D"),
            "Product_StartTime": np.bytes_("2023-01-01T10:10:10.123"),
            "Product_Name": np.bytes_("PRS_L2D_STD_20230101101010_20230101101014_0001.he5"),
            "List_Cw_Vnir": vnir_nm.astype("f4"),
            "List_Fwhm_Vnir": vnir_width.astype("f4"),
            "List_Cw_Vnir_Flags": np.array([1, 1, 1, 1, 0], "i4"),
            "List_Cw_Swir": swir_nm.astype("f4"),
            "List_Fwhm_Swir": swir_width.astype("f4"),
            "List_Cw_Swir_Flags": np.array([1, 1, 1, 0], "i4"),
            "Epsg_Code": np.array([32632], "i4"),
            "Product_ULcorner_easting": np.float32(500015.0),
            "Product_ULcorner_northing": np.float32(5599985.0),
            "Product_LRcorner_easting": np.float32(500285.0),
            "Product_LRcorner_northing": np.float32(5599775.0),
            **{f"L2Scale{k}Min": np.float32(v) for k, v in low.items()},
            **{f"L2Scale{k}Max": np.float32(v) for k, v in high.items()},
        }
        for name, value in attributes.items():
            file.attrs[name] = value
        data = file.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields")
        for kind, values in (("VNIR", vnir), ("SWIR", swir)):
            data.create_dataset(f"{kind}_Cube", data=values.transpose(1, 0, 2))
            errors = np.zeros(values.transpose(1, 0, 2).shape, np.uint8)
            errors[3, 1, 4] = 2 if kind == "VNIR" else 0
            data.create_dataset(f"{kind}_PIXEL_L2_ERR_MATRIX", data=errors)
        file.create_group("HDFEOS/SWATHS/PRS_L2D_PCO/Data Fields").create_dataset("Cube", data=panchromatic)
    time = "2023-01-01T10:10:10Z"
    if pan:
        values = panchromatic[None] * (np.float64(np.float32(1.1)) / 65535)
        grid = (500000.0, 5.0, 0.0, 5600000.0, 0.0, -5.0)
        mask = np.ones(panchromatic.shape, bool)
        return Truth(
            path,
            values,
            np.array([550.0]),
            None,
            grid,
            32632,
            mask,
            "PRISMA",
            "L2D",
            "PRISMA",
            time,
            parameters={"pan": True},
        )
    physical = [
        v * ((float(np.float32(high[k])) - float(np.float32(low[k]))) / 65535) + float(np.float32(low[k]))
        for k, v in (("Vnir", vnir.astype(float)), ("Swir", swir.astype(float)))
    ]
    values = np.concatenate([physical[0][3::-1], physical[1][2::-1]])[[0, 1, 2, 4, 3, 5, 6]]
    values[:, 0, 0] = np.nan
    nm = np.array([441.3, 661.7, 890.1, 943.4, 972.4, 1650.2, 2497.1])
    widths = np.array([10.0, 11.1, 12.0, 12.5, 13.2, 10.9, 9.1])
    mask = np.ones((rows, cols), bool)
    mask[0, 0] = mask[3, 4] = False
    grid, bad = (500000.0, 30.0, 0.0, 5600000.0, 0.0, -30.0), nm == 972.4
    return Truth(path, values, nm, widths, grid, 32632, mask, "PRISMA", "L2D", "PRISMA", time, bad)


def prisma_pan(folder: Path) -> Truth:
    """The panchromatic image of the same file."""
    return prisma_l2d(folder, pan=True)


def prisma_l1(folder: Path) -> Truth:
    """Level 1: radiance, a swath; zeros in single bands are measurements."""
    import h5py

    rows, cols = 6, 7
    nm = {"Vnir": np.array([900.5, 450.25]), "Swir": np.array([2400.75, 1000.5])}
    cubes = {k: np.rint(spectra(2, rows, cols, 1, 30000, i)).astype(np.uint16) for i, k in enumerate(nm)}
    cubes["Swir"][0, 2, 2] = 0
    for cube in cubes.values():
        cube[:, 5, 6] = 0
    lon, lat = np.meshgrid(11 + 0.0004 * np.arange(cols), 46 - 0.0003 * np.arange(rows))
    path = folder / "PRS_L1_STD_OFFL_20200524103704_20200524103708_0001.he5"
    with h5py.File(path, "w") as file:
        file.attrs["Product_StartTime"] = np.bytes_("2020-05-24T10:37:04.1")
        place = file.create_group("HDFEOS/SWATHS/PRS_L1_HCO")
        for kind, centres in nm.items():
            file.attrs[f"List_Cw_{kind}"], file.attrs[f"List_Fwhm_{kind}"] = centres.astype("f4"), np.full(2, 10, "f4")
            file.attrs[f"List_Cw_{kind}_Flags"] = np.ones(2, "i4")
            file.attrs[f"ScaleFactor_{kind}"], file.attrs[f"Offset_{kind}"] = np.float32(100), np.float32(0)
            place.create_dataset(f"Data Fields/{kind.upper()}_Cube", data=cubes[kind].transpose(1, 0, 2))
            for name, values in (("Latitude", lat), ("Longitude", lon)):
                place.create_dataset(f"Geolocation Fields/{name}_{kind.upper()}", data=values.astype("f4"))
        cloud = np.zeros((rows, cols), np.uint8)
        cloud[1, 1] = 1
        place.create_dataset("Data Fields/Cloud_Mask", data=cloud)
    values = np.concatenate([cubes["Vnir"][::-1], cubes["Swir"][::-1]]) * 0.01
    values[:, 5, 6] = np.nan
    mask = np.ones((rows, cols), bool)
    mask[1, 1] = mask[5, 6] = False
    return Truth(
        path, values, np.array([450.25, 900.5, 1000.5, 2400.75]), np.full(4, 10.0), None, 4326, mask,
        "PRISMA", "L1", "PRISMA", "2020-05-24T10:37:04Z", places=(lon, lat),
    )  # fmt: skip


def emit_l2a(folder: Path) -> Truth:
    """Level 2A: a swath of 5 x 6 on a grid of 7 x 8 by a lookup table with fill and negative numbers; the mask in a
    file of its own.
    """
    import h5py

    lines, samples, nm = 5, 6, np.array([381.0056, 388.4092, 1300.25, 1400.5, 2492.9238])
    widths, good = np.array([8.415, 8.415, 8.7, 8.8, 8.9]), np.array([1, 1, 1, 0, 1])
    swath = spectra(5, lines, samples, 0.01, 0.6).astype(np.float32)
    glt_y, glt_x = np.meshgrid(np.arange(7) - 1, np.arange(8) - 1, indexing="ij")
    inside = (glt_y >= 0) & (glt_y < lines) & (glt_x >= 0) & (glt_x < samples)
    glt_y, glt_x = (np.where(inside, g + 1, 0).astype(np.int32) for g in (glt_y, glt_x))
    glt_y[3, 4], glt_x[3, 4] = -glt_y[3, 4], -glt_x[3, 4]
    grid = (12.3456, 0.000542232520256367, 0.0, 41.2345, 0.0, -0.000542232520256367)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    name = "EMIT_L2A_{}_001_20230411T112233_2310107_012.nc"
    path = folder / name.format("RFL")
    lon, lat = np.meshgrid(12.35 + 0.0005 * np.arange(samples), 41.23 - 0.0005 * np.arange(lines))
    with h5py.File(path, "w") as file:
        file.attrs["time_coverage_start"] = "2023-04-11T11:22:33+0000"
        file.attrs["geotransform"], file.attrs["spatial_ref"] = np.array(grid), reference.ExportToWkt()
        cube = file.create_dataset("reflectance", data=swath.transpose(1, 2, 0), chunks=(5, 6, 5), compression="gzip")
        cube.attrs["_FillValue"], cube.attrs["units"] = np.float32(-9999), "unitless"
        for key, values in (("wavelengths", nm), ("fwhm", widths), ("good_wavelengths", good)):
            file.create_dataset(f"sensor_band_parameters/{key}", data=values.astype("f4"))
        for key, values in (("lon", lon), ("lat", lat), ("glt_x", glt_x), ("glt_y", glt_y)):
            file.create_dataset(f"location/{key}", data=values)
    flags = np.zeros((lines, samples, 8), np.float32)
    flags[1, 2, 0] = flags[2, 3, 1] = flags[3, 3, 4] = 1  # cloud, cirrus, dilated cloud
    with h5py.File(folder / name.format("MASK"), "w") as file:
        file.create_dataset("mask", data=flags)
    values = np.full((5, 7, 8), np.nan, np.float32)
    values[:, 1:6, 1:7] = swath
    mask = np.isfinite(values[0])
    mask[2, 3] = mask[3, 4] = False
    return Truth(path, values, nm, widths, grid, 4326, mask, "EMIT", "L2A", "EMIT", "2023-04-11T11:22:33Z", good == 0)


def emit_swath(folder: Path) -> Truth:
    """The same as the sensor saw it."""
    truth = emit_l2a(folder)
    inner = np.s_[..., 1:6, 1:7]
    lon, lat = np.meshgrid(12.35 + 0.0005 * np.arange(6), 41.23 - 0.0005 * np.arange(5))
    truth.values, truth.mask, truth.geotransform = truth.values[inner], truth.mask[inner], None
    truth.places, truth.parameters = (lon, lat), {"swath": True}
    return truth


def neon(folder: Path) -> Truth:
    """Directional reflectance, a tile: (line, sample, wavelength), with the attribute that GDAL cannot open and two
    hundred logs.
    """
    import h5py

    rows, cols, nm = 6, 5, np.array([383.5343, 388.5421, 1350.25, 1900.1, 2512.1804])
    stored = np.rint(spectra(5, rows, cols, 0, 9000)).astype(np.int16)
    stored[:, 0, 0] = -9999
    path = folder / "NEON_D17_SJER_DP3_257000_4112000_reflectance.h5"
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        group = file.create_group("SJER/Reflectance")
        group.attrs["Band_Window_1_Nanometers"] = np.array([1340.0, 1445.0])
        group.attrs["Band_Window_2_Nanometers"] = np.array([1790.0, 1955.0])
        cube = group.create_dataset(
            "Reflectance_Data", data=stored.transpose(1, 2, 0), chunks=(3, 3, 5), compression="gzip"
        )
        cube.attrs["Dimension_Labels"], cube.attrs["Units"] = "Line,Sample,Wavelength", "unitless"
        cube.attrs["Scale_Factor"], cube.attrs["Data_Ignore_Value"] = 10000.0, -9999.0
        cube.attrs["Spatial_Extent_meters"] = np.array([257000.0, 257005.0, 4111994.0, 4112000.0])
        place = group.create_group("Metadata/Coordinate_System")
        info = "UTM, 1.000, 1.000, 257000.00, 4112000.0, 1.0000000, 1.0000000, 11, North, WGS-84, units=Meters, 0"
        place.create_dataset("Map_Info", data=info, dtype=text)
        place.create_dataset("EPSG Code", data="32611", dtype=text)
        wavelength = group.create_dataset("Metadata/Spectral_Data/Wavelength", data=nm)
        wavelength.attrs["Units"] = "nanometers"
        group.create_dataset("Metadata/Spectral_Data/FWHM", data=np.full(5, 5.85))
        clouds = np.full((rows, cols), 5, np.uint8)
        clouds[2, 2], clouds[3, 1] = 15, 9
        group.create_dataset("Metadata/Ancillary_Imagery/Haze_Cloud_Water_Map", data=clouds)
        for number in range(200):
            group.create_dataset(f"Metadata/Logs/run_{number}/Solar_Zenith_Angle", data=30.0)
    mask = np.ones((rows, cols), bool)
    mask[0, 0] = mask[2, 2] = mask[3, 1] = False
    values = np.where(stored == -9999, np.nan, stored / 10000)
    grid, bad = (257000.0, 1.0, 0.0, 4112000.0, 0.0, -1.0), np.array([0, 0, 1, 1, 0], bool)
    return Truth(path, values, nm, np.full(5, 5.85), grid, 32611, mask, "NEON AOP", "L3", "NEON AOP", "", bad)


def tanager_ortho(folder: Path) -> Truth:
    """Ortho surface reflectance: HDF-EOS grid, place in a JSON attribute."""
    import h5py

    rows, cols, nm = 5, 4, np.array([376.44, 450.5, 1380.25, 2499.0])
    values = spectra(4, rows, cols, 0, 0.6).astype(np.float32)
    values[:, 4, 3] = np.nan
    path = folder / "20250105_101112_55_4001_ortho_sr_hdf5.h5"
    with h5py.File(path, "w") as file:
        fields = file.create_group("HDFEOS/GRIDS/HYP/Data Fields")
        cube = fields.create_dataset(
            "surface_reflectance", data=np.nan_to_num(values, nan=-9999), chunks=(1, 5, 4), fillvalue=-9999
        )
        cube.attrs["wavelengths"], cube.attrs["fwhm"] = nm.astype("f4"), np.full(4, 5.5, "f4")
        cube.attrs["good_wavelengths"] = np.array([1, 1, 0, 1], "i4")
        cube.attrs["_FillValue"] = np.float32(-9999)
        for number, name in enumerate(("beta_cloud_mask", "beta_cirrus_mask", "nodata_pixels")):
            layer = np.zeros((rows, cols), np.uint8)
            layer[number, number] = 1
            fields.create_dataset(name, data=layer)
        framing = {
            "cols": 4,
            "epsg_code": 32734,
            "geotransform": [345660.0, 30.0, 0.0, 6286110.0, 0.0, -30.0],
            "rows": 5,
        }
        file["HDFEOS/GRIDS/HYP"].attrs["Planet_Ortho_Framing"] = json.dumps(framing)
    mask = np.ones((rows, cols), bool)
    mask[4, 3] = mask[0, 0] = mask[1, 1] = mask[2, 2] = False
    grid, bad = (345660.0, 30.0, 0.0, 6286110.0, 0.0, -30.0), np.array([0, 0, 1, 0], bool)
    return Truth(
        path, values, nm, np.full(4, 5.5), grid, 32734, mask,
        "Tanager", "ortho surface reflectance", "Tanager", "2025-01-05T10:11:12Z", bad,
    )  # fmt: skip


MAKERS = (prisma_l2d, prisma_pan, prisma_l1, emit_l2a, emit_swath, neon, tanager_ortho)
