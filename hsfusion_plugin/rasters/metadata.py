"""What a band says about itself: wavelength, width, name, whether it is bad; in the forms that GDAL files carry.

Read, in this order and band by band: the GDAL ``IMAGERY`` domain, the band's ``wavelength`` item, the data set's ENVI list
``wavelength = {...}``, a netCDF file's dimension of the bands, EnMAP's METADATA.XML beside the image, the band's description.
Items and lists are also looked for in the domains ENVI and FORCE, under the names that EnMAP-Box and FORCE give them.
Written as band item, ``IMAGERY`` and description: gdal_translate and gdalwarp keep the first and the last, and the ENVI driver
keeps only the description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from .products.enmap import read_sidecar

_UNITS_NM = (
    (r"nm|nanomet(?:er|re)s?", 1.0),
    (r"[uµμ]m|micromet(?:er|re)s?|microns?", 1e3),
    (r"m|met(?:er|re)s?", 1e9),
    (r"å|angstroms?", 0.1),
)
_IN_TEXT = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)(?!\w)",
    re.IGNORECASE,
)
_DERIVED = re.compile(r"(AOT|WVP|SCL|CLD|SNW)\b")  # GDAL describes AOT as "... map (at 550nm)"
_DOMAINS = ("", "ENVI", "FORCE")
_UNIT_KEYS = ("wavelength_units", "wavelength_unit", "wavelength units")
Columns = tuple[np.ndarray, np.ndarray]  # wavelength and FWHM of every band in nm, NaN = unknown


@dataclass(frozen=True)
class BandInfo:
    """One band: wavelength and FWHM in nanometres (None = unknown), name, bad-band flag, scale and offset to physical units, their name."""

    wavelength_nm: float | None = None
    fwhm_nm: float | None = None
    description: str = ""
    bad: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""


def unit_in_nm(unit: str | None) -> float | None:
    """Nanometres per unit ("Nanometers", "um", ...), or None for an unknown or missing unit."""
    for pattern, factor in _UNITS_NM:
        if re.fullmatch(pattern, (unit or "").strip(), re.IGNORECASE):
            return factor
    return None


def wavelength_in_text(text: str) -> float | None:
    """Wavelength in nm from a description such as "band 12 (0.5138 Micrometers)"; the last one where there are several."""
    found = _IN_TEXT.findall(text or "")
    return float(found[-1][0]) * unit_in_nm(found[-1][1]) if found else None


def read_band_infos(dataset: gdal.Dataset) -> list[BandInfo]:
    """BandInfo of every band in file order.

    A wavelength of zero or less, as PRISMA gives its dead bands, is read as "no wavelength, bad"; so are an alpha band without
    a wavelength, which is a mask and not a measurement, and what Sentinel-2's level 2A puts among its bands (AOT, SCL, ...).
    """
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    sidecar = read_sidecar(dataset.GetDescription(), len(bands))
    items, lists = _from_items(dataset, bands), _from_lists(dataset)
    sources = (
        _not_rounded(_from_imagery(bands), items, lists),
        items,
        lists,
        _from_netcdf(dataset, bands),
        *([(sidecar.wavelength, sidecar.fwhm)] if sidecar else []),
        _from_descriptions(bands),
    )
    wavelength, fwhm = np.full(len(bands), np.nan), np.full(len(bands), np.nan)
    for found, width in sources:
        wavelength = np.where(np.isnan(wavelength), found, wavelength)
        fwhm = np.where(np.isnan(fwhm), width, fwhm)
    flags = _numbers(_item(dataset, "bbl"))
    bad = np.zeros(len(bands), bool) if flags.size != len(bands) else flags == 0
    envi_factor = _number(dataset.GetMetadataItem("reflectance_scale_factor", "ENVI"))
    gain, shift = [1.0 / envi_factor if envi_factor > 0 else 1.0] * len(bands), [0.0] * len(bands)
    if sidecar is not None:
        bad |= ~sidecar.delivered
        gain = [float(x) if np.isfinite(x) and x != 0 else 1.0 for x in sidecar.gain]
        shift = [float(x) if np.isfinite(x) else 0.0 for x in sidecar.offset]
    infos = []
    for i, band in enumerate(bands):
        own = _number(_item(band, "bbl"))
        alpha = band.GetColorInterpretation() == gdal.GCI_AlphaBand and not wavelength[i] > 0
        derived = _DERIVED.match(band.GetDescription() or "") is not None
        dead = wavelength[i] <= 0 or alpha or derived
        infos.append(
            BandInfo(
                wavelength_nm=float(wavelength[i]) if wavelength[i] > 0 and not derived else None,
                fwhm_nm=float(fwhm[i]) if fwhm[i] > 0 else None,
                description=band.GetDescription() or "",
                bad=bool(dead or (bad[i] if np.isnan(own) else own == 0)),
                scale=_scale(band) or gain[i],
                offset=band.GetOffset() or shift[i],
                unit=band.GetUnitType() or "",
            )
        )
    return infos


def write_band_info(band: gdal.Band, info: BandInfo, scale: float = 1.0) -> None:
    """Write a BandInfo in every form; `scale` is that of stored integers to the raster's own units."""
    text = full_description(info)
    if text:
        band.SetDescription(text)
    if info.wavelength_nm is not None:
        band.SetMetadataItem("wavelength", f"{info.wavelength_nm:.10g}")
        band.SetMetadataItem("wavelength_units", "Nanometers")
        band.SetMetadataItem("CENTRAL_WAVELENGTH_UM", f"{info.wavelength_nm / 1e3:.10g}", "IMAGERY")
    if info.fwhm_nm is not None:
        band.SetMetadataItem("fwhm", f"{info.fwhm_nm:.10g}")
        band.SetMetadataItem("FWHM_UM", f"{info.fwhm_nm / 1e3:.10g}", "IMAGERY")
    band.SetMetadataItem("bbl", "0" if info.bad else "1")
    if scale * info.scale != 1.0:
        band.SetScale(scale * info.scale)
    if info.offset != 0.0:
        band.SetOffset(info.offset)
    if info.unit:
        band.SetUnitType(info.unit)


