"""PSF width along rows and columns and sub-pixel shift, from the pair alone, each with the interval that the pair
supports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Sampling
from ..block import Block
from .comparable import comparison
from .psf_match import Match, Matching, theta_of
from .response import FWHM_RANGE

LARGEST_SHIFT = 3.0  # MSI pixels; what lies beyond is found but not corrected
SEARCHED = 6.0  # MSI pixels
LEAST_PIXELS = 600  # HSI pixels below which intervals are doubled and estimates weighed against the nominal values
PRIOR = (0.2, 0.2, 1.0, 1.0)  # standard deviation of the nominal values: log FWHM, shift in MSI pixels
SIGMAS = 2.0  # half width of an interval
LARGEST_FWHM_ERROR = 0.2  # relative half width of the interval from which a width counts as not determined
LARGEST_SHIFT_ERROR = 0.1  # the same of a shift, in HSI pixels
LARGEST_DRIFT = 0.75  # MSI pixels by which the shift may change from the middle of the scene to a corner
SMALLEST_SHIFT = 0.05  # MSI pixels, below which a shift is none
SAME_WIDTH = 0.03  # relative difference below which rows and columns have one width
LARGEST_UNEXPLAINED = 0.5  # share of the MSI's variance beyond which the two images have too little in common
STEPS = 25
PARTS = 5  # per axis, of the scene, over which the gradient's spread is taken


@dataclass(frozen=True)
class Estimate:
    """A value with its interval of about 95 %; where the pair cannot tell, determined is False and the value is the
    nominal one.

    fitted: False for a value that the user gives.
    """

    value: float
    low: float
    high: float
    determined: bool
    fitted: bool = True

    @classmethod
    def given(cls, value: float) -> Estimate:
        """A value that the user knows."""
        return cls(value, value, value, True, False)

    @property
    def beyond_doubt(self) -> float:
        """A shift to correct: 0 where it is smaller than SMALLEST_SHIFT or than 1.5 times half its interval."""
        return self.value if abs(self.value) > max(SMALLEST_SHIFT, 1.5 * self.error) else 0.0

    @property
    def error(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Registration:
    """FWHM in HSI pixels, shift in MSI pixels beside that of the given sampling.

    beyond: (y, x) of a match farther off than LARGEST_SHIFT, which is not corrected, else None; drift: MSI pixels by
    which the shift changes from the middle of the scene to a corner (rotation, scale, distortion), 0 where that cannot
    be told from none; pixels: HSI pixels that were compared; unexplained: share of the MSI's variance at the best
    match, mean over bands.
    """

    fwhm_y: Estimate
    fwhm_x: Estimate
    shift_y: Estimate
    shift_x: Estimate
    beyond: tuple[float, float] | None = None
    drift: float = 0.0
    pixels: int = 0
    unexplained: float = float("nan")

    def applied(self, sampling: Sampling) -> Sampling:
        """`sampling` with the widths, and with the shift on top of its own: what the pair supports and no more.

        A shift that may well be zero is none, and widths within their intervals of each other are one: an estimate's
        scatter does harm.
        """
        width_y, width_x = np.log(self.fwhm_y.value), np.log(self.fwhm_x.value)
        if self.fwhm_y.fitted and self.fwhm_x.fitted:
            error = np.array(
                [max(self.fwhm_y.error / self.fwhm_y.value, 1e-3), max(self.fwhm_x.error / self.fwhm_x.value, 1e-3)]
            )
            if abs(width_y - width_x) < max(SAME_WIDTH, float(np.hypot(*error))):
                width_y = width_x = float(np.average([width_y, width_x], weights=error**-2))
        return replace(
            sampling,
            fwhm_y=float(np.exp(width_y)),
            fwhm_x=float(np.exp(width_x)),
            shift_y=sampling.shift_y + self.shift_y.beyond_doubt,
            shift_x=sampling.shift_x + self.shift_x.beyond_doubt,
        )


def register(
    blocks: list[Block],
    sampling: Sampling,
    fit_fwhm: tuple[bool, bool] = (True, True),
    fit_shift: tuple[bool, bool] = (True, True),
    listener: Listener = SILENT,
    searched: float = SEARCHED,
) -> Registration:
    """Estimate what is to be fitted, as (y, x); the rest, and the nominal widths, come from `sampling`.

    A coarse search compares shifts of up to `searched` MSI pixels, then Levenberg's and Marquardt's steps refine all
    free parameters together. Intervals come from the gradient's spread over parts of the scene (the sandwich
    estimator), so that texture and model error widen them. Refused are widths at the edge of FWHM_RANGE (and the shift
    with them), intervals wider than the limits above, and images that have too little in common. `listener` is called
    often and may raise to end the work.
    """
    free = np.array([*fit_fwhm, *fit_shift])
    pixels = sum(int((block.y_mask > 0).sum()) for block in blocks)
    unknown = _unknown(sampling, free)
    matching = comparison(blocks, sampling, searched if any(fit_shift) else 0.0) if free.any() else None
    if matching is None:
        return unknown
    start = theta_of(sampling)
    theta = _coarse(matching, start, free, listener, searched)
    near = min(float(np.abs(theta - start)[2:].max()) + 0.1 * sampling.ratio, SEARCHED)
    matching = comparison(blocks, sampling, near) or matching
    theta, match = _refined(matching, theta, free, listener)
    return _judged(matching, theta, match, start, unknown, free, pixels >= LEAST_PIXELS)


def _unknown(sampling: Sampling, free: np.ndarray) -> Registration:
    """Given values for what is fixed, nominal ones with the widest intervals for what is free."""
    widest = (FWHM_RANGE, FWHM_RANGE, (-SEARCHED, SEARCHED), (-SEARCHED, SEARCHED))
    values = (sampling.fwhm_y, sampling.fwhm_x, 0.0, 0.0)
    return Registration(
        *(Estimate(v, *limits, False) if f else Estimate.given(v) for v, limits, f in zip(values, widest, free))
    )


def _coarse(
    matching: Matching, start: np.ndarray, free: np.ndarray, listener: Listener, searched: float = SEARCHED
) -> np.ndarray:
    """The best shift of a grid at the nominal width, then the best common width there."""

    def least(grid: list[np.ndarray]) -> np.ndarray:
        return grid[int(np.argmin(matching.values(grid, bands, listener)))]

    bands = slice(None, None, max(1, matching.bands // 3))
    step = max(1.0, matching.ratio / 4)
    offsets = np.arange(-np.floor(searched / step), np.floor(searched / step) + 1) * step
    best = start
    if free[2:].any():
        grid = [
            start + np.array([0.0, 0.0, dy, dx])
            for dy in (offsets if free[2] else [0.0])
            for dx in (offsets if free[3] else [0.0])
        ]
        best = least(grid)
    if free[:2].any():
        widths = np.log(np.geomspace(0.5, 2.2, 6))
        grid = [best, *(np.where([*free[:2], False, False], width, best) for width in widths)]
        best = least(grid)
    return best


def _refined(matching: Matching, theta: np.ndarray, free: np.ndarray, listener: Listener) -> tuple[np.ndarray, Match]:
    """Levenberg's and Marquardt's descent over the free parameters, in steps of at most a quarter of an HSI pixel."""
    match, damping = matching.match(theta), 1e-3
    longest = np.array([0.3, 0.3, 0.25 * matching.ratio, 0.25 * matching.ratio])
    low, high = (np.log(FWHM_RANGE[0]), np.log(FWHM_RANGE[1]))
    for _ in range(STEPS):
        listener.check()
        hessian = match.hessian[np.ix_(free, free)]
        curved = hessian + damping * np.diag(np.diag(hessian)) + 1e-9 * np.eye(len(hessian))
        step = np.zeros(len(theta))
        step[free] = -np.linalg.solve(curved, match.gradient[free])
        step /= max(1.0, float(np.max(np.abs(step) / longest)))
        tried = theta + step
        tried[:2] = np.where(free[:2], np.clip(tried[:2], low, high), tried[:2])
        found = matching.match(tried)
        if found.value < match.value:
            settled = bool((np.abs(tried - theta) < 1e-3 * np.array([1.0, 1.0, matching.ratio, matching.ratio])).all())
            theta, match, damping = tried, found, max(damping / 5, 1e-6)
            if settled:
                break
        elif np.abs(step).max() < 1e-5 or damping > 1e3:
            break
        else:
            damping *= 8
    return theta, match


def _judged(
    matching: Matching,
    theta: np.ndarray,
    match: Match,
    start: np.ndarray,
    unknown: Registration,
    free: np.ndarray,
    large: bool,
) -> Registration:
    """Values with intervals; what is not determined keeps its nominal value."""
    deviation = _deviation(matching, theta, match, free) * (1.0 if large else 2.0)
    nominal = np.where(free, start, theta)
    if not large:  # posterior means under the prior
        weight = 1.0 / (1.0 + (deviation / np.array(PRIOR)) ** 2)
        theta, deviation = nominal + weight * (theta - nominal), deviation * np.sqrt(weight)
    error = SIGMAS * deviation
    widths = [unknown.fwhm_y, unknown.fwhm_x]
    related = match.unexplained.mean() < LARGEST_UNEXPLAINED
    trusted = related
    for axis in np.flatnonzero(free[:2]):
        value = float(np.exp(theta[axis]))
        interval = _clipped(value * np.exp(-error[axis]), value * np.exp(error[axis]), FWHM_RANGE)
        inside = FWHM_RANGE[0] * 1.01 < value < FWHM_RANGE[1] / 1.01
        known = bool(related and inside and error[axis] < LARGEST_FWHM_ERROR)
        trusted = trusted and inside
        widths[axis] = Estimate(value if known else widths[axis].value, *interval, known)
    shifts, found = [unknown.shift_y, unknown.shift_x], theta[2:] - start[2:]
    known = bool(trusted and (error[2:] < LARGEST_SHIFT_ERROR * matching.ratio).all())
    beyond = None
    if known and np.abs(found).max() > LARGEST_SHIFT:
        beyond, known = (float(found[0]), float(found[1])), False
    for axis in np.flatnonzero(free[2:]):
        interval = _clipped(found[axis] - error[2 + axis], found[axis] + error[2 + axis], (-SEARCHED, SEARCHED))
        shifts[axis] = Estimate(float(found[axis]) if known else 0.0, *interval, known)
    drift = _drift(matching.places(), match) if known and free[2:].all() else 0.0
    return Registration(*widths, *shifts, beyond, drift, matching.count, float(match.unexplained.mean()))


def _clipped(low: float, high: float, limits: tuple[float, float]) -> tuple[float, float]:
    return float(np.clip(low, *limits)), float(np.clip(high, *limits))


def _deviation(matching: Matching, theta: np.ndarray, match: Match, free: np.ndarray) -> np.ndarray:
    """Standard deviation of theta (4,), 0 for what is fixed: H^-1 S H^-1 with S from the scores of parts of
    the scene.
    """
    spread = _spread(match.scores[:, free], matching.places())
    hessian = match.hessian[np.ix_(free, free)]
    inverse = np.linalg.pinv(hessian + 1e-12 * np.trace(hessian) * np.eye(len(hessian)))
    deviation = np.zeros(len(theta))
    deviation[free] = np.sqrt(np.maximum(np.diag(inverse @ spread @ inverse), 0.0))
    return deviation


def _spread(scores: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Covariance of the sum of scores (N, m), from sums over parts of the scene: pixels near each other are not
    independent.
    """
    edges = [np.quantile(places[:, axis], np.linspace(0, 1, PARTS + 1)[1:-1]) for axis in (0, 1)]
    part = np.searchsorted(edges[0], places[:, 0]) * PARTS + np.searchsorted(edges[1], places[:, 1])
    sums = np.stack([scores[part == n].sum(axis=0) for n in np.unique(part)])
    return sums.T @ sums * len(sums) / max(len(sums) - 1, 1)


