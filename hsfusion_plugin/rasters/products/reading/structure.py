"""Cubes that no family knows, recognised by what they are made of: a dimension of wavelengths, rows and columns that
have a place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ...reading.metadata import BandInfo
from ...reading.wavelengths import PLAUSIBLE_NM, guessed_unit, unit_in_nm
from .cube import Cube, degrees, with_places
from .hdf import Array, Hdf
from .product import Grid, crs_of_epsg

SPECTRAL = re.compile(
    r"(?:(?:centre|center)[_ "
    r"]?)?(?:wavelengths?(?:_\w+)?|wvls?|wl|lambda|bands?|nbands?|n_?bands?|number_of_\w*bands|channels?|"
    r"spectral(?:[_ ]?bands?)?|\w+_bands|bands_per_pixel)",
    re.IGNORECASE,
)
CENTRES = re.compile(
    r"(?:(?:centre|center|central)[_ ]?)?(?:wavelengths?(?:_\w+)?|wvls?|wl|lambda)|\w+_wavelengths?", re.IGNORECASE
)
WIDTHS = re.compile(r"(?:\w+_)?fwhm|band_?widths?", re.IGNORECASE)
GOOD = re.compile(r"good_wavelengths|bbl|good_bands", re.IGNORECASE)
_ROWS = re.compile(
    r"y|lat(?:itude)?|northing|rows?|lines?|ydim|bins_along_track|number_of_lines|downtrack", re.IGNORECASE
)
_COLS = re.compile(
    r"x|lon(?:gitude)?|easting|col(?:umn)?s?|samples?|xdim|bins_across_track|pixels_per_line|crosstrack", re.IGNORECASE
)
_LATITUDE, _LONGITUDE = (
    re.compile(r"lat(?:itude)?(?:_\w+)?", re.IGNORECASE),
    re.compile(r"lon(?:gitude)?(?:_\w+)?", re.IGNORECASE),
)
_EVEN = 1e-3  # of a step, by which places of rows may differ from an even grid
_FEWEST_BANDS = 3


@dataclass(frozen=True)
class Structure:
    """A cube: its array, the dimensions of rows, columns and bands, the bands, and the grid."""

    array: Array
    axes: tuple[int, int, int]
    bands: list[BandInfo]
    grid: Grid
    turned: tuple[bool, bool]

    def layer(self) -> Cube:
        """As a Layer."""
        others = {i: 0 for i in range(len(self.array.shape)) if i not in self.axes}
        return Cube(self.array, self.axes, self.bands, self.grid, self.array.fill, others, self.turned)


def largest_cube(hdf: Hdf) -> Structure | None:
    """The cube with most values in a file that has one."""
    best = None
    for name in hdf.names:
        array = hdf.get(name)
        if array is None or sum(size > 1 for size in array.shape) != 3 or array.md.GetDataType().GetClass() != 0:
            continue
        if best is not None and np.prod(array.shape) <= np.prod(best.array.shape):
            continue
        best = structure_of(hdf, array) or best
    return best


def structure_of(hdf: Hdf, array: Array) -> Structure | None:
    """What an array is, or None where no dimension is one of wavelengths."""
    real = [axis for axis, size in enumerate(array.shape) if size > 1]
    if len(real) != 3:
        return None
    found = [(axis, bands) for axis in real if (bands := bands_along(hdf, array, axis)) is not None]
    if not found:
        return None
    axis, bands = max(
        found, key=lambda pair: SPECTRAL.fullmatch(array.dimensions[pair[0]].rpartition("/")[2]) is not None
    )
    rows, cols = (i for i in real if i != axis)
    if _COLS.fullmatch(array.dimensions[rows]) or _ROWS.fullmatch(array.dimensions[cols]):
        rows, cols = cols, rows
    grid, turned = _grid(hdf, array, rows, cols)
    return Structure(array, (rows, cols, axis), bands, grid, turned)


def bands_along(hdf: Hdf, array: Array, axis: int) -> list[BandInfo] | None:
    """Descriptions of the bands if a dimension is one of wavelengths, by its own coordinate, the array's attributes, or
    a list in the file.
    """
    count = array.shape[axis]
    if count < _FEWEST_BANDS:
        return None
    centres = _own_coordinate(array, axis)
    if centres is None:
        centres = _attribute(array, ("wavelengths", "wavelength", "Wavelengths", "Wavelength"), count)
    if centres is None and array.shape.count(count) == 1:
        centres = _listed(hdf, CENTRES, count)
    if centres is None:
        return None
    widths = _attribute(array, ("fwhm", "FWHM"), count)
    widths = _listed(hdf, WIDTHS, count, plausible=False) if widths is None else widths
    good = _attribute(array, ("good_wavelengths", "bbl"), count)
    good = _listed(hdf, GOOD, count, plausible=False) if good is None else good
    if widths is not None and np.nanmax(widths) < 1 < np.nanmax(centres) / 300:
        widths = widths * 1e3  # micrometres beside centres that were told in them
    return [
        BandInfo(
            wavelength_nm=float(nm) if nm > 0 else None,
            fwhm_nm=float(widths[i]) if widths is not None and widths[i] > 0 else None,
            description=f"band {i + 1}",
            bad=not nm > 0 or (good is not None and good[i] == 0),
            scale=_factor(array),
            offset=_shift(array),
        )
        for i, nm in enumerate(centres)
    ]


def _factor(array: Array) -> float:
    value = array.md.GetScale()
    value = value if value is not None else array.attribute("scale_factor")
    return float(value) if isinstance(value, (int, float)) and value else 1.0


def _shift(array: Array) -> float:
    value = array.md.GetOffset()
    value = value if value is not None else array.attribute("add_offset")
    return float(value) if isinstance(value, (int, float)) else 0.0


def _own_coordinate(array: Array, axis: int) -> np.ndarray | None:
    """Wavelengths in nm by the dimension's own variable."""
    variable = array.md.GetDimensions()[axis].GetIndexingVariable()
    if variable is None or variable.GetDataType().GetClass() != 0:
        return None
    unit, name = unit_in_nm(variable.GetUnit()), variable.GetName()
    values = Array(name, variable).numbers().ravel()
    spectral = SPECTRAL.fullmatch(name) is not None
    if unit in (1.0, 1e3) or unit is not None and spectral:
        return values * unit
    return _plausible(values) if spectral else None


