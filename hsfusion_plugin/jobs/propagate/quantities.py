"""What is computed of every member: maps of one or several numbers per pixel, from spectra (L, rows, cols)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .formula import Formula

SHRINKAGE = 1e-3  # of the mean variance, that the background's covariance gets on its diagonal


class Quantity(Protocol):
    """names: of its maps; unit: of their values; whole: what it is, for the report."""

    names: list[str]
    unit: str
    whole: str

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        """(Q, rows, cols) float32, NaN where unknown."""


@dataclass(frozen=True)
class Index:
    """A formula of bands."""

    formula: Formula
    label: str
    unit: str = ""

    @property
    def names(self) -> list[str]:
        return [self.label]

    @property
    def whole(self) -> str:
        return f"{self.label} = {self.formula.text}"

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        return self.formula(spectra)[None]


@dataclass(frozen=True)
class Angle:
    """Spectral angle to given spectra (n, L), in degrees (Kruse et al. 1993); bands that a spectrum does not tell take
    no part.
    """

    names: list[str]
    spectra: np.ndarray
    unit: str = "°"
    whole: str = "spectral angle to the given spectra"

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        return np.stack([self._angle(spectra, wanted) for wanted in self.spectra])

    @staticmethod
    def _angle(spectra: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        told = np.isfinite(wanted)
        x, s = spectra[told], wanted[told].astype(np.float32)
        size = np.sqrt((x**2).sum(axis=0)) * np.float32(np.sqrt((s**2).sum()))
        with np.errstate(all="ignore"):
            cosine = np.tensordot(s, x, axes=1) / size
        return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))).astype(np.float32)


@dataclass(frozen=True)
class Target:
    """Adaptive coherence estimator with its sign (Kraut, Scharf and McWhorter 2001): 1 = the target's direction, about
    0 = background.
    """

    names: list[str]
    spectra: np.ndarray
    mean: np.ndarray
    precision: np.ndarray
    unit: str = ""
    whole: str = "adaptive coherence estimator (ACE) for the given spectra"

    @classmethod
    def against(cls, names: list[str], spectra: np.ndarray, background: np.ndarray) -> Target:
        """background (N, L): spectra of the scene, of which mean and covariance are taken once."""
        told = np.isfinite(spectra).all(axis=0)
        pixels = background[:, told].astype(np.float64)
        covariance = np.cov(pixels.T)
        covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        whole = np.zeros((len(told), len(told)))
        whole[np.ix_(told, told)] = np.linalg.inv(covariance)
        return cls(names, np.where(told, spectra, 0.0), np.where(told, background.mean(axis=0), 0.0), whole)

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        shape = spectra.shape[1:]
        x = spectra.reshape(len(spectra), -1).astype(np.float64) - self.mean[:, None]
        unknown = ~np.isfinite(x).all(axis=0)
        x[:, unknown] = 0.0
        weighted = self.precision @ x
        own = np.maximum((x * weighted).sum(axis=0), 1e-30)
        maps = []
        for wanted in self.spectra - self.mean:
            across = wanted @ weighted
            score = np.sign(across) * across**2 / (own * max(float(wanted @ self.precision @ wanted), 1e-30))
            maps.append(np.where(unknown, np.nan, score).reshape(shape))
        return np.stack(maps).astype(np.float32)


@dataclass(frozen=True)
class Classes:
    """1 in the map of the class whose spectrum has the smallest angle, else 0: the mean over members is the class's
    probability.
    """

    angle: Angle
    unit: str = "probability"
    whole: str = "class of the smallest spectral angle"

    @property
    def names(self) -> list[str]:
        return self.angle.names

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        angles = self.angle(spectra)
        known = np.isfinite(angles).all(axis=0)
        nearest = np.argmin(np.where(np.isfinite(angles), angles, np.inf), axis=0)
        maps = (nearest[None] == np.arange(len(angles))[:, None, None]).astype(np.float32)
        maps[:, ~known] = np.nan
        return maps


@dataclass(frozen=True)
class Above:
    """1 where a quantity is above a threshold, else 0: the mean over members is the probability of that."""

    index: Index
    threshold: float
    unit: str = "probability"

    @property
    def names(self) -> list[str]:
        return [f"{self.index.label} > {self.threshold:g}"]

    @property
    def whole(self) -> str:
        return f"{self.index.whole}, above {self.threshold:g}"

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        values = self.index(spectra)
        return np.where(np.isfinite(values), (values > self.threshold).astype(np.float32), np.nan)


@dataclass(frozen=True)
class OneOf:
    """One map of a quantity that has several."""

    quantity: Classes
    number: int

    @property
    def names(self) -> list[str]:
        return [self.quantity.names[self.number]]

    @property
    def unit(self) -> str:
        return self.quantity.unit

    @property
    def whole(self) -> str:
        return f"class {self.names[0]}"

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        return self.quantity(spectra)[self.number : self.number + 1]


@dataclass(frozen=True)
class AsItIs:
    """The bands of rasters that an algorithm made of the members."""

    names: list[str]
    whole: str
    unit: str = ""

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        return spectra


def interval(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Quantiles (q, ...) of members (n, ...) at ranks p (n + 1), interpolated, which a new draw falls below with
    probability p (Weibull 1939).
    """
    ordered = np.sort(values, axis=0)
    count = len(ordered)
    found = []
    for share in quantiles:
        place = np.clip(share * (count + 1) - 1, 0, count - 1)
        low = int(np.floor(place))
        high = min(low + 1, count - 1)
        found.append(ordered[low] + np.float32(place - low) * (ordered[high] - ordered[low]))
    return np.stack(found)
