"""Connected areas that one image shows otherwise than the other: clouds, their shadows, changes. And which image holds
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from .bilinear import CAP, FOLDS, block_folds
from .cells import Cells
from .robust import distance, robust_scale, weighted_fit

CORE, RIM = 5.0, 3.0  # robust standard deviations of an area's middle and of what is connected with it
LEAST_AREA = 4  # cells of an area's core
LARGEST_SHARE = 0.5  # of the cells; beyond it nobody knows which of the two is the rule
LEAST_DIFFERENCE = (
    0.1  # of the MSI's spread: what differs by less does no harm, however regular the rest of a clean pair is
)
LEAST_GAIN = 0.03  # by which the held-out misfit of the other cells must fall
UNUSUAL = 0.95  # share of the scene that is more usual than an area whose spectra are taken for unusual
NEIGHBOURS = 3
MOST_COMPARED = 2000  # cells that are looked at to tell what is usual


class Holder(IntEnum):
    """Which image holds what the other does not."""

    NEITHER = 0
    MSI = 1
    HSI = 2
    UNDECIDED = 3


@dataclass(frozen=True)
class Areas:
    """holder: a Holder per cell, uint8 (h, w); size: HSI pixels along a cell's side.

    expected (l, h, w): what the HSI lets one expect of the MSI in each cell; spread (l,): how far the MSI's pixels
    usually are from that; usual: how far nearly all of them are, root mean square over bands in units of `spread` and
    of what the cells around differ by: pixels vary where cells do. With these single MSI pixels at the rim of an area,
    of which a cell has both kinds, are told apart.
    """

    holder: np.ndarray
    size: int
    expected: np.ndarray
    spread: np.ndarray = field(default_factory=lambda: np.zeros(0))
    usual: float = 0.0

    def of_coarse(self, rows: range, cols: range) -> np.ndarray:
        """The holder at HSI pixels, (len(rows), len(cols)); beyond the scene that of its border."""
        return self._at(*(np.arange(r.start, r.stop) / self.size for r in (rows, cols)))

    def of_fine(self, rows: range, cols: range, ratio: float, shift: tuple[float, float]) -> np.ndarray:
        """The holder at MSI pixels; shift (y, x) of the HSI's grid in MSI pixels."""
        return self._at(*self._places(rows, cols, ratio, shift))

    def unusual(
        self, z: np.ndarray, rows: range, cols: range, ratio: float, shift: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """How far the MSI z (l, H, W) is from what the HSI lets one expect, (H, W) as `usual` is measured, and the
        latter, (l, H, W).
        """
        down, across = map(_linear, self._places(rows, cols, ratio, shift), self.holder.shape)
        expected, around = down @ self.expected @ across.T, down @ _contrast(self.expected) @ across.T
        square = [(band - e) ** 2 / (s**2 + c**2) for band, e, c, s in zip(z, expected, around, self.spread)]
        return np.sqrt(np.mean(square, axis=0)), expected

    def expected_at(self, rows: range, cols: range, ratio: float, shift: tuple[float, float]) -> np.ndarray:
        """`expected` between the cells' middles, (l, H, W)."""
        down, across = map(_linear, self._places(rows, cols, ratio, shift), self.holder.shape)
        return down @ self.expected @ across.T

    def _places(
        self, rows: range, cols: range, ratio: float, shift: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        down, across = (
            (np.arange(r.start, r.stop) + 0.5 - moved) / (ratio * self.size) for r, moved in zip((rows, cols), shift)
        )
        return down, across

    def _at(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        cells = (np.clip(np.floor(t).astype(int), 0, n - 1) for t, n in zip((rows, cols), self.holder.shape))
        return self.holder[np.ix_(*cells)]

    def share(self, holder: Holder) -> float:
        """Share of the grid."""
        return float((self.holder == holder).mean())


def find_areas(cells: Cells, residual: np.ndarray) -> Areas | None:
    """Areas where the residual (N, l) of a robust fit is no scatter, if the other cells are told better without them;
    else None.
    """
    scale = robust_scale(residual)
    far = distance(residual, scale)
    bad = cells.picture(far, 0.0)
    core = _opened(bad > CORE)
    labels = _labels(_grown(core, (bad > RIM) | core))
    holder = np.zeros(cells.shape, np.uint8)
    apart = np.sqrt(((residual / np.maximum(cells.low.std(axis=0), 1e-12)) ** 2).mean(axis=1))
    for label in range(1, int(labels.max()) + 1):
        area = labels == label
        there = area[cells.index[:, 0], cells.index[:, 1]]
        if (area & core).sum() < LEAST_AREA or np.sqrt((apart[there] ** 2).mean()) < LEAST_DIFFERENCE:
            continue
        holder[area] = _holder(cells, area, labels > 0)
    inside = holder[cells.index[:, 0], cells.index[:, 1]] > 0
    if not inside.any() or inside.mean() > LARGEST_SHARE or _gain(cells, inside) < LEAST_GAIN:
        return None
    return Areas(holder, cells.size, _expected(cells, residual))


def _expected(cells: Cells, residual: np.ndarray) -> np.ndarray:
    """(l, h, w); cells of which nothing is known have their band's mean."""
    seen = cells.low - residual
    return np.stack([cells.picture(band, float(band.mean())) for band in seen.T]).astype(np.float32)


def _contrast(image: np.ndarray) -> np.ndarray:
    """Standard deviation (l, h, w) of each value and the eight around it."""
    return np.stack([np.std(_shifted(band, "edge"), axis=0) for band in image]).astype(np.float32)


def _linear(place: np.ndarray, count: int) -> np.ndarray:
    """(n, count) that interpolates between the middles of `count` cells at places in cells, and repeats the first and
    the last one.
    """
    at = np.clip(place - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    weights = np.zeros((len(place), count), np.float32)
    index = np.arange(len(place))
    weights[index, low] = 1.0 - (at - low)
    if count > 1:
        weights[index, low + 1] += at - low
    return weights


def _gain(cells: Cells, inside: np.ndarray) -> float:
    """By how much the log of the held-out misfit falls, outside the areas, where these take no part in a plain fit."""
    fold, outside = block_folds(cells.index), ~inside
    left = []
    for weights in (np.ones(cells.count), outside.astype(float)):
        rest = np.zeros_like(cells.low)
        for n in range(FOLDS):
            out = fold == n
            fit = weighted_fit(cells.predictors, cells.low, np.where(out, 0.0, weights))
            rest[out] = cells.low[out] - cells.predictors[out] @ fit
        left.append(rest[outside])
    scale = robust_scale(left[1])
    misfit = [np.log(np.minimum((rest / scale) ** 2, CAP**2).mean(axis=0)).mean() for rest in left]
    return float(misfit[0] - misfit[1])


def _holder(cells: Cells, area: np.ndarray, any_area: np.ndarray) -> Holder:
    """By what is unusual in which image: an area's spectra are compared with those of the cells outside all areas.

    Unusual in the MSI alone, the MSI holds it; in the HSI alone, the HSI; in neither (a field that was harvested),
    nobody can tell. Unusual in both it is a material that the scene has nowhere else, which a regression may well miss:
    no difference between the images.
    """
    inside = area[cells.index[:, 0], cells.index[:, 1]]
    outside = ~any_area[cells.index[:, 0], cells.index[:, 1]]
    msi = _unusual(cells.low, inside, outside) > UNUSUAL
    hsi = _unusual(cells.predictors[:, 1:], inside, outside) > UNUSUAL
    return {(True, False): Holder.MSI, (False, True): Holder.HSI, (False, False): Holder.UNDECIDED}.get(
        (msi, hsi), Holder.NEITHER
    )


def _unusual(values: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
    """Share of the cells outside that lie closer to others than the median cell inside does: the distance to the third
    nearest.
    """
    known = values[outside][:: max(1, int(outside.sum()) // MOST_COMPARED)]
    scale = np.maximum(known.std(axis=0), 1e-12)
    asked = values[inside][:: max(1, int(inside.sum()) // MOST_COMPARED)] / scale
    known = known / scale
    usual = np.sort(_nearest(known, known, NEIGHBOURS))  # its own distance, zero, among them
    here = float(np.median(_nearest(asked, known, NEIGHBOURS - 1)))
    return float(np.searchsorted(usual, here) / len(usual))


def _nearest(asked: np.ndarray, known: np.ndarray, rank: int) -> np.ndarray:
    """Distance (n,) to the known point of that rank, from 0."""
    rank = min(rank, len(known) - 1)
    square = (asked**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * asked @ known.T
    return np.sqrt(np.maximum(np.partition(square, rank, axis=1)[:, rank], 0.0))


def _shifted(image: np.ndarray, mode: str = "constant") -> list[np.ndarray]:
    """The image moved by up to one cell each way, 0 coming in, or what `mode` of numpy.pad says: nine of them."""
    padded = np.pad(image, 1, mode)
    h, w = image.shape
    return [padded[i : i + h, j : j + w] for i in range(3) for j in range(3)]


def _opened(image: np.ndarray) -> np.ndarray:
    """What is left of a mask where 2 x 2 cells fit in."""
    padded = np.pad(image, 1)
    square = padded[:-1, :-1] & padded[1:, :-1] & padded[:-1, 1:] & padded[1:, 1:]
    return square[:-1, :-1] | square[1:, :-1] | square[:-1, 1:] | square[1:, 1:]


def _grown(seeds: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """What of a mask is connected with the seeds by whole sides: a corner is no evidence."""
    while True:
        grown = seeds.copy()
        grown[1:] |= seeds[:-1]
        grown[:-1] |= seeds[1:]
        grown[:, 1:] |= seeds[:, :-1]
        grown[:, :-1] |= seeds[:, 1:]
        grown &= allowed
        if (grown == seeds).all():
            return seeds
        seeds = grown


def _labels(mask: np.ndarray) -> np.ndarray:
    """Connected areas, numbered from 1: (h, w)."""
    labels = np.zeros(mask.shape, int)
    rest, number = mask.copy(), 0
    while rest.any():
        number += 1
        seed = np.zeros_like(mask)
        seed[np.unravel_index(int(np.argmax(rest)), mask.shape)] = True
        area = _grown(seed, rest)
        labels[area], rest = number, rest & ~area
    return labels
