"""How a raster is shown: which bands make red, green and blue, and between which values they are stretched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..reading.raster import Raster

_TRUE_COLOUR_NM = (660.0, 555.0, 475.0)
_FARTHEST_NM = 60.0
_CUT = (2.0, 98.0)


@dataclass(frozen=True)
class View:
    """0-based bands, three or one (grey), their thinned-out values (bands, rows, cols) and stretch limits (low, high)
    per band.

    Values and limits have the bands' scale and offset applied, as in QGIS.
    """

    bands: tuple[int, ...]
    values: np.ndarray
    limits: tuple[tuple[float, float], ...]


def view_of(raster: Raster, largest: int = 1024) -> View:
    """True colour where the wavelengths allow it, else the best three bands (or the only one) under 2-98 %."""
    bands = colour_bands(raster)
    values = raster.thumbnail(bands, largest, unscale=True)
    if len(bands) == 3 and np.isnan(values).all(axis=(1, 2)).any():
        filled = [b for b in range(raster.count) if not raster.bad[b] and np.isfinite(raster.thumbnail([b], 256)).any()]
        bands = colour_bands(raster, filled) if filled else bands
        values = raster.thumbnail(bands, largest, unscale=True)
    return View(bands, values, tuple(stretch(layer) for layer in values))


def colour_bands(raster: Raster, among: list[int] | None = None) -> tuple[int, ...]:
    """0-based (red, green, blue) or (grey,) out of the bands `among` (default: those that are not bad).

    By wavelength where the visible is covered; in the infrared the longest, middle and shortest third; without
    wavelengths as the file's own colours say, else in the usual order (blue first, as most sensors number their bands).
    """
    bands = list(np.flatnonzero(~raster.bad)) if among is None else among
    if len(bands) < 3:
        return (int(bands[0]) if bands else 0,)
    if raster.wavelengths is not None:
        wavelengths = raster.wavelengths[bands]
        nearest = [int(np.nanargmin(np.abs(wavelengths - target))) for target in _TRUE_COLOUR_NM]
        distance = max(abs(wavelengths[i] - target) for i, target in zip(nearest, _TRUE_COLOUR_NM))
        if distance > _FARTHEST_NM or len(set(nearest)) < 3:
            order = np.argsort(wavelengths)
            nearest = [int(order[int(len(bands) * part)]) for part in (5 / 6, 3 / 6, 1 / 6)]
        return tuple(int(bands[i]) for i in nearest)
    if among is None and raster.rgb_bands is not None:
        return raster.rgb_bands
    parts = (0.12, 0.075, 0.03) if len(bands) > 30 else tuple(i / len(bands) for i in (2, 1, 0))
    return tuple(int(bands[int(len(bands) * part)]) for part in parts)


def stretch(values: np.ndarray) -> tuple[float, float]:
    """The 2nd and 98th percentile of what is not NaN; (0, 1) where there is nothing, and never two equal limits."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, _CUT))
    return low, high if high > low else low + max(abs(low), 1.0) * 1e-3
