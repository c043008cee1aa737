"""Rotation, scale and local field of the HSI against the MSI, each only where HSI pixels that took no part in the fit
gain by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....listener import SILENT, Listener
from ....observation import Sampling
from ...block import Block
from ..registration import LEAST_PIXELS, SIGMAS, Estimate
from .descent import Fit, descend
from .intervals import covariance
from .misfit import Misfit
from .parameters import Free, turned

ORDERS = (2, 3, 4, 5, 6, 7, 8)  # cosines per axis of the local field
PIXELS_PER_NUMBER = 4  # compared HSI pixels that every number of a field needs at least
HELD = 3  # HSI pixels per axis of the blocks that are held out, one in four
FEWEST = 120  # compared HSI pixels below which nothing beside the shift is sought
SLACK = 2.0  # MSI pixels that HSI pixels may move in a fit before the border would be felt
GAIN = 2.0  # standard errors by which held-out pixels must gain for the first number beside the shift ...
LEAST_TRIED = 6  # cosines per axis up to which a field is sought in any case
FURTHER = 1.0  # ... and for each larger field
LEAST_GAIN = 0.02  # share of the held-out misfit below which nothing is gained by rotation and scale ...
LEAST_GAIN_LOCAL = (
    0.08  # ... and by the first local field: less of it is parallax of single objects, and a fusion does not feel it
)
PATIENCE = 3  # sizes without gain after which no larger one is tried
SEARCH_STEPS = 10  # of the descent, while sizes are compared


@dataclass(frozen=True)
class Found:
    """sampling: with widths, shift and displacement as fitted; free: what was fitted in the end.

    held_out (before, after): mean misfit of the HSI pixels that took no part, without and with the displacement;
    agreed: share of the compared pixels that the robust weights leave whole; shift_y, shift_x, turn, scale, fwhm_y,
    fwhm_x with their intervals. covariance (P, P) of the fitted numbers: `spread` makes of it how sure the field is at
    a place.
    """

    sampling: Sampling
    free: Free
    held_out: tuple[float, float]
    agreed: float
    pixels: int
    shift_y: Estimate
    shift_x: Estimate
    turn: Estimate
    scale: Estimate
    fwhm_y: Estimate
    fwhm_x: Estimate
    covariance: np.ndarray

    def spread(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """(2, m, n): standard deviation of the displacement along y and x, shift included, at places of the HSI's grid
        in MSI pixels.
        """
        y, x = np.meshgrid(rows, cols, indexing="ij")
        places = np.column_stack([y.ravel(), x.ravel()])
        d = self.sampling.displacement
        shape = (1, 1) if d is None else d.scene_shape
        basis = self.free.field_basis(places, shape)
        found = []
        for axis in (0, 1):
            change = np.zeros((4, len(places)))
            change[2 + axis] = 1.0
            columns = self.free.jacobian(change, places, self.sampling, basis)
            found.append(np.sqrt(np.maximum(((columns @ self.covariance) * columns).sum(axis=1), 0.0)))
        return np.array(found).reshape(2, *y.shape)


def find_displacement(
    blocks: list[Block],
    sampling: Sampling,
    widths: tuple[bool, bool] = (True, True),
    shift: tuple[bool, bool] = (True, True),
    starts: tuple[Sampling, ...] = (),
    listener: Listener = SILENT,
) -> Found | None:
    """The displacement beside `sampling`, whose shift is a start within an HSI pixel; None where a shift alone does as
    well.

    widths, shift, as (y, x): what is not given; starts: samplings beside the first from which rotation and scale are
    sought. Sizes are tried one after the other, each from the fit before.
    """
    misfit = Misfit(blocks, sampling, SLACK)
    if misfit.count < FEWEST:
        return None
    held = _held_out(misfit.numbers)
    used = (held < 0).astype(float)
    plain = Free(widths, shift)
    fit = descend(misfit, sampling, plain, used, listener, SEARCH_STEPS)
    first = best = _scores(misfit, fit, held)
    accepted, kept, waited = [], fit, 0
    for free in _sizes(plain, misfit.count):
        listener.check()
        begun = [fit.sampling, *(starts if free.similarity else ())]
        fits = [descend(misfit, one, free, used, listener, SEARCH_STEPS) for one in begun]
        fit = min(fits, key=lambda one: one.slope.value)
        scores = _scores(misfit, fit, held)
        gain, error = _gain(best, scores)
        local = free.order > 1 and all(one.order == 1 for one in accepted)
        least = (LEAST_GAIN_LOCAL if local else LEAST_GAIN) * float(best.mean())
        if gain > max((FURTHER if accepted else GAIN) * error, least):
            kept, best, waited = fit, scores, 0
            accepted.append(free)
        else:
            waited += 1
            if waited >= PATIENCE and free.order >= LEAST_TRIED:
                break
    if not accepted:
        return None
    misfit = Misfit(blocks, kept.sampling, SLACK)
    fit = descend(misfit, kept.sampling, accepted[-1], None, listener)
    return _told(misfit, fit, sampling, (float(first.mean()), float(best.mean())))


def _sizes(plain: Free, count: int) -> list[Free]:
    """Rotation and scale, then fields of growing order on top of them."""
    found = [replace(plain, similarity=True)]
    for order in ORDERS:
        free = replace(plain, order=order)
        if free.count * PIXELS_PER_NUMBER > count:
            break
        found.append(free)
    return found


def _held_out(numbers: np.ndarray) -> np.ndarray:
    """(N,): number of the held-out block that an HSI pixel lies in, -1 for pixels that take part; every fourth block,
    spread evenly.
    """
    block = (numbers // HELD).astype(int)
    chosen = (block[:, 0] + 2 * block[:, 1]) % 4 == 0
    _, number = np.unique(block, axis=0, return_inverse=True)
    return np.where(chosen, number.ravel(), -1)


def _scores(misfit: Misfit, fit: Fit, held: np.ndarray) -> np.ndarray:
    """Mean size of the residual in each held-out block, in units of the spread of D z, the fit's own
    regression used.
    """
    left = misfit.residual(fit.low, fit.weight)
    used = fit.weight > 0
    spread = np.median(np.abs(left[used]), axis=0) + 1e-6
    size = np.sqrt((left**2 / spread**2).mean(axis=1)) * np.exp(np.log(spread).mean())
    numbers, position = np.unique(held[held >= 0], return_inverse=True)
    return np.bincount(position.ravel(), size[held >= 0]) / np.bincount(position.ravel())


def _gain(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Mean gain over the held-out blocks and its standard error, blocks that something else spoils counted no more than
    others.
    """
    change = before - after
    middle = np.median(change)
    limit = 4.0 * 1.4826 * np.median(np.abs(change - middle)) + 1e-12
    change = np.clip(change, middle - limit, middle + limit)
    return float(change.mean()), float(change.std() / np.sqrt(len(change)))


