"""What keeps the two images of a real pair from agreeing: registration, illumination and change between their dates."""

from __future__ import annotations

import numpy as np

SHIFT_STD = 0.15  # fine pixels that registration leaves
LARGEST_SHADING = 0.05  # std of a smooth gain, each band's own in part
LARGEST_CHANGE = 0.3  # of the signal, where something changed
MOST_CHANGES = 4
KNOTS = 4  # of smooth fields along an axis


def mismatched(rng: np.random.Generator, msi: np.ndarray) -> np.ndarray:
    """The MSI (l, H, W) of another moment: moved by a part of a pixel, unevenly lit, and changed in a few places;
    float32.
    """
    msi = _moved(msi, *(SHIFT_STD * rng.standard_normal(2)))
    bands, height, width = msi.shape
    strength = LARGEST_SHADING * rng.random()
    common, own = _smooth(rng, 1, height, width), _smooth(rng, bands, height, width)
    gain = 1.0 + strength * (0.8 * common + 0.6 * own)
    for _ in range(rng.integers(0, MOST_CHANGES + 1)):
        gain += _change(rng, bands, height, width)
    return (msi * np.maximum(gain, 0.1)).astype(np.float32)


def _moved(image: np.ndarray, south: float, east: float) -> np.ndarray:
    """Moved by less than a pixel, linearly interpolated; the border repeats."""
    for axis, shift in ((1, south), (2, east)):
        step = int(np.sign(shift)) or 1
        beside = np.roll(image, step, axis=axis)
        edge: list[slice] = [slice(None)] * 3
        edge[axis] = slice(0, 1) if step > 0 else slice(-1, None)
        beside[tuple(edge)] = image[tuple(edge)]
        image = (1.0 - abs(shift)) * image + abs(shift) * beside
    return image


def _smooth(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """(count, H, W) of mean square about 1/2: random values at KNOTS x KNOTS places, linear between them."""
    knots = rng.standard_normal((count, KNOTS, KNOTS))
    rows, cols = (_linear(n) for n in (height, width))
    return rows @ knots @ cols.T


def _linear(size: int) -> np.ndarray:
    """(size, KNOTS): weights of linear interpolation between knots."""
    place = np.linspace(0, KNOTS - 1, size)
    return np.maximum(1.0 - np.abs(place[:, None] - np.arange(KNOTS)), 0.0)


def _change(rng: np.random.Generator, bands: int, height: int, width: int) -> np.ndarray:
    """(l, H, W): a rectangle, of a field to a few pixels, in which every band is brighter or darker."""
    sizes = [max(2, int(n * np.exp(rng.uniform(np.log(0.03), np.log(0.3))))) for n in (height, width)]
    top, left = (int(rng.integers(0, n - size + 1)) for n, size in zip((height, width), sizes))
    change = np.zeros((bands, height, width))
    values = LARGEST_CHANGE * rng.uniform(-1.0, 1.0) * (0.5 + 0.5 * rng.random(bands))
    change[:, top : top + sizes[0], left : left + sizes[1]] = values[:, None, None]
    return change
