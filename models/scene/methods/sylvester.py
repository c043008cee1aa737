"""FUSE: the closed-form solution of the Sylvester equation of fusion with a Gaussian prior in a subspace.

Wei, Dobigeon and Tourneret, Fast fusion of multi-band images based on solving a Sylvester equation, IEEE TIP 24(11),
2015. With X = E U + mean, U (K, N), the maximum a posteriori estimate under

    Y = D U + noise of covariance N_y,   Z = A U + o + noise of covariance N_z,   U_i ~ N(mu_i, S) in each pixel i

solves the Sylvester equation  C1 U + U C2 = C3  with  C1 = N_y (A' N_z^-1 A + S^-1)  and  C2 = D' D. Diagonalising C1
gives K equations, one per component, which the eigenvectors of D D' solve without an iteration.

What differs from the paper. There D is a circular blur and an integer decimation, so that the Fourier transform
diagonalises it. Here D is the house's own: any ratio and phase, a Gaussian or block PSF, a reflecting border. It is a
product of a matrix along rows and one along columns, whose small Gram matrices are diagonalised instead; no border is
taken to be periodic. The mean mu is the interpolated HSI, as in the paper. The covariance S, which the paper takes as
given, is estimated once per scene (`detail_covariance`). K, A, o and the noise are those of the scene model. A masked
HSI pixel is taken to be as the prior and the MSI expect it, a masked MSI pixel to be as the prior expects it. Where the
HSI is displaced, D and D' are the displaced ones and the Gram matrices those of pixels at even distances, as in MAP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Degradation
from ...observation.axis import separable
from ..block import WHOLE_SUPPORT, Block
from ..laws.closed_forms import column, detail_image, mix
from ..laws.observation import grams
from ..model import CoefficientModel, SceneModel
from ..tiles.spectra import fused_spectra
from ..window import Window

LEAST_EIGENVALUE = 1e-3  # of S, as a share of its mean one: noise taken off must leave a covariance
PROBE = 32  # HSI pixels to each side in which the reach of one residual is looked for
TAIL = 1e-6  # share of the largest weight below which a residual is not felt


@dataclass(frozen=True)
class Posterior:
    """What every pixel shares: weights (K, l) = P A' N_z^-1 and P (K, K) = (A' N_z^-1 A + S^-1)^-1, and the eigenvalues
    mu (K,) and eigenvectors (K, K) of N_y^-1/2 P N_y^-1/2, whose inverse is C1 in other coordinates.
    """

    model: CoefficientModel
    covariance: np.ndarray

    @cached_property
    def weights(self) -> np.ndarray:
        """How a misfit of the MSI moves a pixel, (K, l)."""
        return self.given_msi @ self.model.response.T / self.model.z_std**2

    @cached_property
    def given_msi(self) -> np.ndarray:
        """P (K, K): the covariance of a pixel that the MSI leaves."""
        m = self.model
        return np.linalg.inv((m.response.T / m.z_std**2) @ m.response + np.linalg.inv(self.covariance))

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of P relative to the HSI's noise."""
        mu, vectors = np.linalg.eigh(self.given_msi / np.outer(self.model.y_std, self.model.y_std))
        return np.maximum(mu, 0.0), vectors

    def solve(self, mean: np.ndarray, block: Block, down: Degradation) -> np.ndarray:
        """U (K, H, W) of a block of coefficients around the prior's mean (K, H, W)."""
        m, (mu, axes) = self.model, self.axes
        u = mean + mix(self.weights, (block.z - mix(m.response, mean) - column(m.offset, mean)) * block.z_mask)
        residual = (block.y - down(u)) * down.within(block.y_mask)
        dual = dual_solution(mix(axes.T / m.y_std, residual), mu, down)
        return u + mix(self.given_msi @ (axes / m.y_std[:, None]), down.adjoint(dual))

    @cached_property
    def reach(self) -> int:
        """HSI pixels as far as one of them is felt."""
        count = 2 * PROBE + 1
        sampling = replace(self.model.sampling.undisplaced, shift_y=0.0, shift_x=0.0)
        size = int(np.ceil(count * sampling.ratio))
        down = Degradation(sampling, (size, size), range(size), range(size), range(count), range(count))
        impulse = np.zeros((1, count, count))
        impulse[0, PROBE, PROBE] = 1.0
        felt = np.abs(dual_solution(impulse, self.axes[0][-1:], down)[0])
        profile = np.maximum(felt.max(axis=0), felt.max(axis=1))[PROBE:]
        return int(np.flatnonzero(profile > TAIL * profile.max())[-1])