def _told(misfit: Misfit, fit: Fit, start: Sampling, held_out: tuple[float, float]) -> Found:
    """Values with intervals; the mean of the field is part of the shift, so that what is left has mean zero over the
    scene.
    """
    free, spread = fit.free, covariance(misfit, fit)
    doubt = 1.0 if misfit.count >= LEAST_PIXELS else 2.0
    spread = spread * doubt**2
    error = SIGMAS * np.sqrt(np.maximum(np.diag(spread), 0.0))
    turn, scale = _similarity(fit, spread)
    agreed = float((fit.weight > 0.5).mean())
    s, place, told = fit.sampling, 0, {}
    for name, fitted in zip(("fwhm_y", "fwhm_x"), free.widths):
        value = getattr(s, name)
        told[name] = Estimate.given(value)
        if fitted:
            told[name] = Estimate(value, value * np.exp(-error[place]), value * np.exp(error[place]), True)
            place += 1
    for name, fitted in zip(("shift_y", "shift_x"), free.shift):
        value = getattr(s, name) - getattr(start, name)
        told[name] = Estimate.given(value)
        if fitted:
            told[name] = Estimate(value, value - error[place], value + error[place], True)
            place += 1
    return Found(s, free, held_out, agreed, misfit.count, turn=turn, scale=scale, covariance=spread, **told)


def _similarity(fit: Fit, spread: np.ndarray) -> tuple[Estimate, Estimate]:
    """Turn and scale nearest to the whole displacement, with what the fitted numbers' covariance says of them."""
    d = fit.sampling.displacement
    y, x = np.meshgrid(*(np.linspace(0, size - 1, 9) for size in d.scene_shape), indexing="ij")
    places = np.column_stack([y.ravel(), x.ravel()])
    basis, columns = fit.free.field_basis(places, d.scene_shape), []
    for axis in (0, 1):
        change = np.zeros((4, len(places)))
        change[2 + axis] = 1.0
        columns.append(fit.free.jacobian(change, places, fit.sampling, basis))
    by_turn, by_scale = (moved.ravel() for moved in turned(places, fit.sampling))
    rows, cols = (np.repeat([a, b], len(places)) for a, b in ((1.0, 0.0), (0.0, 1.0)))
    weights = np.linalg.pinv(np.column_stack([by_turn, by_scale, rows, cols]))[:2] @ np.concatenate(columns)
    error = SIGMAS * np.sqrt(np.maximum(((weights @ spread) * weights).sum(axis=1), 0.0))
    turn, scale = d.similarity
    wide = float(np.degrees(error[0]))
    return (
        Estimate(turn, turn - wide, turn + wide, True),
        Estimate(scale, float(scale * np.exp(-error[1])), float(scale * np.exp(error[1])), True),
    )
