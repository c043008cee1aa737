"""NSSR: non-negative structured sparse representation.

Dong, Fu, Shi, Cao, Wu, Li and Li, Hyperspectral image super-resolution via non-negative structured sparse
representation, IEEE TIP 25(5), 2016. Spectra are sparse non-negative mixtures of a dictionary, X = D A. The dictionary
is learnt from the HSI; the codes solve

    min over A >= 0 of  |Y - D A H|^2 + |Z - P D A|^2 + eta1 sum over pixels of |D a_i - mu_i|^2 + eta2 |A|_1

with H the PSF and sampling, P the spectral response, and mu_i the weighted mean of the spectra of
the pixels whose MSI patches resemble pixel i's, weights exp(-distance / h). ADMM splits off X and the non-negative A.

As in the paper and the parameters of its authors: 80 atoms, dictionary sparsity 0.001, eta2 = 6e-5, mu = 2e-4
growing by 1.1 per iteration, groups of 10 patches of 3 x 3 pixels, h = 90 for images between 0 and 255. Ours: eta1 =
0.001 and 40 iterations (theirs: 0.015 and 26, which draw the dark images of satellites to interpolation; chosen on
training scenes). The scene is solved in fixed windows (`anchored`), where the paper takes it whole. X is found exactly
(H'H is a product of two matrices, whose eigenvectors solve it), where the authors iterate conjugate gradients;
patches are searched 9 pixels around instead of 18, for speed; the first atoms are spread over the HSI's spectra by
farthest points, where the paper draws them at random; no back-projection follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import HSFusionError
from ...listener import SILENT, Listener
from ...observation.axis import separable
from ..block import Block
from ..laws.closed_forms import mix
from ..model import SceneModel
from .anchored import Anchored, Problem, Units, seen_spectra
from .cnmf import check_nonnegative

ATOMS, LEAST_ATOMS = 80, 20
MOST_SPECTRA = 4000  # of the HSI that the dictionary is learnt from
DICTIONARY_ROUNDS, CODE_STEPS = 10, 40
SPARSITY = 1e-3  # of the codes while the dictionary is learnt
ETA_1, ETA_2 = 1e-3, 6e-5
MU, GROWTH, ITERATIONS = 2e-4, 1.1, 40
NEIGHBOURS, SEARCH, PATCH = 10, 9, 1  # patches of a group; pixels to each side of the search and of a patch
BANDWIDTH = 90.0 / 255.0**2  # h


def codes(spectra: np.ndarray, atoms: np.ndarray, start: np.ndarray) -> np.ndarray:
    """argmin over B >= 0 of |Y - D B|^2 + SPARSITY |B|_1 (K, N) for spectra (L, N) by ADMM."""
    mu = 0.1
    inverse = np.linalg.inv(atoms.T @ atoms + mu * np.eye(atoms.shape[1]))
    seen, found, dual = atoms.T @ spectra, start, np.zeros_like(start)
    for _ in range(CODE_STEPS):
        free = inverse @ (seen + mu * (found - dual))
        found = np.maximum(free + dual - SPARSITY / (2 * mu), 0.0)
        dual = dual + free - found
    return found


def learn_dictionary(spectra: np.ndarray, count: int, listener: Listener = SILENT) -> np.ndarray:
    """D (L, count), non-negative, columns of length 1, from spectra (L, N): codes and atoms in turn, the atoms by block
    coordinate descent.
    """
    atoms = _spread(spectra, count)
    found = np.zeros((count, spectra.shape[1]), spectra.dtype)
    for step in range(DICTIONARY_ROUNDS):
        found = codes(spectra, atoms, found)
        gram, cross = found @ found.T, spectra @ found.T
        for k in range(count):
            if gram[k, k] > 1e-12:
                atom = np.maximum(atoms[:, k] + (cross[:, k] - atoms @ gram[:, k]) / gram[k, k], 0.0)
                length = np.linalg.norm(atom)
                if length > 0:
                    atoms[:, k] = atom / length
        listener.advance((step + 1) / DICTIONARY_ROUNDS)
    return atoms


def _spread(spectra: np.ndarray, count: int) -> np.ndarray:
    """`count` of the spectra (L, N), of length 1, each as far from the former ones as can be."""
    units = spectra / np.maximum(np.linalg.norm(spectra, axis=0), 1e-12)
    chosen = [int(np.argmax(spectra.sum(axis=0)))]
    near = units[:, chosen[0]] @ units
    for _ in range(count - 1):
        chosen.append(int(np.argmin(near)))
        near = np.maximum(near, units[:, chosen[-1]] @ units)
    return np.maximum(units[:, chosen], 0.0)


def groups(z: np.ndarray, listener: Listener = SILENT) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's group in an MSI (l, H, W) between 0 and 1: the numbers (NEIGHBOURS, H W) of the pixels with the most
    similar patches, and weights that sum to 1. A pixel counts in its own group like its best neighbour.
    """
    _, height, width = z.shape
    best = np.full((NEIGHBOURS, height, width), np.inf, np.float32)
    number = np.zeros((NEIGHBOURS, height, width), np.int64)
    own = np.arange(height * width).reshape(height, width)
    number[0] = own
    for dy in range(-SEARCH, SEARCH + 1):
        listener.check()
        for dx in range(-SEARCH, SEARCH + 1):
            rows, cols = _overlap(dy, height), _overlap(dx, width)
            if (dy, dx) == (0, 0) or rows is None or cols is None:
                continue
            (here_y, there_y), (here_x, there_x) = rows, cols
            distance = ((z[:, here_y, here_x] - z[:, there_y, there_x]) ** 2).mean(axis=0)
            _take_in(
                best[:, here_y, here_x], number[:, here_y, here_x], _box_mean(distance), own[there_y, there_x]
            )  # views: what is taken in stays
    best[0] = best[1:].min(axis=0)
    known = np.isfinite(best)
    weight = np.where(known, np.exp(-np.where(known, best - best[0], 0.0) / BANDWIDTH), 0.0)
    weight = weight.reshape(NEIGHBOURS, -1).astype(np.float32)
    return number.reshape(NEIGHBOURS, -1), weight / weight.sum(axis=0)


