"""What the other bands of a pixel let one expect of those that are missing: the conditional mean of a Gaussian of low
rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

COMPONENTS = 12
ROUNDS = 12
LEAST_PIXELS = 36  # below which nothing can be predicted
_AT_ONCE = 4096  # pixels


@dataclass(frozen=True)
class Prediction:
    """Spectra are mean + loadings x + noise, x of unit variance: mean (L,), loadings (L, K), noise (L,) in the raster's
    units.

    The factor model of Tipping and Bishop (1999), Mixtures of probabilistic principal component analysers, equations 1
    to 8, with a noise level per band; fitted to incomplete spectra by filling and fitting in turn.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def fit(cls, spectra: np.ndarray, components: int = COMPONENTS) -> Prediction | None:
        """Of spectra (L, N), NaN where unknown, with so many components, or as many as they allow; None where too few
        are known for it.
        """
        known = np.isfinite(spectra)
        use = 2 * known.sum(axis=0) > len(spectra)
        spectra, known = spectra[:, use].astype(np.float64), known[:, use]
        if spectra.shape[1] < LEAST_PIXELS or known.sum(axis=1).min() < LEAST_PIXELS:
            return None
        mean = np.nanmean(spectra, axis=1)
        scale = np.maximum(np.nanstd(spectra, axis=1), 1e-6 * np.abs(mean) + 1e-30)
        filled = np.where(known, (spectra - mean[:, None]) / scale[:, None], 0.0)
        short = ~known.all(axis=0)
        found = _factors(filled, components)
        for _ in range(ROUNDS if short.any() else 0):
            filled[:, short] = np.where(
                known[:, short], filled[:, short], found.expected(filled[:, short], known[:, short])
            )
            found = _factors(filled, components)
        return cls(mean + scale * found.mean, scale[:, None] * found.loadings, scale * found.noise)

    def expected(self, spectra: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Spectra (L, N) as those entries of each that are `known`, bool (L, N), let one expect them; unknown entries
        may hold anything.
        """
        weighted = self.loadings / self.noise[:, None] ** 2
        whole = weighted.T @ self.loadings + np.eye(self.loadings.shape[1])
        result = np.empty(spectra.shape)
        for start in range(0, spectra.shape[1], _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            lacking = (~known[:, part]).astype(np.float64)
            off = np.where(known[:, part], spectra[:, part] - self.mean[:, None], 0.0)
            outer = (weighted[:, :, None] * self.loadings[:, None, :]).reshape(len(weighted), -1)
            gram = whole - (lacking.T @ outer).reshape(-1, *whole.shape)
            x = np.linalg.solve(gram, (off.T @ weighted)[:, :, None])[:, :, 0]
            result[:, part] = self.mean[:, None] + self.loadings @ x.T
        return result

    def without_itself(self, spectra: np.ndarray) -> np.ndarray:
        """Complete spectra (L, N), each entry as all others of its pixel let one expect it: the identity of
        leave-one-out residuals.
        """
        weighted = self.loadings / self.noise[:, None] ** 2
        hat = self.loadings @ np.linalg.solve(weighted.T @ self.loadings + np.eye(self.loadings.shape[1]), weighted.T)
        own = np.minimum(np.diag(hat), 0.999)[:, None]
        off = spectra - self.mean[:, None]
        return self.mean[:, None] + (hat @ off - own * off) / (1.0 - own)

    def complete(self, values: np.ndarray) -> np.ndarray:
        """Values (L, ...) with unknown entries, NaN, predicted; known ones stay bit for bit as they are."""
        flat = values.reshape(len(values), -1)
        known = np.isfinite(flat)
        short = ~known.all(axis=0) & known.any(axis=0)
        if not short.any():
            return values
        result = flat.copy()
        result[:, short] = np.where(known[:, short], flat[:, short], self.expected(flat[:, short], known[:, short]))
        return result.reshape(values.shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Prediction:
        """The inverse of `to_dict`."""
        return cls(**{name: np.asarray(value, np.float64) for name, value in plain.items()})


def _factors(spectra: np.ndarray, components: int) -> Prediction:
    """The factor model of complete spectra (L, N)."""
    bands, count = spectra.shape
    components = max(1, min(components, bands // 2, count // 4))
    mean = spectra.mean(axis=1)
    covariance = np.cov(spectra)
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    rest = max(float(values[:-components].mean()) if components < bands else 0.0, 1e-12 * float(values[-1]), 1e-30)
    size = np.sqrt(np.maximum(values[-components:] - rest, 0.0))
    loadings = vectors[:, -components:] * size
    left = np.diag(np.atleast_2d(covariance)) - (loadings**2).sum(axis=1)
    return Prediction(mean, loadings, np.sqrt(np.maximum(left, 0.1 * rest)))
