"""What the MSI says of the HSI beyond a linear law, learnt from this scene alone: cubic and kernel regression of what
GLP-HS leaves.

Materials that share a colour share a correction wherever they lie in the scene; LOC knows neighbours only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from math import comb
from typing import Any

import numpy as np

from ...observation import Degradation
from ...observation.axis import like
from ..pixels.halving import OFFSETS, even, halved, without_mean
from ..pixels.moments import covariance
from ..pixels.regression import NormalEquations
from .closed_forms import mix

AXES = 6  # leading principal components of the MSI, whose products of two and of three are regressors
LANDMARKS = 128
# of the squared errors that a fit weighs: the law held against pixels as coarse as the HSI's, the rest seen through D
COARSE_SHARE = 0.25
WIDTHS = (0.5, 1.0, 2.0, 4.0)  # of the landmarks' median distance
RIDGES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
PRODUCTS_RIDGE = 3.0  # of the products' weights, in units of the kernel's
LEAST_RIDGE = 1e-4  # of all weights alike: larger ones would cancel each other to no more digits than float32 has
TEMPERATURE = 0.1  # explained share by which a ridge must be better than another to count e times as much
LIMIT_QUANTILE, LIMIT_FACTOR = 0.995, 1.5  # of the coarse residuals' size: the law says hardly more than it has seen
PIXELS_AT_ONCE = 2048  # whose features fit into the cache
VALUES_AT_ONCE = 1_000_000  # of features at the fine scale, before D


@cache
def _factors(count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Products of two of `count` components as pairs of their numbers, and of three as that of a pair and the number of
    the third.
    """
    pairs = list(combinations_with_replacement(range(count), 2))
    return pairs, [(pairs.index((a, b)), c) for a, b, c in combinations_with_replacement(range(count), 3)]


@dataclass(frozen=True)
class Features:
    """phi(z): Gaussians of `width` around landmarks (m, l), then the products of two and of three of z's components
    along axes (l, p).
    """

    landmarks: np.ndarray
    width: float
    axes: np.ndarray

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """(n, h, w) of standardised MSI pixels z (l, h, w)."""
        pixels = z.reshape(len(z), z[0].size)  # a window may hold none
        return np.concatenate([self.gaussians(pixels), self.products(pixels)]).reshape(self.count, *z.shape[1:])

    def gaussians(self, z: Any) -> Any:
        """exp(-|z - m|^2 / 2 w^2) (m, N) of pixels z (l, N), numpy or torch, multiplied out and made in place."""
        half = 0.5 / self.width**2
        kernel = like(2 * half * self.landmarks, z) @ z
        kernel -= like(half * (self.landmarks**2).sum(1)[:, None], z)
        kernel -= half * (z**2).sum(0)
        if isinstance(z, np.ndarray):
            return np.exp(np.minimum(kernel, 0.0, out=kernel), out=kernel)
        return kernel.clamp_(max=0.0).exp_()

    def products(self, z: Any) -> Any:
        """(q, N) of pixels z (l, N), numpy or torch."""
        along = like(self.axes.T, z) @ z
        pairs, triples = _factors(len(along))
        size = (len(pairs) + len(triples), along.shape[1])
        found = np.empty(size, z.dtype) if isinstance(z, np.ndarray) else z.new_empty(size)
        for number, (a, b) in enumerate(pairs):
            found[number] = along[a] * along[b]
        for number, (pair, c) in enumerate(triples, len(pairs)):
            found[number] = found[pair] * along[c]
        return found

    @property
    def count(self) -> int:
        """n, of the Gaussians and the products together."""
        along = self.axes.shape[1]
        return len(self.landmarks) + comb(along + 1, 2) + comb(along + 2, 3)

    def penalty(self, ridge: float) -> np.ndarray:
        """(n, n) of the weights: the kernel's own norm, and the sum of the products' squares; a little of all alike."""
        count = len(self.landmarks)
        found = PRODUCTS_RIDGE * np.eye(self.count)
        found[:count, :count] = np.exp(-0.5 / self.width**2 * _squared_distances(self.landmarks, self.landmarks))
        return ridge * found + LEAST_RIDGE * np.eye(self.count)


