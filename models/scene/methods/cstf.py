"""CSTF: coupled sparse tensor factorisation.

Li, Dian, Fang and Bioucas-Dias, Fusing hyperspectral and multispectral images via coupled sparse tensor factorization,
IEEE TIP 27(8), 2018. The image is a sparse core tensor times a dictionary of each mode, X = C x1 W x2 H x3 S:

    min  |Y - C x1 P1 W x2 P2 H x3 S|^2 + |Z - C x1 W x2 H x3 P3 S|^2 + lambda |C|_1

with P1, P2 the PSF and sampling along rows and columns, P3 the spectral response. Proximal alternating optimisation
(weight beta on the last iterate) solves for W, H, S and C in turn; C by ADMM.

As in the paper: the objective, the order of the updates, and images between 0 and 1. Vertex component analysis gives
the first S, as in the authors' comparisons. Ours, chosen on training scenes of 90 to 100 pixels: lambda = 1e-4, beta
= 1e-2, as many atoms W and H as the window has rows and columns, 10 atoms S, 6 rounds (the authors: 1e-5, 1e-3, 260
of 512, 15 and 15; a setting on the way to theirs, with 15 atoms and 15 rounds, lost 1.2 to 4.7 dB). The scene is
solved in fixed windows (`anchored`), where the paper takes it whole. W and H start from the leading singular vectors
of the MSI's unfoldings, where the paper learns them by DUC-KSVD, and are then updated by the paper's equations. These
linear systems are solved exactly, with the eigenvectors of P'P, where the paper iterates conjugate gradients. The
first S is that of the whole scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import HSFusionError
from ...listener import SILENT, Listener
from ..block import Block
from ..laws.vca import dimensions, vertex_pixels
from ..model import SceneModel
from .anchored import Anchored, Problem, Units, seen_spectra

SPECTRAL_ATOMS = 10
SHARE = 1.0  # of a window's rows and columns: how many atoms W and H have
LAMBDA, BETA = 1e-4, 1e-2
ROUNDS = 6
FIRST_STEPS, STEPS = 40, 15  # of ADMM, for the first core and for those that follow
PENALTY = 1e-3  # mu of ADMM


def times(core: np.ndarray, *matrices: np.ndarray | None) -> np.ndarray:
    """core x1 A x2 B x3 C: each matrix (m, n) along its mode; None leaves a mode as it is."""
    for mode, matrix in enumerate(matrices):
        if matrix is not None:
            core = np.moveaxis(np.tensordot(matrix, core, axes=(1, mode)), 0, mode)
    return core


def unfold(tensor: np.ndarray, mode: int) -> np.ndarray:
    """The tensor's fibres along a mode as columns, (n, the rest)."""
    return np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)


class CoreHalf:
    """argmin over C of |T - C x1 A x2 B x3 E|^2 + mu |C - V|^2, exactly, by the eigenvectors of A'A, B'B and E'E; in
    the precision of T.
    """

    def __init__(self, tensor: np.ndarray, factors: tuple[np.ndarray, ...], mu: float) -> None:
        values, axes = zip(*(np.linalg.eigh(f.T @ f) for f in factors))
        self._axes = tuple(a.astype(tensor.dtype) for a in axes)
        self._turned = tuple(axes.T for axes in self._axes)
        self._seen = times(tensor, *((f @ a).T.astype(tensor.dtype) for f, a in zip(factors, axes)))
        self._mu = mu
        self._inverse = (1.0 / (np.einsum("i,j,k->ijk", *values) + mu)).astype(tensor.dtype)

    def __call__(self, v: np.ndarray) -> np.ndarray:
        return times((self._seen + self._mu * times(v, *self._turned)) * self._inverse, *self._axes)


def sparse_core(y: CoreHalf, z: CoreHalf, last: np.ndarray, beta: float, steps: int) -> np.ndarray:
    """The core C: both images, lambda |C|_1 and beta |C - last|^2, by ADMM with a copy of C for each image."""
    core, duals = last, [np.zeros_like(last), np.zeros_like(last)]
    total = beta + 2 * PENALTY
    for _ in range(steps):
        copies = [half(core - dual) for half, dual in zip((y, z), duals)]
        wanted = (beta * last + PENALTY * sum(copy + dual for copy, dual in zip(copies, duals))) / total
        core = np.sign(wanted) * np.maximum(np.abs(wanted) - LAMBDA / (2 * total), 0.0)
        duals = [dual + copy - core for copy, dual in zip(copies, duals)]
    return core


