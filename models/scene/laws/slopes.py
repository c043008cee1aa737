"""Slopes that follow the spectrum: how much of a detail of the MSI is a detail of the HSI depends on the material, and
the HSI tells which it is.

GLP-HS has one slope for the whole scene, LOC one for every place. Here they are a linear function of the spectrum
around a pixel, the same all over the scene, so that what was learnt of a material holds wherever it lies. A relative of
pansharpening with slopes per segment of the scene (Restaino et al. 2017) without segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...observation.axis import separable
from ..pixels.halving import OFFSETS, doubled, halved, without_mean
from ..pixels.regression import NormalEquations
from .closed_forms import column, mix
from .nonlinear import KernelFit, Window

LEADING = 6  # coefficients of the spectrum that slopes follow
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # in mean squares of the regressors
FOLDS = 4  # of the scene, each judged by what was learnt of the others; a checkerboard of 16 parts per window
TEMPERATURE = 0.03  # explained share by which a ridge must be better than another to count e times as much
AROUND, REACH = 1.0, 4  # std and cut, in coarse pixels, of the window that means "around" where there is no scale up


@dataclass(frozen=True)
class SlopesFit:
    """weights (l, 1 + k, K): what a detail of each MSI band adds, and how much more of it for each of the k leading
    coefficients around.

    least, most (k,): the coefficients that it was learnt from; beyond them slopes are those of the nearest.
    """

    weights: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def __call__(self, detail: Any, around: Any) -> Any:
        """(K, H, W) of the MSI's detail (l, H, W) and the smooth spectrum (at least k, H, W), numpy or torch."""
        known = self._within(around[: len(self.least)])
        total: Any = 0.0
        for weights, band in zip(self.weights, detail):  # one at a time, in place: all slopes would be l times the tile
            added = mix(weights[1:].T, known)
            added += column(weights[0], added)
            added *= band
            added += total
            total = added
        return total

    def _within(self, around: Any) -> Any:
        least, most = (column(limit, around) for limit in (self.least, self.most))
        return np.clip(around, least, most) if isinstance(around, np.ndarray) else around.clamp(least, most)

    def at_coarse(self, low: Any, y: Any, mask: Any) -> Any:
        """The same (K, h, w) of the coarse pixels themselves: D z (l, h, w) against its mean around, y (K, h, w); mask
        (h, w): both known.
        """
        rows, cols = (_around(size) for size in mask.shape)
        known = separable(rows, cols, mask) + 1e-6
        low_around, y_around = (separable(rows, cols, image * mask) / known for image in (low, y))
        return self((low - low_around) * mask, y_around)


def _around(size: int) -> np.ndarray:
    distance = np.arange(size)[:, None] - np.arange(size)[None, :]
    return np.exp(-0.5 * (distance / AROUND) ** 2) * (np.abs(distance) <= REACH)


def fit_slopes(windows: list[Window], kernel: KernelFit, weight: np.ndarray) -> SlopesFit:
    """Fit the slopes to what the regression and the nonlinear law leave, one scale up: detail is what means of 2 x 2
    HSI pixels hide, in all four ways to lay them, and their spectrum is the one around.

    All ridges are taken, weighed by the share that they explain of parts of the scene they were not fitted to; none if
    that is nothing. `weight` (K,) says how much each coefficient counts.
    """
    folds = _folds(windows, kernel)
    every = NormalEquations.total(folds)
    left = np.stack([sum(fold.left(_solved(every - fold, ridge)) for fold in folds) for ridge in RIDGES])
    counts = weight**2
    shares = 1.0 - (left @ counts) / max(every.power @ counts, 1e-30)
    trust = np.exp((shares - shares.max()) / TEMPERATURE)
    trust *= (shares.max() > 0) / trust.sum()
    weights = sum(t * _solved(every, ridge) for t, ridge in zip(trust, RIDGES))
    spectra = np.concatenate([w.y[:LEADING, np.isfinite(w.y[0])] for w in windows], axis=1)
    bands = len(windows[0].low)
    return SlopesFit(weights.reshape(bands, -1, len(weight)), spectra.min(axis=1), spectra.max(axis=1))


def _solved(pixels: NormalEquations, ridge: float) -> np.ndarray:
    """Weights (n, K) of the ridge regression, however the regressors are scaled together."""
    count = len(pixels.gram)
    return pixels.solved(ridge * max(np.trace(pixels.gram) / count, 1e-12) * np.eye(count))


def _folds(windows: list[Window], kernel: KernelFit) -> list[NormalEquations]:
    """What each fold says."""
    found: list[list[NormalEquations]] = [[] for _ in range(FOLDS)]
    for window in windows:
        seen, _ = window.down.masked(kernel(window.z), window.z_mask)
        for top, left in OFFSETS:
            rest, low, y = (image[:, top:, left:] for image in (window.rest - seen, window.low, window.y))
            detail, targets = without_mean(low), without_mean(rest)
            regressors = _regressors(detail, doubled(halved(y[:LEADING])))
            known = np.isfinite(regressors[0]) & np.isfinite(targets[0])
            parts = _parts(known.shape)
            for number, fold in enumerate(found):
                here = known & (parts == number)
                fold.append(NormalEquations.of(regressors[:, here], targets[:, here]))
    return [NormalEquations.total(fold) for fold in found]


def _regressors(detail: np.ndarray, around: np.ndarray) -> np.ndarray:
    """(l (1 + k), h, w): every band's detail, alone and times each coefficient around."""
    factors = np.concatenate([np.ones_like(around[:1]), around])
    return (detail[:, None] * factors).reshape(
        len(detail) * len(factors), *detail.shape[1:]
    )  # a window may hold no pixel


def _parts(shape: tuple[int, ...]) -> np.ndarray:
    """Number of the fold of each pixel (h, w): 4 x 4 parts, those of a fold in different rows and columns."""
    rows, cols = (np.arange(size) * FOLDS // max(size, 1) for size in shape)
    return (rows[:, None] + cols[None, :]) % FOLDS