def full_description(info: BandInfo) -> str:
    """The band's name, with its wavelength added where the name does not already tell it."""
    if info.wavelength_nm is None:
        return info.description
    told = wavelength_in_text(info.description)
    if told is not None and abs(told - info.wavelength_nm) <= 1.0:
        return info.description
    text = f"{info.wavelength_nm:.2f} nm"
    return f"{info.description} ({text})" if info.description else text


def _not_rounded(imagery: Columns, *others: Columns) -> Columns:
    """IMAGERY's values, or another source's where rounding to nanometres made the difference, as GDAL 3.10 does with ENVI headers."""
    exact = []
    for values, *candidates in zip(imagery, *others):
        for found in candidates:
            same = (np.abs(values - found) <= 0.501) & (np.abs(values - np.round(values)) < 1e-6)
            values = np.where(same, found, values)
        exact.append(values)
    return exact[0], exact[1]


def _from_imagery(bands: list[gdal.Band]) -> Columns:
    read = [[_number(b.GetMetadataItem(key, "IMAGERY")) for b in bands] for key in ("CENTRAL_WAVELENGTH_UM", "FWHM_UM")]
    return np.array(read[0]) * 1e3, np.array(read[1]) * 1e3


def _from_items(dataset: gdal.Dataset, bands: list[gdal.Band]) -> Columns:
    wavelength = np.array([_number(_item(b, "wavelength")) for b in bands])
    fwhm = np.array([_number(_item(b, "fwhm", "bandwidth")) for b in bands])
    common, guess = _item(dataset, *_UNIT_KEYS), guessed_unit(wavelength)
    factors = np.array([_factor(_item(band, *_UNIT_KEYS) or common, guess) for band in bands])
    return wavelength * factors, fwhm * factors


def _from_lists(dataset: gdal.Dataset) -> Columns:
    # A list of another length belongs to the file from which these bands were selected.
    count = dataset.RasterCount
    lists = [_numbers(_item(dataset, *keys)) for keys in (("wavelength", "wavelengths"), ("fwhm",))]
    wavelength, fwhm = (values if values.size == count else np.full(count, np.nan) for values in lists)
    factor = _factor(_item(dataset, *_UNIT_KEYS), guessed_unit(wavelength))
    return wavelength * factor, fwhm * factor


def _from_netcdf(dataset: gdal.Dataset, bands: list[gdal.Band]) -> Columns:
    """A coordinate variable in nanometres or micrometres along the bands, which GDAL gives as NETCDF_DIM_name."""
    unknown = np.full(len(bands), np.nan)
    for key in bands[0].GetMetadata() if bands else ():
        unit = unit_in_nm(dataset.GetMetadataItem(f"{key[11:]}#units")) if key.startswith("NETCDF_DIM_") else None
        if unit in (1.0, 1e3):
            return np.array([_number(band.GetMetadataItem(key)) for band in bands]) * unit, unknown
    return unknown, unknown


def _from_descriptions(bands: list[gdal.Band]) -> Columns:
    found = [wavelength_in_text(b.GetDescription()) for b in bands]
    return np.array([np.nan if x is None else x for x in found]), np.full(len(bands), np.nan)


def _scale(band: gdal.Band) -> float | None:
    scale = band.GetScale()
    return None if scale == 1.0 else scale


def _factor(unit: str | None, guess: float) -> float:
    if unit is None or unit.strip().lower() in ("", "unknown"):
        return guess
    factor = unit_in_nm(unit)
    return np.nan if factor is None else factor  # "Index", "Wavenumber", "GHz": no wavelength that we can use


def guessed_unit(values: np.ndarray) -> float:
    """Nanometres per unit where no unit is given: micrometres or nanometres by magnitude; NaN for band numbers and the like."""
    known = values[values > 0]
    if known.size == 0 or np.array_equal(known, np.arange(1, known.size + 1)):
        return np.nan
    if known.min() >= 0.1 and known.max() <= 30.0:
        return 1e3
    return 1.0 if known.min() >= 100.0 and known.max() <= 30000.0 else np.nan


def _item(thing: gdal.Dataset | gdal.Band, *keys: str) -> str | None:
    """The first of these items in any domain, of a data set or a band."""
    return next((text for domain in _DOMAINS for key in keys if (text := thing.GetMetadataItem(key, domain))), None)


def _number(text: str | None) -> float:
    values = _numbers(text)
    return float(values[0]) if values.size == 1 else np.nan


def _numbers(text: str | None) -> np.ndarray:
    words = [word for word in re.split(r"[\s,;{}\[\]()]+", text or "") if word]
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        return np.array([])
