"""Functions of the place in the scene: cosines for what is smooth, a seam for what is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seam:
    """A line across the scene where another take begins, straight or bent.

    angle: direction of its normal in radians, from the rows' axis towards the columns'; offsets: where the seam crosses
    the normal, in MSI pixels from the scene's middle, at knots spread evenly along it; between them it is straight.
    """

    scene_shape: tuple[int, int]
    angle: float
    offsets: tuple[float, ...]

    def distance(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """MSI pixels from the seam along its normal, positive on the far side; rows and cols are pixel centres and
        broadcast.
        """
        height, width = self.scene_shape
        down, right = rows - height / 2, cols - width / 2
        across = np.cos(self.angle) * down + np.sin(self.angle) * right
        along = np.cos(self.angle) * right - np.sin(self.angle) * down
        knots = np.linspace(-1.0, 1.0, len(self.offsets)) * self.reach
        return across - np.interp(along, knots, self.offsets)

    @property
    def reach(self) -> float:
        """MSI pixels from the scene's middle to its ends along the seam."""
        height, width = self.scene_shape
        return 0.5 * (abs(np.cos(self.angle)) * width + abs(np.sin(self.angle)) * height)

    def far_share(self, place: np.ndarray, side: float) -> np.ndarray:
        """Share (N,) of square cells of `side` MSI pixels around `place` (N, 2) that lies on the far side."""
        thick = side * max(abs(np.cos(self.angle)), abs(np.sin(self.angle)))
        return np.clip(0.5 + self.distance(place[:, 0], place[:, 1]) / thick, 0.0, 1.0)

    def points(self) -> list[tuple[float, float]]:
        """The knots as (row, column) in MSI pixels; the ends may lie outside the scene."""
        knots = np.linspace(-1.0, 1.0, len(self.offsets)) * self.reach
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        height, width = self.scene_shape
        return [
            (float(height / 2 + cos * o - sin * k), float(width / 2 + sin * o + cos * k))
            for o, k in zip(self.offsets, knots)
        ]


def orders(order: int) -> list[tuple[int, int]]:
    """Numbers of half waves (rows, columns) of the cosines up to `order`, the constant left out."""
    return [(a, b) for a in range(order) for b in range(order - a) if a + b]


def cosines(order: int, places: np.ndarray, length: int) -> np.ndarray:
    """cos(pi a t / length) at pixel centres t (n,) for a = 0 ... order - 1: (order, n)."""
    return np.cos(np.pi * np.arange(order)[:, None] * np.asarray(places)[None, :] / length)


def smooth_basis(order: int, place: np.ndarray, scene_shape: tuple[int, int]) -> np.ndarray:
    """(N, m) of the cosines at `place` (N, 2)."""
    rows, cols = (cosines(order, place[:, axis], scene_shape[axis]) for axis in (0, 1))
    pairs = orders(order)
    return np.stack([rows[a] * cols[b] for a, b in pairs], axis=1) if pairs else np.zeros((len(place), 0))
