"""Fixed windows of a scene for networks whose result depends on the tile: where they lie, how they blend, what a core
needs of them.

Windows of one size start at absolute multiples of a stride; the last one of an axis ends at the scene's border. Every
window that touches a pixel is computed whole, wherever a tile is cut, so that tiles agree although the network itself
looks at all of its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import HSFusionError
from ...observation import Sampling, coarse_seen, coarse_shape
from ..window import Place, Window


@dataclass(frozen=True)
class Windows:
    """size: fine pixels of a window's side; overlap: fine pixels over which neighbours are blended, at most
    half of it.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if not (self.size > 0 and 0 <= 2 * self.overlap <= self.size):
            raise HSFusionError(
                f"Windows of {self.size} pixels cannot overlap by {self.overlap}: the model card must give at most "
                "half of the window."
            )

    @property
    def stride(self) -> int:
        """Fine pixels from the start of one window to that of the next."""
        return self.size - self.overlap

    def starts(self, length: int) -> list[int]:
        """First pixels of all windows on an axis of `length` pixels; one window, larger than the axis, where that is
        shorter.
        """
        last = max(0, length - self.size)
        return [*range(0, last, self.stride), last]

    def window(self, top: int, left: int) -> Window:
        """The window that starts at this row and column; it may exceed a scene that is smaller."""
        return Window(range(top, top + self.size), range(left, left + self.size))

    def touching(self, core: range, length: int) -> list[int]:
        """Starts of the windows that hold a pixel of `core`."""
        return [s for s in self.starts(length) if s < core.stop and s + self.size > core.start]

    def weights(self, length: int) -> dict[int, np.ndarray]:
        """Start -> weights (size,) of that window's pixels on an axis; over all windows that hold a pixel they sum to
        1.
        """
        starts = self.starts(length)
        position = np.arange(self.size) + 0.5
        profiles, total = {}, np.zeros(starts[-1] + self.size)
        for start in starts:
            rising = position / self.overlap if self.overlap and start > 0 else np.ones(self.size)
            falling = position[::-1] / self.overlap if self.overlap and start < starts[-1] else np.ones(self.size)
            profiles[start] = np.minimum(1.0, np.minimum(rising, falling))
            total[start : start + self.size] += profiles[start]
        return {start: profile / total[start : start + self.size] for start, profile in profiles.items()}

    def place(self, core: Window, scene_shape: tuple[int, int], sampling: Sampling) -> Place:
        """What must be seen for a core: all pixels of its windows, and the coarse pixels that interpolation to them
        takes.
        """
        starts = [self.touching(axis, length) for axis, length in zip(core.axes, scene_shape)]
        fine = Window(*(range(s[0], min(length, s[-1] + self.size)) for s, length in zip(starts, scene_shape)))
        if sampling.displacement is not None:
            return Place(fine, Window(*coarse_seen(fine.axes, scene_shape, sampling)))
        sizes, shifts = coarse_shape(scene_shape, sampling.ratio), (sampling.shift_y, sampling.shift_x)
        coarse = (
            _interpolated_from(axis, size, sampling.ratio, shift) for axis, size, shift in zip(fine.axes, sizes, shifts)
        )
        return Place(fine, Window(*coarse))


def _interpolated_from(fine: range, count: int, ratio: float, shift: float) -> range:
    """Coarse pixels that cubic interpolation to `fine` takes; what lies beyond the scene is reflected, as in
    `observation.axis`.
    """
    position = (np.array([fine.start, fine.stop - 1]) + 0.5 - shift) / ratio - 0.5
    taps = np.mod(np.arange(np.floor(position[0]) - 1, np.floor(position[1]) + 3).astype(int), 2 * count)
    taps = np.where(taps >= count, 2 * count - 1 - taps, taps)
    return range(int(taps.min()), int(taps.max()) + 1)
