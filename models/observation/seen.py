"""Which pixels of one image belong to a window of the other."""

from __future__ import annotations

import numpy as np

from .degradation import Sampling, coarse_shape

PROBES = 9  # places per axis of a window at which a displacement is read
SPARE = 2  # HSI pixels around, for what lies between them and for interpolation

Window = tuple[range, range]


def coarse_seen(fine: Window, scene_shape: tuple[int, int], sampling: Sampling) -> Window:
    """Coarse pixels (rows, cols) whose centres lie in a fine window; all up to the scene's border where the window
    touches it.

    With a displacement a few more, those around the scene included.
    """
    counts, shifts = coarse_shape(scene_shape, sampling.ratio), (sampling.shift_y, sampling.shift_x)
    displacement = sampling.displacement
    if displacement is None:
        rows, cols = (
            coarse_range(f, s, n, sampling.ratio, shift) for f, s, n, shift in zip(fine, scene_shape, counts, shifts)
        )
        return rows, cols
    wanted = np.stack(
        np.meshgrid(*(np.linspace(f.start, f.stop - 1, PROBES) - s for f, s in zip(fine, shifts)), indexing="ij")
    )
    place = wanted
    for _ in range(displacement.steps):
        place = wanted - displacement.of(*place)
    found = []
    for numbers, count in zip((place + 0.5) / sampling.ratio - 0.5, counts):
        first, last = int(np.floor(numbers.min())) - SPARE, int(np.ceil(numbers.max())) + SPARE
        start = min(max(first, -sampling.margin), count + sampling.margin - 1)
        found.append(range(start, max(min(last + 1, count + sampling.margin), start + 1)))
    return found[0], found[1]


def fine_seen(coarse: Window, scene_shape: tuple[int, int], sampling: Sampling, reach: int) -> Window:
    """Fine pixels of the scene (rows, cols) up to `reach` of them around the displaced centres of a coarse window; at
    least one.
    """
    shifts = (sampling.shift_y, sampling.shift_x)
    edges = [np.linspace(c.start, c.stop - 1, PROBES) for c in coarse]
    rows, cols = ((e + 0.5) * sampling.ratio - 0.5 for e in edges)
    place = np.stack(np.meshgrid(rows, cols, indexing="ij"))
    if sampling.displacement is not None:
        place = place + sampling.displacement.at(rows, cols)
    found = []
    for centres, size, shift in zip(place, scene_shape, shifts):
        start = min(max(int(np.floor(centres.min() + shift)) - reach, 0), size - 1)
        found.append(range(start, max(min(int(np.ceil(centres.max() + shift)) + reach + 1, size), start + 1)))
    return found[0], found[1]


def coarse_range(fine: range, fine_size: int, coarse_size: int, ratio: float, shift: float) -> range:
    """Coarse pixels of one axis whose centres lie in a fine window; all up to the scene's border where the window
    touches it.
    """
    first = 0 if fine.start == 0 else int(np.ceil((fine.start + 0.5 - shift) / ratio - 0.5 - 1e-9))
    last = coarse_size if fine.stop == fine_size else int(np.floor((fine.stop - 0.5 - shift) / ratio - 0.5 + 1e-9)) + 1
    return range(max(0, first), min(coarse_size, max(last, first + 1)))
