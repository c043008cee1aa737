"""HySure: a spectral subspace, both images' evidence and a vector total variation, by ADMM.

Simoes, Bioucas-Dias, Almeida and Chanussot, A convex formulation for hyperspectral image superresolution via
subspace-based regularization, IEEE TGRS 53(6), 2015:

    min over A of  1/2 |Y - E D(A)|^2 + lambda_m/2 |Z - R E A|^2 + lambda_phi sum over pixels of |(dx A, dy A)|_2

with X = E A, E (L, p) a basis of the HSI's spectra, A (p, H, W).  Splitting and dual updates are the paper's (SALSA,
algorithm 1), with these differences.  There the blur is circular, so that it and the differences are solved by FFT;
here D is the house's own (any ratio and phase, reflecting border): the HSI's copy of A lives on the fine grid, where
the proximal map of 1/2 |y - D v|^2 is exact through the eigenvectors of the two axes' D D^T.  The differences reflect
at the border too, which the cosine transform solves.  E is the paper's SVD option with columns scaled so that all maps
have one spread: the total variation then carries an edge from the strong maps to the weak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Degradation, Sampling
from ...observation.axis import separable
from ..block import Block
from ..laws.closed_forms import column, mix
from .low_rank import LowRank

COMPONENTS = 10
PENALTY = 0.01  # mu, of the augmented Lagrangian; it sets the pace, not the result
LAMBDA_M = 1.0
LAMBDA_PHI = 5e-4
ITERATIONS = 150
COPIES = 30  # images of all maps that an iteration holds at once
TOLERANCE = 1e-4  # both residuals relative to the maps at which the iteration ends
SPREAD = 0.2  # std of every map; the lambdas are for images between 0 and 1, which have about that
LARGEST = 3.0  # how many times its root mean square an image reaches, where outliers are left aside


@dataclass(frozen=True)
class Problem:
    """In the scaled units of the solver: y (p, h, w) = U^T Y, z (l, H, W), with E = U diag(scale), scale (p,), and
    response = R E (l, p).
    """

    y: np.ndarray
    z: np.ndarray
    scale: np.ndarray
    response: np.ndarray
    y_mask: np.ndarray
    z_mask: np.ndarray
    down: Degradation


def solve(
    block: Block,
    sampling: Sampling,
    response: np.ndarray,
    offset: np.ndarray,
    components: int = COMPONENTS,
    listener: Listener = SILENT,
) -> LowRank:
    """Fuse a whole scene; response (l, L) and offset (l,) map the HSI's units to the MSI's, Z = R X + o.

    Masked pixels of either image carry no evidence: there the other image and the total variation decide.
    """
    spectra = block.y[:, block.y_mask > 0].astype(np.float64)
    size = max(LARGEST * float(np.sqrt((spectra**2).mean())), 1e-30)
    axes = principal_axes(spectra, min(components, *spectra.shape))
    scale = np.maximum((axes.T @ spectra).std(axis=1), 1e-30) / (SPREAD * size)
    spread = np.maximum((response @ spectra).std(axis=1), 1e-30) / max(spectra.std(axis=1).mean(), 1e-30) * size
    down = block.degradation(sampling)
    problem = Problem(
        y=mix(axes.T / size, block.y * block.y_mask).astype(np.float32),
        z=((block.z - column(offset, block.z)) / column(spread, block.z) * block.z_mask).astype(np.float32),
        scale=scale,
        response=(response * size / spread[:, None]) @ (axes * scale),
        y_mask=down.within(block.y_mask).astype(np.float32),
        z_mask=block.z_mask.astype(np.float32),
        down=down,
    )
    up = block.upsampling(sampling)
    start = up.masked(problem.y, problem.y_mask)[0] / column(scale, problem.y)
    maps, residuals = admm(problem, start, listener=listener)
    return LowRank(axes * (scale * size), maps, len(residuals))


def principal_axes(spectra: np.ndarray, count: int) -> np.ndarray:
    """U (L, count): the leading left singular vectors of spectra (L, N), not centred."""
    _, vectors = np.linalg.eigh(spectra @ spectra.T / spectra.shape[1])
    return vectors[:, ::-1][:, :count]


def admm(
    problem: Problem,
    start: np.ndarray,
    iterations: int = ITERATIONS,
    lambda_phi: float = LAMBDA_PHI,
    listener: Listener = SILENT,
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The maps A (p, H, W) and the primal and dual residual of each iteration, relative to the size of A."""
    mu = PENALTY
    to_cosines = [cosine_transform(n).astype(np.float32) for n in start.shape[1:]]
    inverse = (1.0 / (2.0 + _laplacian(start.shape[1])[:, None] + _laplacian(start.shape[2])[None, :])).astype(
        np.float32
    )
    near_y = DegradationProx(problem, mu)
    gram = np.linalg.inv(LAMBDA_M * problem.response.T @ problem.response + mu * np.eye(len(start)))
    evidence = mix(LAMBDA_M * gram @ problem.response.T, problem.z)
    known = problem.z_mask > 0

    a = start.astype(np.float32)
    v = [a, a, down_rows(a), across_cols(a)]
    d = [np.zeros_like(a) for _ in v]
    residuals: list[tuple[float, float]] = []
    for i in range(iterations):
        before = a
        right = v[0] + d[0] + v[1] + d[1] + down_rows_adjoint(v[2] + d[2]) + across_cols_adjoint(v[3] + d[3])
        a = separable(to_cosines[0].T, to_cosines[1].T, separable(to_cosines[0], to_cosines[1], right) * inverse)
        listener.advance(i / iterations)
        images = [a, a, down_rows(a), across_cols(a)]
        free = [image - dual for image, dual in zip(images, d)]
        shrunk = shrink(free[2], free[3], lambda_phi / mu)
        v = [near_y(free[0]), np.where(known, evidence + mix(mu * gram, free[1]), free[1]), *shrunk]
        gaps = [image - copy for image, copy in zip(images, v)]
        d = [dual - gap for dual, gap in zip(d, gaps)]
        scale = float(np.linalg.norm(a)) + 1e-30
        primal = float(np.sqrt(sum(np.vdot(gap, gap) for gap in gaps))) / scale
        residuals.append((primal, float(np.linalg.norm(a - before)) / scale))
        listener.advance((i + 1) / iterations)
        if max(residuals[-1]) < TOLERANCE:
            break
    return a, residuals


