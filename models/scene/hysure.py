"""HySure: a spectral subspace, both images' evidence and a vector total variation, by ADMM.

Simoes, Bioucas-Dias, Almeida and Chanussot, A convex formulation for hyperspectral image superresolution via subspace-based
regularization, IEEE TGRS 53(6), 2015:

    min over A of  1/2 |Y - E D(A)|^2 + lambda_m/2 |Z - R E A|^2 + lambda_phi sum over pixels of |(dx A, dy A)|_2

with X = E A, E (L, p) an orthonormal basis of the HSI's spectra, A (p, H, W).  Splitting and dual updates are the paper's (SALSA, algorithm
1), with two changes of operators.  There the blur is circular, so that it and the differences are solved by FFT; here D is the house's
own (any ratio and phase, reflecting border).  Its variable V1 lives on the fine grid, where the proximal map of 1/2 |y - D v|^2 is exact
through the eigenvectors of the two axes' D D^T.  The differences reflect at the border too, which the cosine transform solves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..observation import Degradation, Sampling
from ..observation.axis import separable
from .blocks import Block
from .closed_forms import mix
from .low_rank import LowRank, Tick, no_tick
from .windows import upsampling

COMPONENTS = 10
PENALTY = 0.05  # mu, of the augmented Lagrangian
LAMBDA_M = 1.0
LAMBDA_PHI = 5e-4
ITERATIONS = 200
TOLERANCE = 1e-4  # both residuals relative to the maps at which the iteration ends


@dataclass(frozen=True)
class Problem:
    """Everything in the scaled units of the solver: y (p, h, w) coefficients of the HSI, z (l, H, W), a = R E (l, p), both masks."""

    y: np.ndarray
    z: np.ndarray
    a: np.ndarray
    y_mask: np.ndarray
    z_mask: np.ndarray
    down: Degradation


def hysure(
    block: Block,
    sampling: Sampling,
    response: np.ndarray,
    offset: np.ndarray,
    components: int = COMPONENTS,
    tick: Tick = no_tick,
) -> LowRank:
    """Fuse a whole scene; response (l, L) and offset (l,) map the HSI's units to the MSI's, Z = R X + o.

    Masked pixels of either image carry no evidence: there the other image and the total variation decide.
    """
    seen = block.y_mask > 0
    spectra = block.y[:, seen].astype(np.float64)
    size = np.abs(spectra).max()  # the paper's lambdas are for images between 0 and 1
    basis = principal_axes(spectra / size, min(components, len(spectra)))
    predicted = response @ spectra
    spread = np.maximum(predicted.std(axis=1), 1e-30) / np.maximum((spectra / size).std(axis=1).mean(), 1e-30)
    problem = Problem(
        y=mix((basis.T / size), block.y * block.y_mask).astype(np.float32),
        z=(((block.z - offset[:, None, None]) / spread[:, None, None]) * block.z_mask).astype(np.float32),
        a=(response * size / spread[:, None]) @ basis,
        y_mask=block.y_mask.astype(np.float32),
        z_mask=block.z_mask.astype(np.float32),
        down=block.degradation(sampling),
    )
    up = upsampling(block, sampling, block.fine_rows, block.fine_cols)
    start = up.masked(problem.y, problem.y_mask)[0]
    maps, residuals = admm(problem, start, tick=tick)
    return LowRank(basis * size, maps, len(residuals))


def principal_axes(spectra: np.ndarray, count: int) -> np.ndarray:
    """E (L, count): the leading left singular vectors of spectra (L, N), not centred."""
    _, vectors = np.linalg.eigh(spectra @ spectra.T / spectra.shape[1])
    return vectors[:, ::-1][:, :count]


def admm(
    problem: Problem, start: np.ndarray, iterations: int = ITERATIONS, lambda_phi: float = LAMBDA_PHI, tick: Tick = no_tick
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The maps A (p, H, W) and the primal and dual residual of each iteration, relative to the size of A."""
    mu = PENALTY
    to_cosines = [cosine_transform(n).astype(np.float32) for n in start.shape[1:]]
    inverse = (1.0 / (2.0 + _laplacian(start.shape[1])[:, None] + _laplacian(start.shape[2])[None, :])).astype(np.float32)
    near_y = DegradationProx(problem, mu)
    gram = np.linalg.inv(LAMBDA_M * problem.a.T @ problem.a + mu * np.eye(len(start)))
    evidence = mix(LAMBDA_M * gram @ problem.a.T, problem.z)
    known = problem.z_mask > 0

    a = start.astype(np.float32)
    v = [a, a, down_rows(a), across_cols(a)]
    d = [np.zeros_like(a) for _ in v]
    residuals: list[tuple[float, float]] = []
    for i in range(iterations):
        before = a
        right = v[0] + d[0] + v[1] + d[1] + down_rows_adjoint(v[2] + d[2]) + across_cols_adjoint(v[3] + d[3])
        a = separable(to_cosines[0].T, to_cosines[1].T, separable(to_cosines[0], to_cosines[1], right) * inverse)
        images = [a, a, down_rows(a), across_cols(a)]
        free = [image - dual for image, dual in zip(images, d)]
        shrunk = shrink(free[2], free[3], lambda_phi / mu)
        v = [near_y(free[0]), np.where(known, evidence + mix(mu * gram, free[1]), free[1]), *shrunk]
        gaps = [image - copy for image, copy in zip(images, v)]
        d = [dual - gap for dual, gap in zip(d, gaps)]
        scale = float(np.linalg.norm(a)) + 1e-30
        primal = float(np.sqrt(sum(np.vdot(gap, gap) for gap in gaps))) / scale
        residuals.append((primal, float(np.linalg.norm(a - before)) / scale))
        tick((i + 1) / iterations)
        if max(residuals[-1]) < TOLERANCE:
            break
    return a, residuals


