"""Other patches that are as likely as one: flipped and turned in space, and with other signs of the components."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .physics import Physics
from .simulation import Patch

# components that keep their sign: the first one is brightness, whose sign is that of its mean loading in every scene
SIGNED = 1


def another(rng: np.random.Generator, patch: Patch) -> Patch:
    """The patch in one of 8 positions, and with every component but the first one in one of both signs, which are a
    convention of the subspace.
    """
    signs = np.ones(len(patch.target))
    signs[SIGNED:] = rng.choice([-1.0, 1.0], len(signs) - SIGNED)
    return turned(signed(patch, signs), *(bool(n) for n in rng.integers(0, 2, 3)))


def turned(patch: Patch, south: bool, east: bool, transpose: bool) -> Patch:
    """Rows in reverse if `south`, columns if `east`, then rows and columns exchanged."""
    physics, step = patch.physics, (slice(None, None, -1 if south else 1), slice(None, None, -1 if east else 1))

    def image(x: Any) -> Any:
        x = x[(..., *step)]
        return np.swapaxes(x, -1, -2) if transpose else x

    rows, cols = (np.asarray(matrix)[along, along] for matrix, along in zip((physics.rows, physics.cols), step))
    return replace(
        patch,
        conditions=image(patch.conditions),
        target=image(patch.target),
        physics=replace(
            physics,
            rows=cols if transpose else rows,
            cols=rows if transpose else cols,
            **{name: image(getattr(physics, name)) for name in ("mask", "y_rest", "z_rest")},
        ),
    )


def signed(patch: Patch, signs: np.ndarray) -> Patch:
    """Every component times its sign (K,)."""
    image = signs[:, None, None]
    conditions = patch.conditions.reshape(-1, *patch.target.shape)
    return replace(
        patch,
        conditions=(conditions * image.astype(conditions.dtype)).reshape(patch.conditions.shape),
        target=patch.target * image.astype(patch.target.dtype),
        physics=_signed(patch.physics, signs.astype(np.float32)),
    )


def _signed(physics: Physics, signs: np.ndarray) -> Physics:
    """`y_rest` and `axes` are multiplied by the same signs, so that what lies between them, in the axes of its own,
    stays as it is.
    """
    rows, image = signs[:, None], signs[:, None, None]
    return replace(
        physics,
        y_rest=physics.y_rest * image,
        z_rest=physics.z_rest * image,
        pull=rows * physics.pull * signs,
        axes=rows * physics.axes,
        back=rows * physics.back,
    )
