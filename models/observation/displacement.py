"""A displacement of the HSI against the MSI: rotation, scale and a smooth local field, a few numbers for a
whole scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

INVERSE_ERROR = 1e-4  # MSI pixels that the fixed-point iteration of an inverse may leave
MOST_ITERATIONS = 40
PROBES = 33  # places per axis at which a field's largest value and slope are read

Field = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Displacement:
    """d (y, x) in MSI pixels: the HSI pixel whose nominal centre is p sees the ground at p + shift + d(p).

    scene_shape: (rows, cols) in MSI pixels. turn: degrees by which the HSI's content is turned clockwise about the
    scene's middle; scale: its size over what its grid says. field_y, field_x: coefficients (n, n) of cos(pi a (y + 1/2)
    / rows) cos(pi b (x + 1/2) / cols), in MSI pixels; the term a = b = 0 is 0, for the mean belongs to the shift.
    """

    scene_shape: tuple[int, int]
    turn: float = 0.0
    scale: float = 1.0
    field_y: Field = ((0.0,),)
    field_x: Field = ((0.0,),)

    def at(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """d on a grid of places: rows (m,), cols (n,) in MSI pixels of the scene -> (2, m, n)."""
        y, x = np.asarray(rows, float), np.asarray(cols, float)
        waves_y, waves_x = (cosines(p, size, self.order) for p, size in zip((y, x), self.scene_shape))
        local = np.stack([waves_y @ coefficients @ waves_x.T for coefficients in self._coefficients])
        return local + self._turned(y[:, None], x[None, :])

    def of(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """d at places y, x of any shape s: (2, *s)."""
        waves_y, waves_x = (cosines(p, size, self.order) for p, size in zip((y, x), self.scene_shape))
        local = np.stack([((waves_y @ coefficients) * waves_x).sum(axis=-1) for coefficients in self._coefficients])
        return local + self._turned(y, x)

    @property
    def order(self) -> int:
        """Cosines per axis; 1 where there is no local field."""
        return len(self.field_y)

    @cached_property
    def reach(self) -> float:
        """The largest displacement of the scene along an axis, in MSI pixels."""
        return float(np.abs(self._probed).max())

    @cached_property
    def steps(self) -> int:
        """Iterations after which an inverse is exact to INVERSE_ERROR; a number of the scene, so that it is the same in
        every tile.
        """
        slope = min(self.strain, 0.9)
        left = max(self.reach, 1.0)
        return int(np.clip(np.ceil(np.log(INVERSE_ERROR / left) / np.log(max(slope, 1e-3))), 2, MOST_ITERATIONS))

    @cached_property
    def strain(self) -> float:
        """The largest change of d per MSI pixel."""
        gaps = [max(size, 2) / (PROBES - 1) for size in self.scene_shape]
        along = [np.abs(np.diff(self._probed, axis=axis + 1)).max() / gap for axis, gap in enumerate(gaps)]
        return float(sum(along))

    @cached_property
    def similarity(self) -> tuple[float, float]:
        """Turn in degrees and scale that come nearest to all of d, the local field's own part included."""
        y, x = np.broadcast_arrays(*self._places)
        from_y, from_x = y - y.mean(), x - x.mean()
        power = (from_y**2 + from_x**2).sum()
        along = 1.0 + (from_y * self._probed[0] + from_x * self._probed[1]).sum() / power
        across = (from_x * self._probed[0] - from_y * self._probed[1]).sum() / power
        return float(np.degrees(np.arctan2(across, along))), float(np.hypot(along, across))

    @cached_property
    def local_rms(self) -> float:
        """Root mean square length over the scene, in MSI pixels, of what that turn and scale leave of d."""
        turn, scale = self.similarity
        left = self._probed - Displacement(self.scene_shape, turn, scale)._probed
        left = left - left.mean(axis=(1, 2), keepdims=True)
        return float(np.sqrt((left**2).sum(axis=0).mean()))

    @cached_property
    def _coefficients(self) -> list[np.ndarray]:
        return [np.array(self.field_y, float), np.array(self.field_x, float)]

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        y, x = (np.linspace(0, size - 1, PROBES) for size in self.scene_shape)
        return y[:, None], x[None, :]

    @cached_property
    def _probed(self) -> np.ndarray:
        return self.at(*(place.ravel() for place in self._places))

    def _turned(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        angle = np.radians(self.turn)
        from_y, from_x = y - (self.scene_shape[0] - 1) / 2, x - (self.scene_shape[1] - 1) / 2
        along, across = self.scale * np.cos(angle) - 1.0, self.scale * np.sin(angle)
        return np.stack(np.broadcast_arrays(along * from_y + across * from_x, along * from_x - across * from_y))


def cosines(places: np.ndarray, size: int, count: int) -> np.ndarray:
    """cos(pi a (p + 1/2) / size) for a = 0 ... count - 1: (*places.shape, count)."""
    found = np.ones((*np.shape(places), count))
    if count > 1:
        found[..., 1] = np.cos(np.pi * (np.asarray(places) + 0.5) / size)
    for order in range(2, count):
        found[..., order] = 2.0 * found[..., 1] * found[..., order - 1] - found[..., order - 2]
    return found