def dictionary(
    seen: np.ndarray, seen_by: np.ndarray, full: np.ndarray, full_by: np.ndarray, operator: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """argmin over D of |seen - P D seen_by|^2 + |full - D full_by|^2 + beta |D - last|^2, P the operator, exactly.

    The rows of D in the coordinates of P'P's eigenvectors do not depend on one another.
    """
    values, axes = np.linalg.eigh(operator.T @ operator)
    right = axes.T @ (operator.T @ (seen @ seen_by.T) + full @ full_by.T + BETA * last)
    left = np.maximum(values, 0.0)[:, None, None] * (seen_by @ seen_by.T)
    left = left + full_by @ full_by.T + BETA * np.eye(last.shape[1])
    return axes @ np.linalg.solve(left, right[:, :, None])[:, :, 0]


@dataclass(frozen=True)
class Factorisation:
    """The solver of a window; spectra (L, n_s): the first S, of the whole scene."""

    spectra: np.ndarray
    rounds: int = ROUNDS

    def __call__(self, problem: Problem, listener: Listener = SILENT) -> np.ndarray:
        """X (L, H, W)."""
        y, z = (np.ascontiguousarray(np.moveaxis(image, 0, -1)) for image in (problem.y, problem.z))
        p1, p2, p3 = (p.astype(np.float64) for p in (problem.rows, problem.cols, problem.response))
        w, h = (leading(unfold(z, mode), max(2, round(SHARE * z.shape[mode]))) for mode in (0, 1))
        s = self.spectra
        core = np.zeros((w.shape[1], h.shape[1], s.shape[1]), np.float32)
        core = self._core(y, z, (p1, p2, p3), (w, h, s), core, 0.0, FIRST_STEPS)
        for _ in range(self.rounds):
            listener.check()
            w = dictionary(
                unfold(y, 0), unfold(times(core, None, p2 @ h, s), 0),
                unfold(z, 0), unfold(times(core, None, h, p3 @ s), 0), p1, w,
            )  # fmt: skip
            h = dictionary(
                unfold(y, 1), unfold(times(core, p1 @ w, None, s), 1),
                unfold(z, 1), unfold(times(core, w, None, p3 @ s), 1), p2, h,
            )  # fmt: skip
            s = dictionary(
                unfold(z, 2), unfold(times(core, w, h, None), 2),
                unfold(y, 2), unfold(times(core, p1 @ w, p2 @ h, None), 2), p3, s,
            )  # fmt: skip
            core = self._core(y, z, (p1, p2, p3), (w, h, s), core, BETA, STEPS)
        return np.moveaxis(times(core, w, h, s), -1, 0).astype(np.float32)

    @staticmethod
    def _core(
        y: np.ndarray, z: np.ndarray, operators: tuple, factors: tuple, last: np.ndarray, beta: float, steps: int
    ) -> np.ndarray:
        (p1, p2, p3), (w, h, s) = operators, factors
        halves = CoreHalf(y, (p1 @ w, p2 @ h, s), PENALTY), CoreHalf(z, (w, h, p3 @ s), PENALTY)
        return sparse_core(*halves, last, beta, steps)


def leading(matrix: np.ndarray, count: int) -> np.ndarray:
    """The `count` leading left singular vectors of a matrix (n, m)."""
    return np.linalg.eigh((matrix @ matrix.T).astype(np.float64))[1][:, ::-1][:, :count]


def fit(blocks: list[Block], scene: SceneModel, listener: Listener = SILENT) -> Anchored:
    """The method's door (see `names`); HSFusionError where the HSI has too few pixels for its spectra."""
    listener.check()
    spectra = seen_spectra(blocks, scene)
    units = Units.of(spectra, scene)
    count = min(SPECTRAL_ATOMS, spectra.shape[1], dimensions(spectra))
    if len(spectra) < 4 * count:
        raise HSFusionError(
            f"METHOD cstf takes {count} spectra from the HSI and needs {4 * count} pixels that both rasters see, but "
            f"there are {len(spectra)}: give a larger overlap, or choose glp-hs."
        )
    listener.check()
    atoms = spectra[vertex_pixels(spectra, count)].T / units.size
    return Anchored.of(scene, units, Factorisation(atoms, ROUNDS), listener)
