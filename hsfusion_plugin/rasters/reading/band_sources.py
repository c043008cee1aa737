"""Where a raster file keeps wavelength and width of its bands: items of bands, lists of the data set, netCDF
coordinates, names.
"""

from __future__ import annotations

import numpy as np
from osgeo import gdal

from ..gdal_calls import described, item
from .wavelengths import guessed_unit, list_length, number, number_list, spectral_text, unit_in_nm, wavelengths_in_names

Columns = tuple[np.ndarray, np.ndarray]  # wavelength and FWHM of every band in nm, NaN = unknown
UNIT_KEYS = ("wavelength_units", "wavelength_unit", "wavelength units")
_LISTS = (("wavelength", "wavelengths"), ("fwhm",))


def from_imagery(bands: list[gdal.Band]) -> Columns:
    """GDAL's own domain, in micrometres."""
    keys = ("CENTRAL_WAVELENGTH_UM", "FWHM_UM")
    read = [[number(item(band, key, domains=("IMAGERY",))) for band in bands] for key in keys]
    return np.array(read[0]) * 1e3, np.array(read[1]) * 1e3


def from_items(dataset: gdal.Dataset, bands: list[gdal.Band]) -> Columns:
    """The bands' own items, with their unit or the data set's."""
    wavelength = np.array([number(item(band, "wavelength")) for band in bands])
    fwhm = np.array([number(item(band, "fwhm", "bandwidth")) for band in bands])
    common, guess = item(dataset, *UNIT_KEYS), guessed_unit(wavelength)
    factors = np.array([_factor(item(band, *UNIT_KEYS) or common, guess) for band in bands])
    return wavelength * factors, fwhm * factors


def from_lists(dataset: gdal.Dataset) -> Columns:
    """The data set's lists; one of another length belongs to the file from which these bands were selected."""
    count = dataset.RasterCount
    unknown = np.full(count, np.nan)
    lists = [number_list(item(dataset, *keys), count) for keys in _LISTS]
    wavelength, fwhm = (unknown if values is None else values for values in lists)
    factor = _factor(item(dataset, *UNIT_KEYS), guessed_unit(wavelength))
    return wavelength * factor, fwhm * factor


def from_netcdf(dataset: gdal.Dataset, bands: list[gdal.Band]) -> Columns:
    """A coordinate variable in nanometres or micrometres along the bands, which GDAL gives as NETCDF_DIM_name."""
    unknown = np.full(len(bands), np.nan)
    for key in bands[0].GetMetadata() if bands else ():
        unit = unit_in_nm(item(dataset, f"{key[11:]}#units")) if key.startswith("NETCDF_DIM_") else None
        if unit in (1.0, 1e3):
            return np.array([number(item(band, key)) for band in bands]) * unit, unknown
    return unknown, unknown


def from_names(names: list[str]) -> Columns:
    """The bands' names: each by itself where it tells a unit, else all together."""
    found = [spectral_text(name) for name in names]
    wavelength, fwhm = (np.array([np.nan if x is None else x for x in column]) for column in zip(*found))
    return (wavelengths_in_names(names) if np.isnan(wavelength).all() else wavelength), fwhm


def not_rounded(imagery: Columns, *others: Columns) -> Columns:
    """IMAGERY's values, or another source's where rounding to nanometres made the difference, as GDAL 3.10 does with
    ENVI headers.
    """
    exact = []
    for values, *candidates in zip(imagery, *others):
        for found in candidates:
            same = (np.abs(values - found) <= 0.501) & (np.abs(values - np.round(values)) < 1e-6)
            values = np.where(same, found, values)
        exact.append(values)
    return exact[0], exact[1]


def misread_list(dataset: gdal.Dataset) -> int:
    """Length of an ENVI header's list of wavelengths that does not fit the bands, else 0.

    GDAL's driver hands the entries of such a list to the bands one by one, so every band gets another one's value.
    """
    driver = dataset.GetDriver()
    text = item(dataset, "wavelength") if driver is not None and driver.ShortName == "ENVI" else None
    length = list_length(text)
    return length if length != dataset.RasterCount else 0


def own_names(bands: list[gdal.Band], misread: bool) -> list[str]:
    """The bands' names; `misread`: without the wavelength that GDAL's ENVI driver appends from a list that it
    misread.
    """
    names = []
    for band in bands:
        name = described(band)
        told = " ".join(filter(None, (item(band, "wavelength"), item(band, "wavelength_units"))))
        if misread and told:
            name = "" if name == told else name[: -len(told) - 3] if name.endswith(f" ({told})") else name
        names.append(name)
    return names


def _factor(unit: str | None, guess: float) -> float:
    if unit is None or unit.strip().lower() in ("", "unknown"):
        return guess
    factor = unit_in_nm(unit)
    return np.nan if factor is None else factor  # "Index", "Wavenumber", "GHz": no wavelength that we can use
