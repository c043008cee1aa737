"""Wavelengths in the texts that raster files carry: band names, single values and lists, in any unit, with decimal
points or commas.

Nothing here reads a file, and nothing is guessed from the order of bands: what cannot be understood is None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

PLAUSIBLE_NM = (200.0, 20000.0)
_UNITS_NM = (
    (r"nm|nanomet(?:er|re)s?", 1.0),
    (r"[uµμ]m|micromet(?:er|re)s?|microns?", 1e3),
    (r"m|met(?:er|re)s?", 1e9),
    (r"å|angstroms?", 0.1),
)

_NUMBER = r"\d+(?:[.,]\d+)?(?:e[+-]?\d+)?"
_UNIT = r"(?:nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)(?![^\W_])"
_BEFORE = r"(?<![\d.,])"
_BAND_NUMBER = r"(?:bands?|kanal|bande|banda|channel|ch|no|nr|b|#)[\s_.:#]*"
_WIDTH_WORD = r"(?:fwhm|(?:half[\s-]*)?(?:band)?[\s-]*width|bw|breite|largeur|wide)"
_TO = r"\s*(?:-|–|—|−|\.\.+|…|~|/|\bto\b|\bbis\b|\bà\b)\s*"
# Each is searched for in what the ones before it left of the text.
_WIDTH = (
    re.compile(rf"{_WIDTH_WORD}\s*(?:of\s*)?[=:(]?\s*({_NUMBER})\s*[-_]?\s*({_UNIT})?", re.IGNORECASE),
    re.compile(rf"{_BEFORE}({_NUMBER})\s*[-_]?\s*({_UNIT})\s*{_WIDTH_WORD}", re.IGNORECASE),
)
_MARGIN = re.compile(rf"({_UNIT})?\s*(?:±|\+\s*/?\s*-)\s*({_NUMBER})\s*[-_]?\s*({_UNIT})", re.IGNORECASE)
_RANGE = re.compile(
    rf"({_BAND_NUMBER})?{_BEFORE}({_NUMBER})\s*({_UNIT})?({_TO})({_NUMBER})\s*[-_)\]]?\s*({_UNIT})", re.IGNORECASE
)
_CENTRE = re.compile(rf"{_BEFORE}({_NUMBER})\s*[-_]?\s*({_UNIT})", re.IGNORECASE)
_NAME = re.compile(
    rf"\W*(bands?|b|channel|ch|kanal|r|rho|refl|reflectance|rad|radiance|(?:wavelength|wvl|wave|wl|w|lambda|λ|nm))?"
    rf"[\s_\-=:]*({_NUMBER})\W*",
    re.IGNORECASE,
)
_SURE_NAMES = ("wavelength", "wvl", "wave", "wl", "w", "lambda", "λ", "nm")
_MOST_BANDS = 430  # of a spectrometer of today; larger numbers in names are not counted bands


def unit_in_nm(unit: str | None) -> float | None:
    """Nanometres per unit ("Nanometers", "um", ...), or None for an unknown or missing unit."""
    for pattern, factor in _UNITS_NM:
        if re.fullmatch(pattern, (unit or "").strip(), re.IGNORECASE):
            return factor
    return None


def guessed_unit(values: np.ndarray) -> float:
    """Nanometres per unit where no unit is given: micrometres or nanometres by magnitude; NaN for band numbers and the
    like.
    """
    known = values[values > 0]
    if known.size == 0 or np.array_equal(known, np.arange(1, known.size + 1)):
        return np.nan
    if known.min() >= 0.1 and known.max() <= 30.0:
        return 1e3
    return 1.0 if known.min() >= 100.0 and known.max() <= 30000.0 else np.nan


def plausible(nm: np.ndarray | float) -> np.ndarray:
    """Which wavelengths (nm) an imaging spectrometer can have."""
    with np.errstate(invalid="ignore"):
        return (np.asarray(nm) >= PLAUSIBLE_NM[0]) & (np.asarray(nm) <= PLAUSIBLE_NM[1])


def wavelength_in_text(text: str) -> float | None:
    """Wavelength in nm from a description such as "band 12 (0.5138 Micrometers)", or None."""
    return spectral_text(text)[0]


def spectral_text(text: str) -> tuple[float | None, float | None]:
    """(wavelength, FWHM) in nm from a band's description; each None where the text does not tell it.

    Understood are a value with a unit, a width ("436.6 nm, FWHM 8.2 nm", "665 nm (31 nm)"), a range ("433-441 nm") and
    a margin ("490 nm +- 32 nm"). The last plausible value is the centre, unless there are ranges alone.
    """
    rest, width = text or "", None
    for pattern in _WIDTH:
        if found := pattern.search(rest):
            rest = rest[: found.start()] + ";" + rest[found.end() :]
            width = _nanometres(found.group(1), found.group(2) or _first_unit(rest), least=0.0)
    if found := _MARGIN.search(rest):
        unit = found.group(1) or found.group(3)
        width = width or 2 * _nanometres(found.group(2), found.group(3), least=0.0)
        rest = f"{rest[: found.start()]} {unit};{rest[found.end() :]}"
    middle = None
    for found in list(_RANGE.finditer(rest)):
        low, high = _ends(found)
        if not (plausible(low) and plausible(high) and low < high):
            continue
        middle, width = (low + high) / 2, width or high - low
        rest = rest.replace(found.group(0), ";", 1)
    values = [_nanometres(number, unit) for number, unit in _CENTRE.findall(rest)]
    centres = [nm for nm in values if plausible(nm)]
    if centres and width is None:
        width = next((nm for nm in values[values.index(centres[0]) :] if nm < PLAUSIBLE_NM[0]), None)
    return (centres[-1] if centres else middle), width or None


def wavelengths_in_names(names: Sequence[str]) -> np.ndarray:
    """Wavelengths (nm) that all names tell as bare numbers ("Band_503", "wl 0.655"); all NaN where they may count bands
    or years.
    """
    nothing = np.full(len(names), np.nan)
    found = [_NAME.fullmatch(name or "") for name in names]
    if len(names) < 2 or not all(found):
        return nothing
    values = np.array([number(match.group(2)) for match in found])
    sure = all((match.group(1) or "").lower() in _SURE_NAMES for match in found)
    nm = values * guessed_unit(values)
    if not plausible(nm).all() or len(set(nm)) < len(nm):
        return nothing
    whole = np.array_equal(values, np.round(values))
    counted = whole and (values.max() <= _MOST_BANDS or (np.abs(np.diff(values)) == 1).all())
    years = whole and values.min() >= 1900 and values.max() <= 2100
    return nm if sure or not (counted or years) else nothing


def number(text: str | None) -> float:
    """One number, with a decimal point or comma; NaN for anything else."""
    word = (text or "").strip(" \t\r\n{}[]()")
    if re.fullmatch(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", word):
        word = word.replace(",", ".")
    try:
        return float(word)
    except ValueError:
        return np.nan


def number_list(text: str | None, count: int) -> np.ndarray | None:
    """`count` numbers of a list such as "{0.45, 0.55}" or, with decimal commas, "{0,45, 0,55}"; None where it does not
    hold so many.
    """
    inner = re.sub(r"[{}\[\]()]", " ", text or "")
    apart = [word for word in re.split(r"[\s,;]+", inner) if word]
    spaced = [word.strip(",") for word in re.split(r"[\s;]+|,(?=\s)", inner) if word.strip(",")]
    for words in (apart, spaced):
        values = np.array([number(word) for word in words])
        if len(words) == count and not np.isnan(values).any():
            return values
    if len(apart) == 2 * count and all(word.isdigit() for word in apart):
        return np.array([number(f"{whole}.{rest}") for whole, rest in zip(apart[::2], apart[1::2])])
    return None


def list_length(text: str | None) -> int:
    """How many entries a list has, whatever they are."""
    return len([word for word in re.split(r"[\s,;{}\[\]()]+", text or "") if word])


def _nanometres(text: str, unit: str | None, least: float = PLAUSIBLE_NM[0]) -> float:
    """A number with a unit; a comma is a decimal one unless only a thousands separator makes sense ("1,610 nm")."""
    factor = unit_in_nm(unit) or 1.0
    value = number(text) * factor
    if value < least and re.fullmatch(r"\d{1,2},\d{3}", text):
        return float(text.replace(",", "")) * factor
    return value


def _ends(found: re.Match[str]) -> tuple[float, float]:
    """Both ends of a range in nm; (NaN, NaN) where the first number counts a band, as in "Band 300 - 490 nm"."""
    band, low, low_unit, to, high, unit = found.groups()
    if band and not low_unit and to != to.strip():
        return np.nan, np.nan
    return _nanometres(low, low_unit or unit), _nanometres(high, unit)


def _first_unit(text: str) -> str | None:
    found = re.search(rf"\d\s*[-_]?\s*({_UNIT})", text, re.IGNORECASE)
    return found.group(1) if found else None