class DegradationProx:
    """argmin over v of 1/2 |y - s D v|^2 + mu/2 |v - u|^2, exactly: v = u + s D^T (s^2 D D^T + mu I)^-1 (y - s D u), s
    per map.

    D D^T is a Kronecker product of two small matrices.  At masked coarse pixels y follows s D u, so they carry no
    evidence.
    """

    def __init__(self, problem: Problem, mu: float) -> None:
        down = problem.down
        (rows, self._rows), (cols, self._cols) = (np.linalg.eigh(m @ m.T) for m in (down.rows, down.cols))
        s = problem.scale[:, None, None]
        self._inverse = (s / (s**2 * np.outer(rows, cols) + mu)).astype(np.float32)
        self._problem = problem

    def __call__(self, u: np.ndarray) -> np.ndarray:
        problem = self._problem
        rest = (problem.y - column(problem.scale, u) * problem.down(u)) * problem.y_mask
        dual = separable(self._rows.T, self._cols.T, rest) * self._inverse
        return u + problem.down.adjoint(separable(self._rows, self._cols, dual))


def shrink(g: np.ndarray, h: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The proximal map of the vector total variation: each pixel's gradient, all maps together, loses `threshold` of
    its length.
    """
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


def memory(fine_pixels: int, coarse_pixels: int) -> int:
    """About how many bytes `solve` holds at its peak beside the images."""
    return 4 * COMPONENTS * COPIES * fine_pixels
