"""The numbers that are free in a fit, how they move an HSI pixel, and what a step makes of a sampling."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....observation import Displacement, Sampling
from ....observation.displacement import cosines
from .images import SHIFT_X, SHIFT_Y, WIDTH_X, WIDTH_Y

FWHM_RANGE = (0.4, 3.0)
LARGEST_SCALE = 0.1


@dataclass(frozen=True)
class Free:
    """widths and shift, as (y, x): whether they are fitted; similarity: rotation and scale; order: cosines per axis of
    the field, 1 = none.
    """

    widths: tuple[bool, bool]
    shift: tuple[bool, bool]
    similarity: bool = False
    order: int = 1

    @property
    def terms(self) -> list[tuple[int, int]]:
        """Orders (a, b) of the field's cosines, the mean left out."""
        return [(a, b) for a in range(self.order) for b in range(self.order - a) if a + b > 0]

    @property
    def global_count(self) -> int:
        """Parameters before the field's: widths, shift, turn in radians, log scale."""
        return sum(self.widths) + sum(self.shift) + 2 * self.similarity

    @property
    def count(self) -> int:
        """All parameters: those, then the field's along rows and along columns."""
        return self.global_count + 2 * len(self.terms)

    def field_basis(self, places: np.ndarray, scene_shape: tuple[int, int]) -> np.ndarray:
        """(N, terms): the field's cosines at nominal places (N, 2) in MSI pixels."""
        waves = [cosines(places[:, axis], size, self.order) for axis, size in enumerate(scene_shape)]
        columns = [waves[0][:, a] * waves[1][:, b] for a, b in self.terms]
        return np.stack(columns, axis=1) if columns else np.empty((len(places), 0))

    def jacobian(self, change: np.ndarray, places: np.ndarray, sampling: Sampling, basis: np.ndarray) -> np.ndarray:
        """(N, P): derivatives of one band of D z, from those (4, N) by widths and shift."""
        found = [
            change[n] for n, free in zip((WIDTH_Y, WIDTH_X, SHIFT_Y, SHIFT_X), (*self.widths, *self.shift)) if free
        ]
        if self.similarity:
            for moved in turned(places, sampling):
                found.append(change[SHIFT_Y] * moved[0] + change[SHIFT_X] * moved[1])
        columns = np.stack(found, axis=1) if found else np.empty((len(places), 0))
        return np.concatenate([columns, *(change[n][:, None] * basis for n in (SHIFT_Y, SHIFT_X))], axis=1)

    def movement(self, step: np.ndarray, places: np.ndarray, sampling: Sampling, basis: np.ndarray) -> float:
        """The farthest that a step moves an HSI pixel, in MSI pixels."""
        first, n = sum(self.widths), len(self.terms)
        moved = np.zeros((2, len(places)))
        for axis in (0, 1):
            if self.shift[axis]:
                moved[axis] += step[first]
                first += 1
        if self.similarity:
            for one, angle in zip(turned(places, sampling), step[first : first + 2]):
                moved += angle * one
            first += 2
        for axis in (0, 1):
            moved[axis] += basis @ step[first + axis * n : first + (axis + 1) * n]
        return float(np.hypot(*moved).max())

    def applied(self, step: np.ndarray, sampling: Sampling, scene_shape: tuple[int, int]) -> Sampling:
        """`sampling` after a step (P,)."""
        values, place = {}, 0
        for name, free in zip(("fwhm_y", "fwhm_x"), self.widths):
            if free:
                values[name] = float(np.clip(getattr(sampling, name) * np.exp(step[place]), *FWHM_RANGE))
                place += 1
        for name, free in zip(("shift_y", "shift_x"), self.shift):
            if free:
                values[name] = getattr(sampling, name) + float(step[place])
                place += 1
        if not self.similarity and self.order == 1:
            return replace(sampling, **values)
        d = sampling.displacement or Displacement(scene_shape)
        turn, scale = d.turn, d.scale
        if self.similarity:
            turn += float(np.degrees(step[place]))
            scale *= float(np.exp(step[place + 1]))
            scale = float(np.clip(scale, 1.0 - LARGEST_SCALE, 1.0 + LARGEST_SCALE))
            place += 2
        fields = [_grown(field, self.order) for field in (d.field_y, d.field_x)]
        for field in fields:
            for a, b in self.terms:
                field[a, b] += step[place]
                place += 1
        rows, cols = (tuple(tuple(map(float, row)) for row in field) for field in fields)
        return replace(sampling, displacement=Displacement(scene_shape, turn, scale, rows, cols), **values)


def turned(places: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """How a radian of turn and a unit of log scale move each place (N, 2): two arrays (2, N)."""
    d = sampling.displacement
    from_y, from_x = (places[:, axis] - (size - 1) / 2 for axis, size in enumerate(d.scene_shape))
    cos, sin = d.scale * np.cos(np.radians(d.turn)), d.scale * np.sin(np.radians(d.turn))
    longer = np.stack([cos * from_y + sin * from_x, cos * from_x - sin * from_y])
    return np.stack([longer[1], -longer[0]]), longer


def _grown(field: tuple[tuple[float, ...], ...], order: int) -> np.ndarray:
    """Coefficients with room for more orders."""
    found = np.zeros((max(order, len(field)),) * 2)
    found[: len(field), : len(field)] = field
    return found