def _overlap(step: int, size: int) -> tuple[slice, slice] | None:
    """Pixels that have a neighbour `step` further, and these neighbours."""
    if abs(step) >= size:
        return None
    return slice(max(0, -step), size - max(0, step)), slice(max(0, step), size + min(0, step))


def _take_in(best: np.ndarray, number: np.ndarray, distance: np.ndarray, candidate: np.ndarray) -> None:
    """Put a candidate in the place of the worst of a pixel's group where it is better; the first is the pixel."""
    worst = best[1:].argmax(axis=0)[None] + 1
    better = distance < np.take_along_axis(best, worst, 0)[0]
    np.put_along_axis(best, worst, np.where(better, distance, np.take_along_axis(best, worst, 0)[0])[None], 0)
    np.put_along_axis(number, worst, np.where(better, candidate, np.take_along_axis(number, worst, 0)[0])[None], 0)


def _box_mean(image: np.ndarray) -> np.ndarray:
    """Mean over a patch, its border repeated."""
    padded = np.pad(image, PATCH, mode="edge")
    height, width = image.shape
    reach = range(2 * PATCH + 1)
    return sum(padded[i : i + height, j : j + width] for i in reach for j in reach) / (2 * PATCH + 1) ** 2


@dataclass(frozen=True)
class Representation:
    """The solver of a window; atoms (L, K): the dictionary of the scene."""

    atoms: np.ndarray

    def __call__(self, problem: Problem, listener: Listener = SILENT) -> np.ndarray:
        """X = D A (L, H, W)."""
        return mix(self.atoms, self.found(problem, listener))

    def found(self, problem: Problem, listener: Listener = SILENT) -> np.ndarray:
        """The codes A (K, H, W) of a window after ITERATIONS of ADMM: A free of constraints, X, and S >= 0 with their
        multipliers V1, V2.
        """
        atoms, shape = self.atoms.astype(np.float32), problem.z.shape[1:]
        low = problem.response @ atoms
        gram, low_gram, low_z = atoms.T @ atoms, low.T @ low, low.T @ problem.z.reshape(len(problem.z), -1)
        members, weights = groups(problem.z, listener)
        near_y, mu = _NearHsi(problem), MU
        a = s = v2 = np.zeros((atoms.shape[1], shape[0] * shape[1]), np.float32)
        x = v1 = np.zeros((len(atoms), shape[0] * shape[1]), np.float32)
        means = np.zeros_like(a)
        for _ in range(ITERATIONS):
            listener.check()
            system = low_gram + (ETA_1 + mu) * gram + mu * np.eye(len(gram), dtype=np.float32)
            right = low_z + ETA_1 * gram @ means + atoms.T @ (mu * x - 0.5 * v1) + mu * s + 0.5 * v2
            a = np.linalg.solve(system.astype(np.float64), right.astype(np.float64)).astype(np.float32)
            made = atoms @ a
            x = near_y(made + v1 / (2 * mu), mu)
            s = np.maximum(a - (v2 + ETA_2) / (2 * mu), 0.0)
            v2 = v2 + 2 * mu * (s - a)
            v1 = v1 + 2 * mu * (made - x)
            means = sum(weight * a[:, member] for weight, member in zip(weights, members))
            mu *= GROWTH
        return a.reshape(-1, *shape)


class _NearHsi:
    """argmin over X of |Y - D X|^2 + mu |X - V|^2, exactly, band by band."""

    def __init__(self, problem: Problem) -> None:
        self._y, self._operators = problem.y, (problem.rows, problem.cols)
        (rows, self._rows), (cols, self._cols) = (np.linalg.eigh(m @ m.T) for m in self._operators)
        self._values = np.outer(rows, cols)

    def __call__(self, v: np.ndarray, mu: float) -> np.ndarray:
        rows, cols = self._operators
        image = v.reshape(len(v), rows.shape[1], cols.shape[1])
        rest = separable(self._rows.T, self._cols.T, self._y - separable(rows, cols, image))
        dual = separable(self._rows, self._cols, rest / (self._values + mu))
        return (image + separable(rows.T, cols.T, dual)).reshape(v.shape).astype(np.float32)


def fit(blocks: list[Block], scene: SceneModel, listener: Listener = SILENT) -> Anchored:
    """The method's door (see `names`); HSFusionError where the HSI is not non-negative or has too few pixels."""
    listener.check()
    spectra = seen_spectra(blocks, scene)
    check_nonnegative(spectra, "nssr")
    count = min(ATOMS, len(spectra) // 2)
    if count < LEAST_ATOMS:
        raise HSFusionError(
            f"METHOD nssr learns a dictionary of at least {LEAST_ATOMS} spectra from the HSI and needs "
            f"{2 * LEAST_ATOMS} pixels that both rasters see, but there are {len(spectra)}: give a larger overlap, or "
            "choose glp-hs."
        )
    units = Units.of(spectra, scene)
    some = spectra[:: max(1, len(spectra) // MOST_SPECTRA)].T / units.size
    return Anchored.of(scene, units, Representation(learn_dictionary(np.maximum(some, 0.0), count, listener)), listener)
