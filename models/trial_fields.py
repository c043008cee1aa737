"""Displacements of a trial's HSI: shapes of which none is one of the cosines that are fitted, and what the HSI then
sees of a scene.
"""

from __future__ import annotations

import numpy as np

from .observation import Displacement
from .observation.axis import cubic_weights


def field(shape: str, rms: float, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(2, rows, cols) MSI pixels of `rms` length on average, mean zero.

    shape: "wave", "waves" (one or two oblique waves over the scene per axis), "jitter" (line by line, as a pushbroom's
    attitude), "step" (two detectors side by side), "bump" (parallax of a hill).
    """
    rng, (rows, cols) = np.random.default_rng(seed), size
    y, x = (np.arange(rows) + 0.5)[:, None] / rows, (np.arange(cols) + 0.5)[None, :] / cols
    if shape in ("wave", "waves"):
        count = 1 if shape == "wave" else 2
        ways, phases = rng.uniform(0, 2 * np.pi, (2, 2))
        d = [
            np.sin(2 * np.pi * count * (np.cos(way) * y + np.sin(way) * x) + phase) for way, phase in zip(ways, phases)
        ]
    elif shape == "jitter":
        kernel = np.exp(-0.5 * (np.arange(-12, 13) / 4.0) ** 2)
        walks = np.cumsum(rng.normal(size=(2, rows + 24)), axis=1)
        d = [np.convolve(walk, kernel, "valid")[:, None] * np.ones((1, cols)) for walk in walks]
        d = [one - y * (one[-1:] - one[:1]) for one in d]
    elif shape == "step":
        left = np.where(x < 0.45, 1.0, -1.0) * np.ones((rows, 1))
        d = [left, -0.6 * left]
    elif shape == "bump":
        hill = np.exp(-0.5 * (((y - 0.4) / 0.18) ** 2 + ((x - 0.55) / 0.18) ** 2))
        d = [hill, 0.6 * hill]
    else:
        raise ValueError(f"no displacement is called {shape!r}")
    found = np.stack(d)
    found -= found.mean(axis=(1, 2), keepdims=True)
    return rms * found / np.sqrt((found**2).sum(axis=0).mean())


def turned(size: tuple[int, int], shift: tuple[float, float], degrees: float) -> np.ndarray:
    """(2, rows, cols): a shift (y, x) and a turn about the scene's middle."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    return Displacement(size, degrees).of(y, x) + np.array(shift)[:, None, None]


def seen(cube: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """The cube (L, H, W) at its own places plus a displacement (2, H, W), by cubic convolution, mirrored at
    the border.
    """
    rows, cols = cube.shape[1:]
    (top, by_row), (left, by_col) = (cubic_weights(place) for place in np.mgrid[:rows, :cols] + displacement)
    found = np.zeros(cube.shape, np.float32)
    for i in range(4):
        for j in range(4):
            share = (by_row[i] * by_col[j]).astype(np.float32)
            found += share * cube[:, _mirrored(top + i, rows), _mirrored(left + j, cols)]
    return found


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    index = np.mod(index, 2 * size)
    return np.where(index >= size, 2 * size - 1 - index, index)
