"""Which values of a surveyed raster are fill: one exact value far outside the distribution, or one value in all bands
of whole areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .fill import Fill
from .survey import Survey

CONVENTIONS = (-99999.0, -32768.0, -32767.0, -9999.0, -999.0, -99.0, -1.0, 32767.0, 65535.0, 1e20, -1e20)
FAR, FAR_BY_CONVENTION = 0.5, 0.05  # gap to the next value, in ranges of the band, from which a value is fill
IMPOSSIBLE = 100.0  # the same of a value that occurs once
NEAR = 0.02  # the same of a value that all bands of a whole area hold
LEVELS = 20  # of whole numbers, that a range is taken to span at least
MANY_BANDS = 8  # whose values never agree in a pixel that was measured
FEW = 3
MOST_FLAT = 8  # different values in flat pixels, above which the bands are copies of one another
LARGEST_SATURATED = 0.3  # share of a band's pixels


@dataclass(frozen=True)
class Band:
    """One band of the survey: the ends of its distribution, (value, count) from outside inwards, and the range of what
    lies between.
    """

    low: list[tuple[float, int]]
    high: list[tuple[float, int]]
    span: float
    middle: np.ndarray

    def gap(self, value: float) -> float:
        """Distance from a value at one of the ends to the next value inside, in ranges; 0 of any other value."""
        for end in (self.low, self.high):
            values = [v for v, _ in end]
            if value in values[:-1]:
                return abs(values[values.index(value) + 1] - value) / self.span
        return 0.0

    def count(self, value: float) -> int | None:
        """How often a value at one of the ends occurs; None of any other."""
        return dict((*self.low, *self.high)).get(value)


def find_fill(survey: Survey) -> Fill:
    """Fill and saturation of a raster; nothing where its values are all measurements.

    A value at an end of a band's distribution is fill if it is repeated and the gap to the next value is large against
    the range of the others; a value that whole pixels hold in all their bands need not be far away. Exact zeros of
    single bands stay data.
    """
    sample = survey.sample().astype(np.float64)
    flat = _flat_values(survey)
    bands = [_band(survey, number, sample[number], flat) for number in range(survey.bands)]
    flat = [value for value in flat if _is_fill(value, survey, bands)]
    entries = _entries(bands, flat, survey.bands)
    everywhere = [value for value in flat if all(_far(band, value, True) for band in bands)]
    entries |= {(number, value) for value in everywhere for number in range(survey.bands)}
    others = tuple((value, _probe(value, bands)) for value in flat if value not in everywhere)
    saturated = _saturated(bands, sample, {value for _, value in entries} | set(flat))
    return Fill(tuple(sorted(entries)), others, saturated)


def _flat_values(survey: Survey) -> list[float]:
    if survey.bands > 1 and len(survey.flat) > MOST_FLAT and survey.bands >= MANY_BANDS:
        return []
    found = sorted(survey.flat, key=lambda value: -survey.flat[value])
    return found[:MOST_FLAT]


def _is_fill(value: float, survey: Survey, bands: Sequence[Band]) -> bool:
    count = survey.flat[value]
    if survey.bands >= MANY_BANDS:
        return count >= 2 or _conventional(value) or all(band.gap(value) > FAR for band in bands)
    if count < FEW or any(band.count(value) is None for band in bands):
        return False
    solid = max(survey.right[value], survey.below[value]) >= 0.4 * count
    isolated = all(band.gap(value) > NEAR for band in bands)
    if survey.bands <= 2:
        return solid and isolated and survey.at_border[value] >= FEW
    return solid and (isolated or survey.at_border[value] >= FEW)


def _band(survey: Survey, number: int, sample: np.ndarray, flat: Sequence[float]) -> Band:
    low = survey.low.of(number)
    high = [(-value, count) for value, count in survey.high.of(number)]
    known = sample[np.isfinite(sample)]
    ends = {value for end in (low, high) for value, count in end if count > 1 and count > 0.005 * max(survey.pixels, 1)}
    inner = known[~np.isin(known, [*ends, *(value for value in flat if value in ends)])]
    inner = inner if inner.size >= FEW else known
    if inner.size == 0:
        return Band(low, high, 1.0, inner)
    bottom, top = np.quantile(inner, (0.001, 0.999))
    levels = np.unique(known)
    spacing = float(np.median(np.diff(levels))) if levels.size > 1 else 1e-7 * max(abs(float(levels[0])), 1e-30)
    return Band(low, high, max(float(top - bottom), LEVELS * spacing), inner)


def _conventional(value: float) -> bool:
    return abs(value) > 1e30 or value in CONVENTIONS


def _far(band: Band, value: float, several: bool) -> bool:
    """Whether a value at an end of the band is too far from the others to be one of them."""
    count, gap = band.count(value), band.gap(value)
    if not count or gap == 0.0 or value == 0.0:  # dark water is cut at zero in single bands
        return False
    if several and _conventional(value) and gap > FAR_BY_CONVENTION:
        return True
    enough = 2 if _conventional(value) else FEW
    limit = FAR_BY_CONVENTION if _conventional(value) else FAR
    return gap > (IMPOSSIBLE if count < enough and not several else limit)


def _entries(bands: Sequence[Band], flat: Sequence[float], count: int) -> set[tuple[int, float]]:
    """(band, value) far outside; a value that is fill in one band needs fewer pixels in the others."""
    found = set()
    for several in (False, True):
        known = {value for _, value in found} | set(flat)
        for number, band in enumerate(bands):
            for end in (band.low, band.high):
                far = [k for k, (value, _) in enumerate(end) if _far(band, value, several and value in known)]
                found |= {(number, value) for value, _ in end[: max(far, default=-1) + 1]}
    return found


def _probe(value: float, bands: Sequence[Band]) -> int:
    """The band that holds the value least often by itself."""
    return min(range(len(bands)), key=lambda number: (bands[number].count(value) or np.inf, number))


def _saturated(bands: Sequence[Band], sample: np.ndarray, fill: set[float]) -> tuple[tuple[int, float], ...]:
    """(band, highest value) where that value is repeated as none below it is."""
    found = []
    for number, band in enumerate(bands):
        end = [(value, count) for value, count in band.high if value not in fill]
        if len(end) < 3:
            continue
        (value, count), below = end[0], max(n for _, n in end[1:])
        distinct = np.unique(band.middle).size >= 0.99 * band.middle.size  # real numbers: none occurs twice
        known = max(int(np.isfinite(sample[number]).sum()), 1)
        share = float((sample[number] == value).sum()) / known
        if share <= LARGEST_SATURATED and count >= (FEW if distinct and below == 1 else max(FEW + 5, 5 * below)):
            found.append((number, value))
    return tuple(found)
