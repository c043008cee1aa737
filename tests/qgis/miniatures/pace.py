"""PACE OCI: netCDF-4 files of level 2 (packed remote sensing reflectance) and level 1C (views of radiance)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .truth import Truth, spectra

_CLOUD_OR_ICE, _SATURATED, _LAND = 1 << 9, 1 << 4, 1 << 1


def _places(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = np.meshgrid(-75.0 + 0.012 * np.arange(cols), 37.0 - 0.011 * np.arange(rows))
    return lon.astype(np.float32), lat.astype(np.float32)


def pace_l2(folder: Path, name: str = "rhos", scale: float = 2e-5, shift: float = 0.4) -> Truth:
    """Level 2: reflectance packed as int16, wavelengths in a group of their own, flags in bits, places of pixels."""
    import h5py

    rows, cols, nm = 5, 6, np.array([346.0, 442.25, 865.5, 2258.0])
    stored = np.rint(spectra(4, rows, cols, -20000, 20000)).astype(np.int16)
    stored[:, 0, 0] = -32767
    flags = np.zeros((rows, cols), np.int32)
    flags[2, 2], flags[3, 3], flags[4, 4] = _CLOUD_OR_ICE, _SATURATED, _LAND
    lon, lat = _places(rows, cols)
    path = folder / "PACE_OCI.20240601T173000.L2.V3_0.nc"
    with h5py.File(path, "w") as file:
        file.attrs["time_coverage_start"], file.attrs["product_name"] = "2024-06-01T17:30:00.123Z", path.name
        cube = file.create_dataset(f"geophysical_data/{name}", data=stored.transpose(1, 2, 0), chunks=(5, 6, 4))
        cube.attrs["scale_factor"], cube.attrs["add_offset"] = np.float32(scale), np.float32(shift)
        cube.attrs["_FillValue"] = np.int16(-32767)
        file["geophysical_data/l2_flags"], file["sensor_band_parameters/wavelength_3d"] = flags, nm
        file["navigation_data/longitude"], file["navigation_data/latitude"] = lon, lat
    values = np.where(stored == -32767, np.nan, stored * float(np.float32(scale)) + float(np.float32(shift)))
    mask, time = np.ones((rows, cols), bool), "2024-06-01T17:30:00Z"
    mask[0, 0] = mask[2, 2] = mask[3, 3] = False
    return Truth(path, values, nm, None, None, 4326, mask, "PACE OCI", "L2", "PACE-OCI", time, places=(lon, lat))


def pace_rrs(folder: Path) -> Truth:
    """Level 2 of ocean colour: Rrs with its own scale and offset."""
    return pace_l2(folder, "Rrs", 2e-6, 0.05)


def pace_l1c(folder: Path, names: tuple[str, str] = ("intensity_wavelength", "intensity_bandpass")) -> Truth:
    """Level 1C: radiance of (along, across, view, band), of which the first view is taken; a row of wavelengths per
    view.
    """
    import h5py

    rows, cols, nm, widths = 5, 6, np.array([350.0, 555.0, 865.0, 2258.0]), np.array([5.0, 5.0, 40.0, 75.0])
    views = np.stack([spectra(4, rows, cols, 1, 300, seed) for seed in (1, 2)]).astype(np.float32)
    views[:, :, 4, 5] = -32767
    lon, lat = _places(rows, cols)
    path = folder / "PACE_OCI.20240501T172203.L1C.V3.5km.nc"
    with h5py.File(path, "w") as file:
        file.attrs["time_coverage_start"] = "2024-05-01T17:22:03Z"
        cube = file.create_dataset("observation_data/i", data=views.transpose(2, 3, 0, 1))
        cube.attrs["_FillValue"] = np.float32(-32767)
        for name, numbers in zip(names, (nm, widths)):
            file[f"sensor_views_bands/{name}"] = np.stack([numbers, numbers]).astype(np.float32)
        file["geolocation_data/longitude"], file["geolocation_data/latitude"] = lon, lat
    values = np.where(views[0] == -32767, np.nan, views[0])
    mask, time = np.isfinite(values[0]), "2024-05-01T17:22:03Z"
    return Truth(path, values, nm, widths, None, 4326, mask, "PACE OCI", "L1C", "PACE-OCI", time, places=(lon, lat))


def pace_l1c_of_plural_names(folder: Path) -> Truth:
    """The same as other writers of the format spell its variables."""
    return pace_l1c(folder, ("intensity_wavelengths", "intensity_bandpasses"))


MAKERS = (pace_l2, pace_rrs, pace_l1c, pace_l1c_of_plural_names)
