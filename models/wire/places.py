"""What the requests of all tiles have in common: where they lie, how much is wanted, and the shapes of their images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import HSFusionError
from ..scene.window import Place, Window
from .values import Malformed, Rules

FARTHEST = 2**40  # a pixel's absolute number
LONGEST_SIDE = 1 << 16  # pixels of a tile
MOST_STEPS = 10_000
MOST_SAMPLES = 1_000_000
LARGEST_SEED = 2**63 - 1

_WHERE = (-FARTHEST, FARTHEST)
PLACE = Rules(
    ranges={
        f"{window}.{axis}": _WHERE for window in ("place.fine", "place.coarse", "core") for axis in ("rows", "cols")
    }
)
OPTIONS = Rules(
    ranges={"seed": (-LARGEST_SEED, LARGEST_SEED), "steps": (0, MOST_STEPS), "samples": (0, MOST_SAMPLES)},
)


def check_core(place: Place, core: Window) -> None:
    """Malformed where the core does not lie in its window, or the window is longer than any tile."""
    for inner, outer in zip(core.axes, place.fine.axes):
        if not outer.start <= inner.start < inner.stop <= outer.stop:
            raise Malformed(
                f"the core {inner.start} to {inner.stop} does not lie in its window {outer.start} to {outer.stop}."
            )
    for name, window in vars(place).items():
        if max(window.shape) > LONGEST_SIDE:
            raise Malformed(f"place.{name} is {max(window.shape)} pixels long, and {LONGEST_SIDE} are the most.")


def check_images(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], integers: tuple[str, ...] = ()
) -> None:
    """HSFusionError where a tile's tensor is missing, of another shape or kind, or not finite."""
    for name, shape in shapes.items():
        found = tensors[name].shape if name in tensors else "missing"
        if found != shape:
            raise HSFusionError(
                f"The tile's tensor {name} must have the shape {shape}, but it is {found}: plugin and backend must be "
                "of the same version."
            )
        image = tensors[name]
        if image.dtype.kind not in ("iu" if name in integers else "f"):
            raise HSFusionError(f"The tile's tensor {name} must be of floating point, but it is {image.dtype}.")
        if not (np.isfinite(image.min()) and np.isfinite(image.max())):
            raise HSFusionError(f"The tile's tensor {name} holds numbers that are not finite.")
