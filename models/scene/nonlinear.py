"""What the MSI says of the HSI beyond a linear law, learnt from this scene alone: kernel ridge regression of what GLP-HS leaves.

Materials that share a colour share a correction wherever they lie in the scene; LOC knows neighbours only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..observation.axis import like

LANDMARKS = 192
MOST_SAMPLES = 2500  # coarse pixels that the search for width and ridge looks at
WIDTHS = (0.5, 1.0, 2.0)  # of the landmarks' median distance
RIDGES = (0.01, 0.1, 1.0, 10.0)
TEMPERATURE = 0.1  # explained share by which a ridge must be better than another to count e times as much
LIMIT_QUANTILE = 0.995  # of the coarse residuals' size: the kernel never says more than it has seen
OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of the pairs of rows and columns that make means of 2 x 2
PIXELS_AT_ONCE = 2048  # whose distances from all landmarks fit into the cache


@dataclass(frozen=True)
class KernelFit:
    """f(z) = clip(W' k(z, landmarks), +-limit), k Gaussian: landmarks (m, l) and width in the standardised MSI's units, weights (m, K), limit (K,).

    gain (K,): share of the coarse residual's fine half that a fit one scale up explains; at most 1, negative where it harms.
    """

    landmarks: np.ndarray
    width: float
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
        kernel = _features(z.reshape(z.shape[0], -1), self.landmarks, self.width)
        weights, limit = like(self.weights.T, z), like(self.limit[:, None], z)
        values = weights @ kernel
        values = np.clip(values, -limit, limit) if isinstance(z, np.ndarray) else values.clamp_(-limit, limit)
        return values.reshape(-1, *z.shape[1:])


def _features(z: Any, landmarks: np.ndarray, width: float) -> Any:
    """k(z, landmarks) (m, N) of pixels z (l, N), numpy or torch: exp(-|z - m|^2 / 2 w^2), multiplied out and made in place."""
    half = 0.5 / width**2
    kernel = like(2 * half * landmarks, z) @ z
    kernel -= like(half * (landmarks**2).sum(1)[:, None], z)
    kernel -= half * (z**2).sum(0)
    if isinstance(z, np.ndarray):
        return np.exp(np.minimum(kernel, 0.0, out=kernel), out=kernel)
    return kernel.clamp_(max=0.0).exp_()


def fit_kernel(rest: list[np.ndarray], low: list[np.ndarray], weight: np.ndarray) -> KernelFit:
    """Fit to maps of blocks at the coarse scale: rest (K, h, w) what GLP-HS's regression leaves, low (l, h, w) the standardised D z; NaN where invalid.

    How well a width and a ridge do is seen one scale up: fitted to means of 2 x 2, they predict what such means hide, in all four ways to lay
    them. The best width is taken, and of it all ridges, weighed by what they explain: which one is best, few pixels cannot tell. `weight` (K,)
    says how much each coefficient counts. Nystroem approximation (Williams and Seeger 2001) on seeded landmarks.
    """
    laid = [(r[:, top:, left:], x[:, top:, left:]) for r, x in zip(rest, low) for top, left in OFFSETS]
    inputs, targets = _samples(low, rest)
    inputs_up, targets_up = _samples([_halved(x) for _, x in laid], [_halved(r) for r, _ in laid])
    rng = np.random.default_rng(0)
    count = max(1, min(LANDMARKS, len(inputs) // 2))
    landmarks = inputs[rng.choice(len(inputs), count, replace=False)]
    limit = np.quantile(np.abs(targets), LIMIT_QUANTILE, axis=0)
    squared = _squared_distances(landmarks, landmarks)
    apart = squared[np.triu_indices(count, 1)]
    median = float(np.sqrt(np.median(apart[apart > 0]))) if (apart > 0).any() else 1.0
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None  # best share, width, its ridges' shares and gains
    for factor in WIDTHS:
        width = factor * median
        among = np.exp(-0.5 / width**2 * squared)
        said = _moments(inputs_up, targets_up, landmarks, width)
        # Means that overlap say no more than a quarter as many that do not.
        fits = [_solve(*said, among, len(OFFSETS) * ridge) for ridge in RIDGES]
        power, gains = _explained(fits, limit, laid, landmarks, width)
        shares = gains @ (power * weight**2) / (power @ weight**2)
        if best is None or shares.max() > best[0]:
            best = float(shares.max()), width, shares, gains
    _, width, shares, gains = best  # type: ignore[misc]
    trust = np.exp((shares - shares.max()) / TEMPERATURE)
    trust /= trust.sum()
    picks = rng.choice(len(inputs), min(MOST_SAMPLES, len(inputs)), replace=False)
    said, among = _moments(inputs[picks], targets[picks], landmarks, width), np.exp(-0.5 / width**2 * squared)
    weights = sum(t * _solve(*said, among, ridge) for t, ridge in zip(trust, RIDGES))
    return KernelFit(landmarks, width, weights, limit, trust @ gains)


@dataclass(frozen=True)
class _Hidden:
    """What means of 2 x 2 hide of a block's residual, truth (K, h, w), where it is known, bool (h, w); low (l, h w): the MSI, 0 if unknown."""

    truth: np.ndarray
    known: np.ndarray
    low: np.ndarray

    @classmethod
    def of(cls, rest: np.ndarray, low: np.ndarray) -> _Hidden:
        truth = _without_mean(rest)
        return cls(truth, np.isfinite(truth[0]), np.nan_to_num(_even(low)).reshape(len(low), -1))


def _explained(
    fits: list[np.ndarray],
    limit: np.ndarray,
    laid: list[tuple[np.ndarray, np.ndarray]],
    landmarks: np.ndarray,
    width: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The hidden residual's power (K,), and the share of it, in [-1, 1], that each of the fits' weights (m, K) predicts: (fits, K)."""
    power, left = np.zeros(len(limit)), np.zeros((len(fits), len(limit)))
    for part in (_Hidden.of(rest, low) for rest, low in laid):
        kernel = _features(part.low, landmarks, width)  # of one block at a time: it is larger than what it comes from
        power += (part.truth[:, part.known] ** 2).sum(axis=1)
        for number, weights in enumerate(fits):
            predicted = np.clip(weights.T @ kernel, -limit[:, None], limit[:, None]).reshape(part.truth.shape)
            left[number] += ((part.truth - _without_mean(predicted))[:, part.known] ** 2).sum(axis=1)
    power = np.maximum(power, 1e-30)
    return power, np.clip(1.0 - left / power, -1.0, 1.0)


def _samples(low: list[np.ndarray], rest: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Valid pixels of all blocks: (N, l) and (N, K)."""
    valid = [np.isfinite(x[0]) & np.isfinite(r[0]) for x, r in zip(low, rest)]
    return tuple(np.concatenate([m[:, v].T for m, v in zip(maps, valid)]) for maps in (low, rest))  # type: ignore[return-value]


def _even(image: np.ndarray) -> np.ndarray:
    return image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; NaN where one is missing."""
    image = _even(image)
    bands, rows, cols = image.shape
    return image.reshape(bands, rows // 2, 2, cols // 2, 2).mean(axis=(2, 4))


def _without_mean(image: np.ndarray) -> np.ndarray:
    """What the means of 2 x 2 pixels hide."""
    return _even(image) - _halved(image).repeat(2, axis=1).repeat(2, axis=2)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T, 0.0)


def _kernel(inputs: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 / width**2 * _squared_distances(inputs, landmarks))


def _moments(
    inputs: np.ndarray, targets: np.ndarray, landmarks: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """K_nm' K_nm (m, m) and K_nm' targets (m, K), some pixels at a time: K_nm itself may be the largest array of an estimate."""
    gram, cross = np.zeros((len(landmarks), len(landmarks))), np.zeros((len(landmarks), targets.shape[1]))
    for start in range(0, len(inputs), PIXELS_AT_ONCE):
        part = slice(start, start + PIXELS_AT_ONCE)
        seen = _kernel(inputs[part], landmarks, width)
        gram += seen.T @ seen
        cross += seen.T @ targets[part]
    return gram, cross


def _solve(gram: np.ndarray, cross: np.ndarray, among: np.ndarray, ridge: float) -> np.ndarray:
    """Nystroem kernel ridge: (K_nm' K_nm + ridge K_mm) W = K_nm' targets."""
    return np.linalg.solve(gram + ridge * among + 1e-6 * np.eye(len(among)), cross)
