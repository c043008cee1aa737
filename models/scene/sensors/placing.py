"""Where the HSI lies on the MSI and how wide its PSF is: search, then one shift for all, then what else held-out pixels
gain by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Displacement, Sampling
from ..block import Block, part
from .displacement import Found, Start, find_displacement, search
from .registration import SEARCHED, Estimate, Registration, register
from .shift_trend import Trend, find_trend

NEAR = 1.5  # HSI pixels around the place that the search finds, within which the shift is refined
FIELD_PIXELS = 12000  # coarse pixels that a field is fitted to at most ...
FIELD_WINDOW, FIELD_WINDOWS = 15, 7  # ... else windows of so many, so many per axis


@dataclass(frozen=True)
class Wanted:
    """What is to be found, as (y, x): widths and shift; how: "auto" (all), "shift" (one shift for all) or "none"
    (widths alone).
    """

    widths: tuple[bool, bool] = (True, True)
    shift: tuple[bool, bool] = (True, True)
    how: str = "auto"

    @property
    def free_shift(self) -> tuple[bool, bool]:
        """Which of the shift's parts are sought."""
        return (False, False) if self.how == "none" else self.shift


@dataclass(frozen=True)
class Placement:
    """sampling: what is used; registration: widths and shift with intervals, the shift counted from the sampling that
    was given.

    start: what the search says; found: rotation, scale and field, None where a shift alone does; trend: a rotation that
    is not corrected.
    """

    sampling: Sampling
    registration: Registration
    start: Start
    found: Found | None = None
    trend: Trend | None = None


def place(
    blocks: list[Block],
    sampling: Sampling,
    wanted: Wanted,
    field_blocks: Callable[[Sampling], list[Block]] | None = None,
    listener: Listener = SILENT,
) -> Placement:
    """Find what is wanted beside `sampling`.

    field_blocks: blocks spread over the scene, read as a sampling says, to which a field is fitted; by default the
    blocks themselves.
    """
    start = Start()
    if any(wanted.free_shift) or wanted.how == "auto":
        start = search(blocks, sampling, wanted.free_shift, wanted.how == "auto", listener)
    scene_shape = blocks[0].scene_shape
    moved = sampling
    if start.moved:
        moved = replace(sampling, shift_y=sampling.shift_y + start.shift[0], shift_x=sampling.shift_x + start.shift[1])
        moved = roomy(moved, scene_shape)
    offset = np.array([moved.shift_y - sampling.shift_y, moved.shift_x - sampling.shift_x])
    found = None
    if wanted.how == "auto":
        parts = field_windows(blocks, moved) if field_blocks is None else field_blocks(moved)
        found = find_displacement(
            parts, moved, wanted.widths, wanted.shift, _others(sampling, moved, start, scene_shape), listener
        )
    if found is not None:
        shifts = [_counted(e, o) for e, o in zip((found.shift_y, found.shift_x), offset)]
        registration = Registration(found.fwhm_y, found.fwhm_x, *shifts, pixels=found.pixels)
        return Placement(found.sampling, registration, start, found)
    near = min(NEAR * sampling.ratio, SEARCHED) if start.certain else SEARCHED
    registration = register(blocks, moved, wanted.widths, wanted.free_shift, listener, near)
    if registration.beyond is not None and start.certain:  # the search has looked everywhere else
        moved = roomy(_shifted(moved, registration.beyond), scene_shape)
        offset = np.array([moved.shift_y - sampling.shift_y, moved.shift_x - sampling.shift_x])
        registration = register(blocks, moved, wanted.widths, wanted.free_shift, listener, near)
    told = registration.shift_y.determined and registration.shift_x.determined
    # One shift for all may not be found just because there is none: then parts of the scene are asked for theirs.
    trend = None
    if all(wanted.free_shift) and not told and registration.beyond is None:
        trend = find_trend(blocks, moved, listener)
    if trend is not None:  # the widths are smeared by it
        registration = replace(
            registration,
            fwhm_y=_nominal(registration.fwhm_y, sampling.fwhm_y),
            fwhm_x=_nominal(registration.fwhm_x, sampling.fwhm_x),
        )
    used = roomy(registration.applied(moved), scene_shape)
    shifts = [_counted(e, o) for e, o in zip((registration.shift_y, registration.shift_x), offset)]
    return Placement(used, replace(registration, shift_y=shifts[0], shift_x=shifts[1]), start, None, trend)


def _others(sampling: Sampling, moved: Sampling, start: Start, scene_shape: tuple[int, int]) -> tuple[Sampling, ...]:
    """Where rotation and scale may begin beside `moved`: turned as the search says, and where the grids lie if that is
    near.
    """
    found = []
    if start.moved and start.turn != 0.0:
        found.append(replace(moved, displacement=Displacement(scene_shape, start.turn)))
    if start.moved and 0.0 < max(map(abs, start.shift)) <= NEAR * sampling.ratio:
        found.append(sampling)
    return tuple(found)


def roomy(sampling: Sampling, scene_shape: tuple[int, int]) -> Sampling:
    """With an empty displacement where the shift is so large that some HSI pixels see nothing of the scene, without one
    where it is not.
    """
    if sampling.displacement is not None and sampling.displacement != Displacement(scene_shape):
        return sampling
    far = max(abs(sampling.shift_y), abs(sampling.shift_x)) > 0.5 * sampling.ratio + 1e-6
    return replace(sampling, displacement=Displacement(scene_shape) if far else None)


def field_windows(blocks: list[Block], sampling: Sampling) -> list[Block]:
    """The blocks, or, where they hold more than FIELD_PIXELS, windows spread over them."""
    if sum(block.y_mask.size for block in blocks) <= FIELD_PIXELS or len(blocks) > 1:
        return blocks
    (block,) = blocks
    cuts = [spread(size, FIELD_WINDOW, FIELD_WINDOWS) for size in block.y.shape[1:]]
    return [part(block, r, c, sampling) for r in cuts[0] for c in cuts[1]]


def spread(length: int, size: int, count: int) -> list[slice]:
    """`count` windows of `size` evenly over a length, or as many as fit side by side; none is less than half as long as
    the others.

    The last one begins earlier where too little would be left for it, so that it says something by itself.
    """
    if length <= size * count:
        starts = list(range(0, length, size))
        if len(starts) > 1 and 2 * (length - starts[-1]) < size:
            starts[-1] = length - size
        return [slice(s, min(s + size, length)) for s in starts]
    return [slice(int(s), int(s) + size) for s in np.linspace(0, length - size, count)]


def _shifted(sampling: Sampling, shift: tuple[float, float]) -> Sampling:
    return replace(sampling, shift_y=sampling.shift_y + shift[0], shift_x=sampling.shift_x + shift[1])


def _counted(found: Estimate, offset: float) -> Estimate:
    """The same, counted from where the search began."""
    moved = float(offset)
    return replace(found, value=found.value + moved, low=found.low + moved, high=found.high + moved)


def _nominal(found: Estimate, value: float) -> Estimate:
    return replace(found, value=value, determined=False) if found.fitted else found