def _attribute(array: Array, names: tuple[str, ...], count: int) -> np.ndarray | None:
    for name in names:
        value = array.attribute(name)
        if value is not None and not isinstance(value, str) and np.size(value) == count:
            values = np.ravel(value).astype(float)
            return _plausible(values) if "avelength" in name and "good" not in name else values
    return None


def _listed(hdf: Hdf, pattern: re.Pattern[str], count: int, plausible: bool = True) -> np.ndarray | None:
    for name in hdf.names:
        if not pattern.fullmatch(name.rpartition("/")[2]):
            continue
        array = hdf.get(name)
        if array is None or array.shape != (count,) or array.md.GetDataType().GetClass() != 0:
            continue
        values = array.numbers() * (unit_in_nm(array.unit) or 1.0)
        found = _plausible(values) if plausible else values
        if found is not None:
            return found
    return None


def _plausible(values: np.ndarray) -> np.ndarray | None:
    """In nm, or None where these are no wavelengths."""
    factor = guessed_unit(values)
    nm = values * factor
    known = nm[nm > 0]
    inside = np.isfinite(factor) and known.size and known.min() >= PLAUSIBLE_NM[0] and known.max() <= PLAUSIBLE_NM[1]
    return nm if inside else None


def _grid(hdf: Hdf, array: Array, rows: int, cols: int) -> tuple[Grid, tuple[bool, bool]]:
    """By even coordinates of rows and columns, else by arrays of longitude and latitude of the image's size."""
    shape = array.shape[rows], array.shape[cols]
    lines = [_line(hdf, array, axis, pattern) for axis, pattern in ((rows, _ROWS), (cols, _COLS))]
    if all(line is not None for line in lines):
        (top, down, unit), (left, across, _) = lines
        turned = down > 0, across < 0
        if turned[0]:
            top, down = top + down * (shape[0] - 1), -down
        if turned[1]:
            left, across = left + across * (shape[1] - 1), -across
        crs = _crs(hdf, array) or (degrees() if unit.startswith("degree") or _like_degrees(left, top) else "")
        return Grid(*shape, (left - across / 2, across, 0.0, top - down / 2, 0.0, down), crs), turned
    places = _places(hdf, shape)
    bare = Grid(*shape)
    return (with_places(bare, *places) if places else bare), (False, False)


