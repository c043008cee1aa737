"""What a band says about itself: wavelength, width, name, whether it is bad; in the forms that GDAL files carry.

Read, in this order and band by band: the GDAL ``IMAGERY`` domain, the band's ``wavelength`` item, the data set's ENVI
list ``wavelength = {...}``, a netCDF file's dimension of the bands, EnMAP's METADATA.XML beside the image, the band's
description. Items and lists are also looked for in the domains ENVI and FORCE, under the names that EnMAP-Box and FORCE
give them. Written as band item, ``IMAGERY`` and description: gdal_translate and gdalwarp keep the first and the last,
and the ENVI driver keeps only the description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from ..gdal_calls import decoded, described, item
from ..products.reading.dlr import SideCar, read_sidecar
from .alpha import behaves_as_mask
from .band_sources import (
    from_imagery,
    from_items,
    from_lists,
    from_names,
    from_netcdf,
    misread_list,
    not_rounded,
    own_names,
)
from .wavelengths import PLAUSIBLE_NM, number, number_list, plausible, wavelength_in_text

_DERIVED = re.compile(r"(AOT|WVP|SCL|CLD|SNW)\b")  # GDAL describes AOT as "... map (at 550nm)"
_FEW = 0.1  # share of implausible wavelengths up to which the others are believed


@dataclass(frozen=True)
class BandInfo:
    """One band: wavelength and FWHM in nanometres (None = unknown), name, bad-band flag, scale and offset to physical
    units, their name.

    gsd_m: the size in metres of the pixels with which the band was taken, where the file says it.
    """

    wavelength_nm: float | None = None
    fwhm_nm: float | None = None
    description: str = ""
    bad: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    gsd_m: float | None = None


@dataclass(frozen=True)
class Described:
    """The bands in file order; facts and warnings: sentences for the user on what was and was not believed, without the
    raster's name.
    """

    bands: list[BandInfo]
    alpha: tuple[int, ...] = ()  # 0-based numbers of the bands that are masks
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def describe_bands(dataset: gdal.Dataset) -> Described:
    """What a data set says of its bands.

    A wavelength of zero or less, as PRISMA gives its dead bands, is read as "no wavelength, bad"; so are an alpha band
    without a wavelength, which is a mask and not a measurement, and what Sentinel-2's level 2A puts among its bands
    (AOT, SCL, ...).
    """
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    misread = misread_list(dataset)
    names = own_names(bands, bool(misread))
    sidecar = read_sidecar(described(dataset), len(bands))
    wavelength, fwhm = _columns(dataset, bands, names, sidecar, bool(misread))
    derived = np.array([_DERIVED.match(name) is not None for name in names], bool)
    wavelength[derived] = np.nan
    tagged = [b.GetColorInterpretation() == gdal.GCI_AlphaBand and not w > 0 for b, w in zip(bands, wavelength)]
    alpha = tuple(i for i, tag in enumerate(tagged) if tag and behaves_as_mask(bands[i]))
    facts = tuple(
        f"band {i + 1} is tagged as alpha but its values are not those of a mask: it is taken as a measurement."
        for i, tag in enumerate(tagged)
        if tag and i not in alpha
    )
    wavelength, warning = _believed(wavelength, misread)
    bad = _marked_bad(dataset, bands, sidecar) | derived | (wavelength <= 0)
    bad[list(alpha)] = True
    factors = _factors(dataset, bands, sidecar)
    infos = [
        BandInfo(
            wavelength_nm=float(wavelength[i]) if wavelength[i] > 0 else None,
            fwhm_nm=float(fwhm[i]) if fwhm[i] > 0 else None,
            description=names[i],
            bad=bool(bad[i]),
            scale=factors[i][0],
            offset=factors[i][1],
            unit=decoded(band.GetUnitType()),
            gsd_m=size if (size := number(item(band, "gsd"))) > 0 else None,
        )
        for i, band in enumerate(bands)
    ]
    return Described(infos, alpha, facts, (warning,) if warning else ())


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
    if info.gsd_m is not None:
        band.SetMetadataItem("gsd", f"{info.gsd_m:.10g}")
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


def _columns(
    dataset: gdal.Dataset, bands: list[gdal.Band], names: list[str], sidecar: SideCar | None, misread: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength and FWHM (nm) of every band from the first source that tells it; `misread`: without what GDAL took
    from a bad list.
    """
    items, lists = from_items(dataset, bands), from_lists(dataset)
    sources = [
        *([] if misread else [not_rounded(from_imagery(bands), items, lists), items]),
        lists,
        from_netcdf(dataset, bands),
        *([(sidecar.wavelength, sidecar.fwhm)] if sidecar else []),
        from_names(names),
    ]
    wavelength, fwhm = np.full(len(bands), np.nan), np.full(len(bands), np.nan)
    for found, width in sources:
        wavelength = np.where(np.isnan(wavelength), found, wavelength)
        fwhm = np.where(np.isnan(fwhm), width, fwhm)
    return wavelength, fwhm


def _believed(wavelength: np.ndarray, misread: int) -> tuple[np.ndarray, str]:
    """The wavelengths without those that cannot be true, and a sentence where some cannot."""
    known, told = np.isfinite(wavelength), wavelength[wavelength > 0]
    unlikely = known & (wavelength > 0) & ~plausible(wavelength)
    if misread and not known.any():
        return wavelength, (
            f"the header lists {misread} wavelengths for {wavelength.size} bands, so none of them is used: correct the "
            "list."
        )
    if told.size > 1 and (told == told[0]).all():
        return np.full(wavelength.size, np.nan), (
            f"all bands are said to have the wavelength {told[0]:.6g} nm, which is not believed: correct the metadata."
        )
    if not unlikely.any():
        return wavelength, ""
    low, high = wavelength[unlikely].min(), wavelength[unlikely].max()
    few = unlikely.sum() <= _FEW * known.sum()
    which = "they are" if few else "no wavelength of this raster is"
    return np.where(unlikely, np.nan, wavelength) if few else np.full(wavelength.size, np.nan), (
        f"wavelengths from {low:.6g} to {high:.6g} nm lie outside {PLAUSIBLE_NM[0]:.0f} to {PLAUSIBLE_NM[1]:.0f} nm, "
        f"so {which} "
        "used: correct them or their unit."
    )


def _marked_bad(dataset: gdal.Dataset, bands: list[gdal.Band], sidecar: SideCar | None) -> np.ndarray:
    flags = number_list(item(dataset, "bbl"), len(bands))
    common = np.zeros(len(bands), bool) if flags is None else flags == 0
    if sidecar is not None:
        common = common | ~sidecar.delivered
    own = np.array([number(item(band, "bbl")) for band in bands])
    return np.where(np.isnan(own), common, own == 0)


def _factors(dataset: gdal.Dataset, bands: list[gdal.Band], sidecar: SideCar | None) -> list[tuple[float, float]]:
    """Scale and offset of every band to physical units."""
    envi = number(item(dataset, "reflectance_scale_factor", domains=("ENVI",)))
    scale, offset = np.full(len(bands), 1.0 / envi if envi > 0 else 1.0), np.zeros(len(bands))
    if sidecar is not None:
        scale = np.where(np.isfinite(sidecar.gain) & (sidecar.gain != 0), sidecar.gain, 1.0)
        offset = np.where(np.isfinite(sidecar.offset), sidecar.offset, 0.0)
    return [
        (
            band.GetScale() if band.GetScale() not in (None, 0.0, 1.0) else float(scale[i]),
            band.GetOffset() or float(offset[i]),
        )
        for i, band in enumerate(bands)
    ]
