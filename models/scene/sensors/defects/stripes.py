"""Stripes: columns of a band whose gain differs from that of the others."""

from __future__ import annotations

import numpy as np

from .prediction import Prediction

COMPONENTS = 5  # few, so that stripes of a small scene are not taken for materials
CLIPPED = 3.0  # robust deviations at which residuals are cut off
PLAIN = (
    5.0  # variance of the columns' steps in that of the lines', median over the bands, from which a scene has stripes
)
OF_BAND = 1.5  # the same of a band of such a scene
MOST_GAIN = 0.2  # spread of the gains beyond which a band holds noise, and no gain can be told
LEAST_LINES = 16


class Gains:
    """Gains of each column and, for comparison, of each line of a scene: sums over windows that are given in
    any order.
    """

    def __init__(self, prediction: Prediction, scale: np.ndarray, rows: int, cols: int) -> None:
        """scale (L,): robust deviations of the bands from what the prediction expects."""
        bands = len(scale)
        self.prediction, self.scale = prediction, scale
        self._columns, self._lines = np.zeros((2, bands, cols)), np.zeros((2, bands, rows))

    def add(self, values: np.ndarray, row: int, col: int) -> None:
        """Take in values (L, rows, cols), NaN where unknown or not to be trusted, of the window that begins at (row,
        col).
        """
        bands, rows, cols = values.shape
        known = np.isfinite(values) & (2 * np.isfinite(values).sum(axis=0) > bands)
        whole = self.prediction.complete(np.where(known.any(axis=0), values, np.nan))
        flat = np.where(np.isfinite(whole), whole, 0.0).reshape(bands, -1).astype(np.float64)
        expected = self.prediction.without_itself(flat).reshape(values.shape)
        limit = CLIPPED * self.scale[:, None, None]
        apart = np.where(known, np.clip(flat.reshape(values.shape) - expected, -limit, limit), 0.0)
        expected = np.where(known, expected, 0.0)
        product, power = apart * expected, expected**2
        self._columns[:, :, col : col + cols] += product.sum(axis=1), power.sum(axis=1)
        self._lines[:, :, row : row + rows] += product.sum(axis=2), power.sum(axis=2)

    def striped(self) -> np.ndarray:
        """Bands whose columns differ more than their lines do, in a scene most of whose bands do so: bool (L,).

        Content gives columns and lines the same; what is beyond is the detector's. Gains are compared by their second
        differences: content changes slowly from column to column, a detector's gains do not.
        """
        ratio = self._ratio(bent=True)
        if min(self._columns.shape[2], self._lines.shape[2]) < LEAST_LINES:
            return np.zeros(len(ratio), bool)
        scene = bool(np.median(ratio) > PLAIN)
        return scene & (ratio > OF_BAND) & (_spread(_relative(self._columns)) < MOST_GAIN)

    def of_columns(self, striped: np.ndarray) -> np.ndarray:
        """Gain of every column (L, cols), exactly 1 in bands that are not striped, and drawn towards 1 by the share
        that content may have.
        """
        share = np.clip(1.0 - 1.0 / np.maximum(self._ratio(), 1e-30), 0.0, 1.0)
        return 1.0 + np.nan_to_num(np.where(striped, share, 0.0)[:, None] * _relative(self._columns))

    def _ratio(self, bent: bool = False) -> np.ndarray:
        """Variance of the columns' gains, or of their second differences, in that of the lines', for as many pixels in
        each.
        """
        gains = [_relative(sums) for sums in (self._columns, self._lines)]
        of_columns, of_lines = (_spread(_bends(g) if bent else g) ** 2 for g in gains)
        return of_columns / np.maximum(of_lines, 1e-30) * (self._lines.shape[2] / self._columns.shape[2])


def _relative(sums: np.ndarray) -> np.ndarray:
    """Gains less 1, against the mean of each band; NaN where nothing was seen."""
    gains = np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1e-30), np.nan)
    known = np.isfinite(gains).any(axis=1, keepdims=True)
    gains = gains - np.nanmedian(np.where(known, gains, 0.0), axis=1, keepdims=True)
    limit = CLIPPED * _spread(gains)[:, None]
    return gains - np.nanmean(np.where(known, np.clip(gains, -limit, limit), 0.0), axis=1, keepdims=True)


def _bends(gains: np.ndarray) -> np.ndarray:
    """Second differences, of the variance that the gains have if they are independent."""
    return np.diff(gains, 2, axis=1) / np.sqrt(6.0)


def _spread(gains: np.ndarray) -> np.ndarray:
    return 1.4826 * np.nanmedian(np.where(np.isfinite(gains).any(axis=1, keepdims=True), np.abs(gains), 0.0), axis=1)
