"""Spikes: single values that neither the pixel's other bands nor the same band of the pixels around it let one
expect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

PREDICTORS = 5  # bands, each of which predicts a band by itself; the median of their predictions is followed
CLIPPED = 6.0  # robust deviations at which values are cut off where bands are compared
FAR = 8.0  # robust deviations of a spike from its prediction
ALONE = 2.5  # how much further than all but one of the eight values around it
OWN = 3.0  # how much further than nine tenths of the pixel's other bands, in deviations of each
LEAST = 0.2  # of the band's range; a certain spike lies further off than CERTAIN of it
CERTAIN = 2.0
TAIL = 0.98, 2.326  # quantile of the absolute deviations that also measures them, and what it is in normal ones
_LEAST_PIXELS = 36


@dataclass(frozen=True)
class SpikeTest:
    """Predicts every band from each of its most alike bands; bands, slope, offset (L, PREDICTORS), scale, least (L,).

    middle (L,): stands for unknown values; scale: robust standard deviation of a band about its prediction; least:
    smallest deviation that counts.
    """

    bands: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    least: np.ndarray

    @classmethod
    def fit(cls, spectra: np.ndarray) -> SpikeTest | None:
        """Of spectra (L, N), NaN where unknown; None where too little is known or the bands are too few."""
        use = np.isfinite(spectra).all(axis=0)
        sample = spectra[:, use].astype(np.float64)
        bands, count = sample.shape
        if bands <= PREDICTORS or count < _LEAST_PIXELS:
            return None
        middle = np.median(sample, axis=1)[:, None]
        spread = np.maximum(1.4826 * np.median(np.abs(sample - middle), axis=1), 1e-6 * np.abs(middle[:, 0]) + 1e-30)[
            :, None
        ]
        clipped = np.clip((sample - middle) / spread, -CLIPPED, CLIPPED)
        clipped -= clipped.mean(axis=1, keepdims=True)
        covariance = clipped @ clipped.T / count
        power = np.maximum(np.diag(covariance), 1e-12)
        alike = np.abs(covariance) / np.sqrt(np.outer(power, power))
        np.fill_diagonal(alike, -1.0)
        best = np.argsort(-alike, axis=1)[:, :PREDICTORS]
        slope = np.take_along_axis(covariance, best, axis=1) / power[best] * spread / spread[best][:, :, 0]
        offset = middle - slope * middle[best][:, :, 0]
        low, high = np.quantile(sample, (0.05, 0.95), axis=1)
        found = cls(best, slope, offset, middle[:, 0], np.ones(bands), np.zeros(bands))
        apart = np.abs(found.apart(sample))
        scale = np.maximum(1.4826 * np.median(apart, axis=1), np.quantile(apart, TAIL[0], axis=1) / TAIL[1])
        return replace(found, scale=np.maximum(scale, 1e-6 * (high - low) + 1e-30), least=LEAST * (high - low))

    def expected(self, values: np.ndarray) -> np.ndarray:
        """Values (L, ...), finite, as their most alike bands let one expect them."""
        result = np.empty_like(values)
        slope, offset = self.slope.astype(values.dtype), self.offset.astype(values.dtype)
        for band, (others, a, b) in enumerate(zip(self.bands, slope, offset)):
            result[band] = _median_of_five(*(values[k] * s + o for k, s, o in zip(others, a, b)))
        return result

    def known(self, values: np.ndarray) -> np.ndarray:
        """Values (L, ...) with something usual in place of NaN."""
        unknown = np.isnan(values)
        middle = self.middle.astype(values.dtype).reshape(-1, *([1] * (values.ndim - 1)))
        return np.where(unknown, middle, values) if unknown.any() else values

    def apart(self, values: np.ndarray) -> np.ndarray:
        """Deviations (L, ...) of finite values from what is expected."""
        return values - self.expected(values)

    def among(self, apart: np.ndarray, certain: bool = False) -> np.ndarray:
        """Which of the deviations (L, h, w) are spikes; `certain`: only those that lie so far off that one of them is
        proof enough.
        """
        size = np.abs(apart)
        limit = np.maximum(FAR * self.scale, self.least * (CERTAIN / LEAST if certain else 1.0)).astype(size.dtype)
        found = np.zeros(size.shape, bool)
        band, row, col = np.nonzero(size > limit[:, None, None])
        if not band.size:
            return found
        own = size[band, row, col]
        keep = own > ALONE * _second_around(size, band, row, col)
        band, row, col, own = band[keep], row[keep], col[keep], own[keep]
        pixels, inverse = np.unique(np.stack([row, col]), axis=1, return_inverse=True)
        others = size[:, pixels[0], pixels[1]]
        spike = np.ones(len(band), bool)
        for unit in (
            self.scale,
            np.maximum(self.least, self.scale),
        ):  # a rare material stands out in many bands by either measure
            spike &= own / unit[band] > OWN * np.quantile(others / unit[:, None], 0.9, axis=0)[inverse.ravel()]
        found[band[spike], row[spike], col[spike]] = True
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> SpikeTest:
        """The inverse of `to_dict`."""
        return cls(**{name: np.asarray(value) for name, value in plain.items()})


def _median_of_five(a: Any, b: Any, c: Any, d: Any, e: Any) -> np.ndarray:
    """By comparisons in pairs: the median of e, of the larger of two minima and of the smaller of two maxima."""
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.maximum(np.minimum(e, low), np.minimum(np.maximum(e, low), high))


def _second_around(size: np.ndarray, band: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """The second largest of the eight values around each place; beyond the border there are zeros."""
    first, second = np.zeros(band.size, size.dtype), np.zeros(band.size, size.dtype)
    rows, cols = size.shape[1:]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down or right:
                there = (row + down >= 0) & (row + down < rows) & (col + right >= 0) & (col + right < cols)
                value = np.where(there, size[band, (row + down) % rows, (col + right) % cols], 0)
                second = np.maximum(second, np.minimum(first, value))
                first = np.maximum(first, value)
    return second
