"""Shifts of parts of a scene on a coarse lattice, and whether they follow rotation and scale: said where one shift for
all cannot be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Sampling
from ..block import Block
from .comparable import search_part
from .registration import local_shift

PARTS = 4  # per axis, of a scene that is one block
LEAST_PART = 12  # HSI pixels per axis; parts of a small scene overlap
LEAST_FOUND = 6  # parts from which a trend, six numbers, is fitted and judged
CERTAIN = 4.0  # times its standard error, from which a change of shift is believed
EXPLAINED = 0.5  # share of the shifts' variance that the trend must explain


@dataclass(frozen=True)
class Trend:
    """drift: MSI pixels by which the shift changes from the middle to a corner; turn in degrees (clockwise), scale: the
    HSI's content over what its grid says.
    """

    drift: float
    turn: float
    scale: float


def find_trend(blocks: list[Block], sampling: Sampling, listener: Listener = SILENT) -> Trend | None:
    """The trend of the shift over the scene, None where there is none beyond doubt."""
    places, shifts, spreads = [], [], []
    for part in _lattice(blocks, sampling):
        found = local_shift(part, sampling, listener)
        if found is not None:
            places.append([r.start + len(r) / 2 for r in (part.coarse_rows, part.coarse_cols)])
            shifts.append(found[0])
            spreads.append(found[1])
    if len(places) < LEAST_FOUND:
        return None
    return _fitted(np.array(places), np.array(shifts), np.array(spreads), _half(blocks), sampling.ratio)


def _lattice(blocks: list[Block], sampling: Sampling) -> list[Block]:
    """Several blocks as they are, one cut into PARTS x PARTS."""
    if len(blocks) != 1:
        return blocks
    (block,) = blocks
    rows, cols = (_parts(size) for size in block.y.shape[1:])
    return [search_part(block, r, c, sampling) for r in rows for c in cols]


def _parts(size: int) -> list[slice]:
    length = min(size, max(LEAST_PART, size // PARTS))
    starts = np.linspace(0, size - length, PARTS if size > length else 1).astype(int)
    return [slice(int(start), int(start) + length) for start in starts]


def _half(blocks: list[Block]) -> np.ndarray:
    """Half the size (rows, cols) of what is compared, in HSI pixels."""
    edges = [
        [(getattr(b, name).start, getattr(b, name).stop) for b in blocks] for name in ("coarse_rows", "coarse_cols")
    ]
    return np.array([(max(e[1] for e in axis) - min(e[0] for e in axis)) / 2 for axis in edges])


def _fitted(
    places: np.ndarray, shifts: np.ndarray, spreads: np.ndarray, half: np.ndarray, ratio: float
) -> Trend | None:
    """Weighted least squares of shift = a + B (place - middle), with one round that leaves outliers out; None unless
    beyond doubt.
    """
    where = np.column_stack([np.ones(len(places)), places - places.mean(axis=0)])
    weight = 1.0 / (0.1**2 + spreads.max(axis=1) ** 2)
    good = np.ones(len(places), bool)
    for _ in range(2):
        root = np.sqrt(weight[good])[:, None]
        solution, *_ = np.linalg.lstsq(root * where[good], root * shifts[good], rcond=None)
        left = shifts - where @ solution
        size = np.abs(left).max(axis=1)
        good = size <= max(3.0 * float(np.median(size)), 0.3)
        if good.sum() < LEAST_FOUND:
            return None
    freedom = max(int(good.sum()) - 3, 1)
    variance = (left[good] ** 2).sum(axis=0) / freedom + 1e-4
    inverse = np.linalg.pinv(where[good].T @ where[good])
    slopes = solution[1:].T  # [shift axis, place axis]
    errors = np.sqrt(np.outer(variance, np.diag(inverse)[1:]))
    total = ((shifts[good] - shifts[good].mean(axis=0)) ** 2).sum()
    if (np.abs(slopes) < CERTAIN * errors).all() or (left[good] ** 2).sum() > EXPLAINED * total:
        return None
    drift = float(np.hypot(*(np.abs(slopes) @ half)))
    # The content lies at (1 + scale) times a turn of its place; place in HSI pixels, shift in MSI pixels.
    turn = float(np.degrees((slopes[0, 1] - slopes[1, 0]) / (2 * ratio)))
    return Trend(drift, turn, 1.0 + float(np.trace(slopes)) / (2 * ratio))
