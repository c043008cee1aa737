"""What no coarse pixel tells: how large the fine detail outside the subspace is, from how its coarse means hang
together.

A sensor's noise differs from one coarse pixel to the next. What belongs to the scene, its own noise included, was
blurred by the PSF before it was sampled, so that neighbours share it, the farther the smoother it is. What kinds of
detail the means are made of says how much was lost of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from ...observation import Degradation, Sampling, Upsampling

# Fine pixels by which the correlation of a kind of detail falls to 1/e along rows and columns; the first is white.
LENGTHS = (0.0, 2.0, 16.0)
LAGS = 4  # coarse pixels apart, from 0 on, whose products are explained
RIDGE = 1e-4  # of the kinds' shares of the variance: which of two that look alike it is, few pixels do not tell
LEAST_WHITE = 0.02  # share of the variance that is white detail at least: so much hides behind a sensor's noise
# Twice the expected size is to cover 96 % of all errors, as the network's does, though it is known to a factor of 1.6
# either way only: of the training scenes. scripts/benchmarking/hidden_detail.py fits it and says how well scenes are
# met.
UNSURE = 1.4


@dataclass(frozen=True)
class Kinds:
    """Of detail of each correlation length, by the variance of its coarse means: their products at each lag (LAGS, n),
    and the variance (n,) that interpolating them leaves of the detail.
    """

    products: np.ndarray
    hidden: np.ndarray


def fine_std(maps: Iterable[np.ndarray], sampling: Sampling) -> np.ndarray:
    """Expected std per band (L,) of fine detail whose coarse means (L, h, w) are `maps`, one per block, NaN where
    invalid.

    An approximation: the same mixture of kinds in all bands, each with an exponential correlation along rows and
    columns.
    """
    products = np.stack(neighbour_products(maps, range(LAGS)))
    variance = products[0]
    known = kinds(sampling)
    of_sensor = np.eye(LAGS)[:, :1]
    shares = _nonnegative(
        np.concatenate([known.products, of_sensor], axis=1),
        products.sum(axis=1) / max(variance.sum(), 1e-300),
        np.array([RIDGE] * len(LENGTHS) + [1e-9]),
    )
    hidden = max(float(shares[:-1] @ known.hidden), LEAST_WHITE * known.hidden[0])
    return UNSURE * np.sqrt(hidden * variance)


def neighbour_products(maps: Iterable[np.ndarray], lags: Sequence[int]) -> list[np.ndarray]:
    """Mean products per band (L,) of pixels `lags` apart along rows and columns, over all blocks (L, h, w), NaN where
    invalid.
    """
    sums, counts = [np.zeros(1) for _ in lags], [0 for _ in lags]
    for image in maps:
        known = np.isfinite(image[0])
        image = image if known.all() else np.where(known, image, 0.0)
        for number, lag in enumerate(lags):
            for values, there in ((image, known), (image.swapaxes(1, 2), known.T)):
                last = max(len(there) - lag, 0)
                sums[number] = sums[number] + np.einsum("bij,bij->b", values[:, lag:], values[:, :last])
                counts[number] += int((there[lag:] & there[:last]).sum())
    return [total / max(count, 1) for total, count in zip(sums, counts)]


@lru_cache(maxsize=64)
def kinds(sampling: Sampling) -> Kinds:
    """Of a pair's sampling; D, the interpolation and the correlation work along rows and columns apart, so their
    matrices do.
    """
    centre = LAGS + 4  # of enough coarse pixels that the border is out of sight
    count = 2 * centre + 1
    size = int(np.ceil(count * sampling.ratio))
    where = (
        replace(sampling, shift_y=0.0, shift_x=0.0),
        (size, size),
        range(size),
        range(size),
        range(count),
        range(count),
    )
    down, up = Degradation(*where), Upsampling(*where)
    inside = slice(int(centre * sampling.ratio), int((centre + 1) * sampling.ratio))
    found = []
    for length in LENGTHS:
        correlation = _exponential(size, length)
        along = []
        for low, high in ((down.rows, up.rows), (down.cols, up.cols)):
            products = (low @ correlation @ low.T)[centre, centre : centre + LAGS]
            both_ways = high @ low
            kept = np.diag(both_ways @ correlation)[inside].mean()
            power = np.diag(both_ways @ correlation @ both_ways.T)[inside].mean()
            along.append((products, kept, power))
        (rows, kept_rows, power_rows), (cols, kept_cols, power_cols) = along
        of_means = 0.5 * (rows * cols[0] + rows[0] * cols)
        found.append((of_means / of_means[0], (1 - 2 * kept_rows * kept_cols + power_rows * power_cols) / of_means[0]))
    return Kinds(np.stack([products for products, _ in found], axis=1), np.array([hidden for _, hidden in found]))


def _exponential(size: int, length: float) -> np.ndarray:
    if not length:
        return np.eye(size)
    return np.exp(-np.abs(np.arange(size)[:, None] - np.arange(size)[None, :]) / length)


def _nonnegative(matrix: np.ndarray, wanted: np.ndarray, ridges: np.ndarray) -> np.ndarray:
    """x >= 0 (n,) with the least |matrix x - wanted|^2 + sum of ridges x^2: of the few unknowns every choice is tried
    of those that are not zero.
    """
    gram, right = matrix.T @ matrix + np.diag(ridges), matrix.T @ wanted
    count = len(right)
    best, least = np.zeros(count), 0.0
    for chosen in (list(c) for size in range(1, count + 1) for c in combinations(range(count), size)):
        x = np.linalg.solve(gram[np.ix_(chosen, chosen)], right[chosen])
        cost = -float(right[chosen] @ x)
        if (x >= 0).all() and cost < least:
            best, least = np.zeros(count), cost
            best[chosen] = x
    return best