def dual_solution(right: np.ndarray, mu: np.ndarray, down: Degradation) -> np.ndarray:
    """The solution u (K, h, w) of (I + mu_k D D') u_k = right_k: D D' is a matrix along rows times one along columns,
    and their eigenvectors solve it at once.
    """
    rows, cols, _ = grams(down, np.zeros(0))
    (row_values, row_axes), (col_values, col_axes) = np.linalg.eigh(rows), np.linalg.eigh(cols)
    inside = separable(row_axes.T, col_axes.T, right)
    inside = inside / (1.0 + column(mu, inside) * np.outer(row_values, col_values).astype(inside.dtype))
    return separable(row_axes, col_axes, inside)


def detail_covariance(blocks: list[Block], scene: SceneModel) -> np.ndarray:
    """S (K, K): how the coefficients scatter around the interpolated HSI.

    Its shape is that of the differences between neighbouring HSI pixels, their noise taken off; its size is what the
    MSI, which knows both scales, says: the variance of z - up(D z) over that of the differences of D z.
    """
    model = scene.coefficients
    noise = scene.msi_noise / scene.z_scale
    steps, low_steps, detail, pixels = [], [], np.zeros(len(noise)), 0.0
    for block in map(scene.standardised, blocks):
        down, up = block.place.operators(model)
        low, support, missing = detail_image(block.z, block.z_mask, down, up)
        known = (block.y_mask > 0) & (support > WHOLE_SUPPORT)
        detail += (missing.astype(np.float64) ** 2).sum(axis=(1, 2))
        pixels += float(block.z_mask.sum())
        steps += _differences(block.y, known)
        low_steps += _differences(low, known)
        gain = down.noise_gain
    step, low_step = np.concatenate(steps), np.concatenate(low_steps)
    if not len(step):
        return np.diag(model.prior_std**2)
    between = step.T @ step / (2 * len(step)) - np.diag(scene.subspace.coefficient_noise**2)
    low_power = np.maximum((low_step**2).mean(axis=0) / 2 - (gain * noise) ** 2, 1e-6)
    power = np.maximum(detail / max(pixels, 1.0) - noise**2, 1e-6)
    values, vectors = np.linalg.eigh(between * (power.sum() / low_power.sum()))
    values = np.maximum(values, LEAST_EIGENVALUE * max(float(values.mean()), 1e-6))
    return (vectors * values) @ vectors.T


def _differences(image: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """Differences (N, n) of an image (n, h, w) to the next row and to the next column, where both are known."""
    down, across = known[1:] & known[:-1], known[:, 1:] & known[:, :-1]
    return [
        (image[:, 1:] - image[:, :-1])[:, down].T.astype(np.float64),
        (image[:, :, 1:] - image[:, :, :-1])[:, across].T.astype(np.float64),
    ]


@dataclass(frozen=True)
class Fitted:
    """The method of a scene; halo: MSI pixels that a tile must see around its core."""

    scene: SceneModel
    posterior: Posterior

    @property
    def halo(self) -> int:
        """For the dual's reach, the PSF and the interpolation."""
        displacement, reach = self.scene.coefficients.sampling.displacement, self.posterior.reach + 3
        strain = 0.0 if displacement is None else displacement.strain
        return int(np.ceil(reach * (1.0 + strain) * self.scene.coefficients.sampling.ratio))

    def __call__(self, block: Block, core: Window) -> np.ndarray:
        """Spectra (L, rows, cols) of the core."""
        seen = self.scene.standardised(block)
        down, up = block.place.operators(self.scene.coefficients)
        u = self.posterior.solve(up.masked(seen.y, seen.y_mask)[0], seen, down)
        return fused_spectra(self.scene, u[(slice(None), *core.inside(block.place.fine))], block, core)


def fit(blocks: list[Block], scene: SceneModel, listener: Listener = SILENT) -> Fitted:
    """The method's door (see `names`)."""
    listener.check()
    return Fitted(scene, Posterior(scene.coefficients, detail_covariance(blocks, scene)))