class DegradationProx:
    """argmin over v of 1/2 |mask (y - D v)|^2 + mu/2 |v - u|^2, exactly: v = u + D^T (D D^T + mu I)^-1 (y - D u).

    D D^T is a Kronecker product of two small matrices.  At masked coarse pixels y follows D u, so they carry no evidence.
    """

    def __init__(self, problem: Problem, mu: float) -> None:
        down = problem.down
        (rows, self._rows), (cols, self._cols) = (np.linalg.eigh(m @ m.T) for m in (down.rows, down.cols))
        self._inverse = (1.0 / (np.outer(rows, cols) + mu)).astype(np.float32)
        self._problem = problem

    def __call__(self, u: np.ndarray) -> np.ndarray:
        rest = (self._problem.y - self._problem.down(u)) * self._problem.y_mask
        dual = separable(self._rows.T, self._cols.T, rest) * self._inverse
        return u + self._problem.down.adjoint(separable(self._rows, self._cols, dual))


def shrink(g: np.ndarray, h: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The proximal map of the vector total variation: each pixel's gradient, all maps together, loses `threshold` of its length."""
    length = np.sqrt((g * g).sum(axis=0) + (h * h).sum(axis=0))
    factor = np.maximum(length - threshold, 0.0) / np.maximum(length, 1e-30)
    return g * factor, h * factor


def down_rows(a: np.ndarray) -> np.ndarray:
    """Differences to the next row, 0 at the last."""
    out = np.zeros_like(a)
    np.subtract(a[:, 1:], a[:, :-1], out=out[:, :-1])
    return out


def down_rows_adjoint(g: np.ndarray) -> np.ndarray:
    """The transpose of `down_rows`."""
    out = np.zeros_like(g)
    out[:, 1:] += g[:, :-1]
    out[:, :-1] -= g[:, :-1]
    return out


def across_cols(a: np.ndarray) -> np.ndarray:
    """Differences to the next column, 0 at the last."""
    out = np.zeros_like(a)
    np.subtract(a[..., 1:], a[..., :-1], out=out[..., :-1])
    return out


def across_cols_adjoint(g: np.ndarray) -> np.ndarray:
    """The transpose of `across_cols`."""
    out = np.zeros_like(g)
    out[..., 1:] += g[..., :-1]
    out[..., :-1] -= g[..., :-1]
    return out


def cosine_transform(size: int) -> np.ndarray:
    """The orthonormal DCT-II (size, size), whose rows are the eigenvectors of the reflecting second difference."""
    frequency, position = np.arange(size)[:, None], np.arange(size)[None, :] + 0.5
    matrix = np.sqrt(2.0 / size) * np.cos(np.pi / size * frequency * position)
    matrix[0] /= np.sqrt(2.0)
    return matrix


def _laplacian(size: int) -> np.ndarray:
    return 2.0 - 2.0 * np.cos(np.pi * np.arange(size) / size)