def _line(hdf: Hdf, array: Array, axis: int, pattern: re.Pattern[str]) -> tuple[float, float, str] | None:
    """First place, step and unit of a dimension whose coordinate runs evenly."""
    variable = array.md.GetDimensions()[axis].GetIndexingVariable()
    found = Array(variable.GetName(), variable) if variable is not None else _named_line(hdf, array, axis, pattern)
    if found is None or found.md.GetDataType().GetClass() != 0:
        return None
    values = found.numbers().ravel()
    steps = np.diff(values)
    mean = float((values[-1] - values[0]) / max(1, values.size - 1))
    if (
        not np.isfinite(values).all()
        or mean == 0
        or np.abs(steps - mean).max() > max(_EVEN * abs(mean), _rounding(found, values))
    ):
        return None
    if np.array_equal(values, np.arange(values.size)) or np.array_equal(values, np.arange(1, values.size + 1)):
        return None  # numbers of pixels
    return float(values[0]), mean, found.unit


def _named_line(hdf: Hdf, array: Array, axis: int, pattern: re.Pattern[str]) -> Array | None:
    for name in hdf.names:
        if pattern.fullmatch(name.rpartition("/")[2]):
            found = hdf.get(name)
            if found is not None and found.shape == (array.shape[axis],):
                return found
    return None


def _rounding(array: Array, values: np.ndarray) -> float:
    return 4 * float(np.spacing(np.float32(np.abs(values).max()))) if array.dtype == np.float32 else 0.0


def _like_degrees(x: float, y: float) -> bool:
    return abs(x) <= 360 and abs(y) <= 90


def _crs(hdf: Hdf, array: Array) -> str:
    """By the array itself, a grid mapping variable, or an attribute of the file."""
    reference = array.md.GetSpatialRef()
    if reference is not None:
        return reference.ExportToWkt()
    mapping = array.attribute("grid_mapping")
    names = [str(mapping)] if mapping else []
    for name in (*names, "spatial_ref", "crs", "transverse_mercator"):
        for full in hdf.matching(name):
            found = hdf.get(full)
            text = next((t for key in ("crs_wkt", "spatial_ref") if (t := found and found.attribute(key))), None)
            if text:
                return str(text)
    attributes = hdf.attributes()
    text = next((str(attributes[k]) for k in ("spatial_ref", "crs_wkt") if attributes.get(k)), "")
    code = next(
        (re.search(r"\d{4,5}", str(attributes[k])) for k in ("epsg", "EPSG", "epsg_code", "crs") if attributes.get(k)),
        None,
    )
    return text or (crs_of_epsg(int(code.group())) if code else "")


def _places(hdf: Hdf, shape: tuple[int, int]) -> tuple[Array, Array] | None:
    found = []
    for pattern in (_LONGITUDE, _LATITUDE):
        arrays = (hdf.get(name) for name in hdf.names if pattern.fullmatch(name.rpartition("/")[2]))
        found.append(next((array for array in arrays if array is not None and array.shape == shape), None))
    return (found[0], found[1]) if all(found) else None