@dataclass(frozen=True)
class KernelFit:
    """f(z) = clip(W' phi(z), +-limit): landmarks (m, l), width and axes (l, p) of the features, weights W (n, K), limit
    (K,).

    gain (K,): share of the coarse residual's fine half that a fit one scale up explains; at most 1, negative where it
    harms.
    """

    landmarks: np.ndarray
    width: float
    axes: np.ndarray
    weights: np.ndarray
    limit: np.ndarray
    gain: np.ndarray

    def __call__(self, z: Any) -> Any:
        """The correction f(z) (K, H, W) for standardised MSI pixels z (l, H, W), numpy or torch."""
        shape = (self.weights.shape[1], *z.shape[1:])
        found = np.empty(shape, z.dtype) if isinstance(z, np.ndarray) else z.new_empty(shape)
        step = max(1, PIXELS_AT_ONCE // z.shape[2])
        for top in range(0, z.shape[1], step):
            found[:, top : top + step] = self._rows(z[:, top : top + step])
        return found

    def _rows(self, z: Any) -> Any:
        features, pixels = Features(self.landmarks, self.width, self.axes), z.reshape(z.shape[0], -1)
        count, weights, limit = len(self.landmarks), like(self.weights.T, z), like(self.limit[:, None], z)
        values = weights[:, :count] @ features.gaussians(pixels) + weights[:, count:] @ features.products(pixels)
        values = np.clip(values, -limit, limit) if isinstance(z, np.ndarray) else values.clamp_(-limit, limit)
        return values.reshape(-1, *z.shape[1:])


@dataclass(frozen=True)
class Window:
    """Where a law is learnt: y (K, h, w) the HSI, rest (K, h, w) what GLP-HS's regression leaves of it, low (l, h, w)
    the standardised D z, all NaN where invalid; z (l, H, W) the standardised MSI itself, z_mask (H, W), and D
    between them.
    """

    y: np.ndarray
    rest: np.ndarray
    low: np.ndarray
    z: np.ndarray
    z_mask: np.ndarray
    down: Degradation


def fit_kernel(windows: list[Window], weight: np.ndarray) -> KernelFit:
    """Fit the law f to windows of a scene: `rest` is D f(z), as the HSI sees what holds at the fine scale, and f(D z)
    where pixels are pure.

    The first alone is what was observed, but few pixels do not tell what D hides; the second alone is never true of
    mixed ones. Both together do better than either.

    How well a width and a ridge do is seen one scale up: fitted to means of 2 x 2, they predict what such means hide,
    in all four ways to lay them. The best width is taken, and of it all ridges, weighed by what they explain: which one
    is best, few pixels cannot tell. `weight` (K,) says how much each coefficient counts. Nystroem approximation
    (Williams and Seeger 2001) on seeded landmarks, of coarse and of fine pixels.
    """
    inputs, targets = _samples([w.low for w in windows]), _samples([w.rest for w in windows])
    landmarks = _landmarks(windows, inputs)
    axes = np.linalg.eigh(covariance(inputs))[1][:, -AXES:]
    limit = LIMIT_FACTOR * np.quantile(np.abs(targets), LIMIT_QUANTILE, axis=0)
    apart = _squared_distances(landmarks, landmarks)[np.triu_indices(len(landmarks), 1)]
    median = float(np.sqrt(np.median(apart[apart > 0]))) if (apart > 0).any() else 1.0
    tried = (_Trial.of(windows, Features(landmarks, factor * median, axes), limit, weight) for factor in WIDTHS)
    best = max(tried, key=lambda trial: float(trial.shares.max()))
    trust = np.exp((best.shares - best.shares.max()) / TEMPERATURE)
    trust /= trust.sum()
    weights = sum(t * best.evidence.solved(best.features.penalty(ridge)) for t, ridge in zip(trust, RIDGES))
    return KernelFit(landmarks, best.features.width, axes, weights, limit, trust @ best.gains)


def _landmarks(windows: list[Window], inputs: np.ndarray) -> np.ndarray:
    """(m, l): one half of the coarse pixels `inputs` (N, l), the other of the MSI's."""
    rng = np.random.default_rng(0)
    count = min(LANDMARKS, len(inputs))
    coarse = inputs[rng.choice(len(inputs), max(1, count // 2), replace=False)]
    valid = [np.flatnonzero(w.z_mask) for w in windows]
    picks = rng.choice(sum(map(len, valid)), count - len(coarse), replace=False)
    start, fine = 0, []
    for window, known in zip(windows, valid):
        here = picks[(picks >= start) & (picks < start + len(known))] - start
        fine.append(window.z.reshape(len(window.z), -1)[:, known[here]].T)
        start += len(known)
    return np.concatenate([coarse, *fine]).astype(np.float64)


def _evidence(seen: list[np.ndarray], coarse: list[np.ndarray], targets: list[np.ndarray]) -> NormalEquations:
    """Of maps (n, h, w) of D phi(z) and of phi(D z), weighed, and (K, h, w)."""
    return NormalEquations.total(
        _known(phi, wanted).counted(share)
        for share, features in ((1.0 - COARSE_SHARE, seen), (COARSE_SHARE, coarse))
        for phi, wanted in zip(features, targets)
    )


def _known(phi: np.ndarray, wanted: np.ndarray) -> NormalEquations:
    """Of one map each; pixels that are NaN take no part."""
    known = np.isfinite(phi[0]) & np.isfinite(wanted[0])
    return NormalEquations.of(phi[:, known], wanted[:, known])


@dataclass(frozen=True)
class _Trial:
    """Features of one width, the evidence of the windows, and the share and the gains (K,) that each ridge explains one
    scale up.
    """

    features: Features
    evidence: NormalEquations
    shares: np.ndarray
    gains: np.ndarray

    @classmethod
    def of(cls, windows: list[Window], features: Features, limit: np.ndarray, weight: np.ndarray) -> _Trial:
        rest, low = [w.rest for w in windows], [w.low for w in windows]
        seen = [_through(window, features) for window in windows]
        laid = [tuple(image[:, t:, x:] for image in images) for images in zip(rest, low, seen) for t, x in OFFSETS]
        evidence_up = _evidence(
            [halved(phi) for _, _, phi in laid],
            [features(halved(x)) for _, x, _ in laid],
            [halved(r) for r, _, _ in laid],
        )
        # Means that overlap say no more than a quarter as many that do not.
        fits = [evidence_up.solved(features.penalty(len(OFFSETS) * ridge)) for ridge in RIDGES]
        power, gains = _explained(fits, features, limit, [(r, x) for r, x, _ in laid])
        evidence = _evidence(seen, [features(x) for x in low], rest)
        return cls(features, evidence, gains @ (power * weight**2) / (power @ weight**2), gains)


def _through(window: Window, features: Features) -> np.ndarray:
    """D phi(z) (n, h, w), NaN where the window's residual is; some rows of z at a time."""
    down, mask = window.down, window.z_mask
    if down.sampling.displacement is not None:  # not a product of two matrices, whose rows can be taken in turn
        found = down.masked(features(window.z).astype(np.float64), mask)[0]
        found[:, ~np.isfinite(window.rest[0])] = np.nan
        return found
    step = max(1, VALUES_AT_ONCE // (features.count * window.z.shape[2]))
    found: Any = 0.0
    for top in range(0, window.z.shape[1], step):
        rows = slice(top, top + step)
        found = found + down.rows[:, rows] @ ((features(window.z[:, rows]) * mask[rows]) @ like(down.cols.T, window.z))
    found /= np.maximum(down(mask), down.least_support)
    found[:, ~np.isfinite(window.rest[0])] = np.nan
    return found


@dataclass(frozen=True)
class _Hidden:
    """What means of 2 x 2 hide of a window's residual, truth (K, h, w), where it is known, bool (h, w); low (l, h, w):
    the MSI, 0 if unknown.
    """

    truth: np.ndarray
    known: np.ndarray
    low: np.ndarray

    @classmethod
    def of(cls, rest: np.ndarray, low: np.ndarray) -> _Hidden:
        truth = without_mean(rest)
        return cls(truth, np.isfinite(truth[0]), np.nan_to_num(even(low)))


def _explained(
    fits: list[np.ndarray], features: Features, limit: np.ndarray, laid: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """The hidden residual's power (K,), and the share of it, in [-1, 1], that each of the fits' weights (n, K)
    predicts: (fits, K).
    """
    power, left = np.zeros(len(limit)), np.zeros((len(fits), len(limit)))
    for part in (_Hidden.of(rest, low) for rest, low in laid):
        phi = features(part.low)  # of one window at a time: it is larger than what it comes from
        power += (part.truth[:, part.known] ** 2).sum(axis=1)
        for number, weights in enumerate(fits):
            predicted = np.clip(mix(weights.T, phi), -limit[:, None, None], limit[:, None, None])
            left[number] += ((part.truth - without_mean(predicted))[:, part.known] ** 2).sum(axis=1)
    power = np.maximum(power, 1e-30)
    return power, np.clip(1.0 - left / power, -1.0, 1.0)


def _samples(maps: list[np.ndarray]) -> np.ndarray:
    """(N, n) of maps (n, h, w): the pixels that are not NaN."""
    return np.concatenate([m[:, np.isfinite(m[0])].T for m in maps])


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T, 0.0)