def _drift(places: np.ndarray, match: Match) -> float:
    """How much the shift changes towards a corner: one step of a fit whose shift is linear in the place; 0 unless it is
    beyond doubt.
    """
    middle, half = places.mean(axis=0), np.maximum(np.ptp(places, axis=0) / 2, 1.0)
    where = np.column_stack([np.ones(len(places)), (places - middle) / half])  # 1, then -1 to 1 over rows and columns
    scores = np.einsum("na,ni->nia", where, match.scores[:, 2:]).reshape(len(places), -1)
    curvature = np.einsum("nij,na,nc->iajc", match.curvature[:, 2:, 2:], where, where).reshape(6, 6)
    inverse = np.linalg.pinv(curvature)
    step = -(inverse @ scores.sum(axis=0)).reshape(2, 3)
    left = match.scores[:, 2:] + np.einsum("nij,nj->ni", match.curvature[:, 2:, 2:], where @ step.T)
    scores = np.einsum("na,ni->nia", where, left).reshape(len(places), -1)
    slopes = step[:, 1:]
    deviation = np.sqrt(np.maximum(np.diag(inverse @ _spread(scores, places) @ inverse), 0.0)).reshape(2, 3)[:, 1:]
    certain = np.where(np.abs(slopes) > 2 * SIGMAS * deviation, slopes, 0.0)
    return float(np.hypot(*np.abs(certain).sum(axis=1)))


def local_shift(block: Block, sampling: Sampling, listener: Listener = SILENT) -> tuple[np.ndarray, np.ndarray] | None:
    """Shift (y, x) of one part of a scene beside that of `sampling`, in MSI pixels, and its standard deviation; None
    where it cannot be told.

    The PSF is taken as `sampling` has it, and nothing is weighed against a nominal value: of one part alone this is
    rough.
    """
    free = np.array([False, False, True, True])
    matching = comparison([block], sampling, SEARCHED)
    if matching is None:
        return None
    start = theta_of(sampling)
    theta, match = _refined(matching, _coarse(matching, start, free, listener), free, listener)
    found, deviation = (theta - start)[2:], _deviation(matching, theta, match, free)[2:]
    related = match.unexplained.mean() < LARGEST_UNEXPLAINED and np.abs(found).max() < 2 * SEARCHED
    return (found, deviation) if related and (deviation < LARGEST_SHIFT_ERROR * sampling.ratio).all() else None
