"""Data consistency of a batch of patches, each with its own sensors: what `maximum_a_posteriori` does for a tile,
differentiable and batched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...networks.inputs import target_scale
from ...observation import Degradation
from ...runners.tile import CONSISTENCY_SPREAD
from ...scene.laws.closed_forms import mix
from ...scene.laws.observation import chebyshev, given_msi, gram_bounds
from ...scene.methods.subspace import ClosedForms
from ...scene.model import CoefficientModel

LEAST_COVERAGE = 0.9  # of a coarse pixel's PSF inside the patch, below which the patch does not hear that pixel


@dataclass(frozen=True)
class Physics:
    """One patch's data consistency in units of the expected spread, numpy, or a batch of them, torch (a leading axis
    each).

    rows, cols (n, p): D along each axis; mask (n, n) of coarse pixels; y_rest (K, n, n) and z_rest (K, p, p): what both
    images say beyond the base of the closed forms; pull, axes, back (K, K), mu, y_scale (K,): the algebra of
    `maximum_a_posteriori`; bounds (2,) of D D'.
    """

    rows: np.ndarray | Tensor
    cols: np.ndarray | Tensor
    mask: np.ndarray | Tensor
    y_rest: np.ndarray | Tensor
    z_rest: np.ndarray | Tensor
    pull: np.ndarray | Tensor
    axes: np.ndarray | Tensor
    back: np.ndarray | Tensor
    mu: np.ndarray | Tensor
    y_scale: np.ndarray | Tensor
    bounds: np.ndarray | Tensor


@dataclass(frozen=True)
class ScenePhysics:
    """What `cut` needs of a whole simulated scene, all float32; target (K, H, W) is the true residual in units of the
    expected spread.
    """

    down: Degradation
    model: CoefficientModel
    y_rest: np.ndarray
    z_rest: np.ndarray
    target: np.ndarray

    @classmethod
    def of(
        cls, model: CoefficientModel, forms: ClosedForms, y: Tensor, z: Tensor, target: Tensor, down: Degradation
    ) -> ScenePhysics:
        """From the closed forms of a scene without gaps, y (K, h, w) and the standardised z (l, H, W)."""
        scale = target_scale(model, y)
        weights, covariance = given_msi(model.response, model.z_std, CONSISTENCY_SPREAD * model.target_std)
        unseen = z - mix(model.response, forms.average) - z.new_tensor(model.offset)[:, None, None]
        y_std = y.new_tensor(model.y_std)[:, None, None]
        return cls(
            down,
            model,
            ((y - down(forms.average)) / y_std).float().numpy(),
            (mix(covariance @ weights, unseen) / scale).float().numpy(),
            target.float().numpy(),
        )

    def cut(self, top: int, left: int, size: int) -> Physics:
        """The patch of `size` fine pixels whose first one is (top, left).

        Coarse pixels that see beyond it are told the truth there, if they see little of it, and left out otherwise.
        """
        model, count = self.model, size // 2 + 1
        inside = (slice(top, top + size), slice(left, left + size))
        beyond = self.target * model.target_std.astype(np.float32)[:, None, None]
        beyond[(slice(None), *inside)] = 0.0
        rest = self.y_rest - self.down(beyond) / model.y_std.astype(np.float32)[:, None, None]
        along = [_along(matrix[:, cut], count) for matrix, cut in zip((self.down.rows, self.down.cols), inside)]
        (rows, first_row, row_mask), (cols, first_col, col_mask) = along
        y_rest = np.zeros((len(rest), count, count), np.float32)
        seen = rest[:, first_row : first_row + count, first_col : first_col + count]
        y_rest[:, : seen.shape[1], : seen.shape[2]] = seen
        weights, covariance = given_msi(model.response, model.z_std, CONSISTENCY_SPREAD * model.target_std)
        mu, axes = np.linalg.eigh(covariance / np.outer(model.y_std, model.y_std))
        scale = model.target_std
        mask = row_mask[:, None] * col_mask[None, :]
        values = {
            "rows": rows,
            "cols": cols,
            "mask": mask,
            "y_rest": y_rest * mask,
            "z_rest": self.z_rest[(slice(None), *inside)],
            "pull": covariance @ weights @ model.response * scale[None, :] / scale[:, None],
            "axes": axes,
            "back": covariance @ (axes / model.y_std[:, None]) / scale[:, None],
            "mu": np.maximum(mu, 0.0),
            "y_scale": scale / model.y_std,
            "bounds": np.array(gram_bounds(self.down.sampling)),
        }
        return Physics(**{k: v.astype(np.float32) for k, v in values.items()})


def _along(matrix: np.ndarray, count: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Of one axis of D, cut to a patch: the rows that matter padded to `count`, the first one's number, and which of
    them count.
    """
    heard = np.flatnonzero(matrix.sum(axis=1) >= LEAST_COVERAGE**0.5)
    rows, mask = np.zeros((count, matrix.shape[1])), np.zeros(count)
    if not len(heard):
        return rows, 0, mask
    kept = min(len(heard), count)
    rows[:kept], mask[:kept] = matrix[heard[:kept]], 1.0
    return rows, int(heard[0]), mask


def stacked(patches: list[Physics], device: torch.device) -> Physics:
    """A batch."""
    return Physics(
        **{
            name: torch.from_numpy(np.stack([getattr(p, name) for p in patches])).to(device)
            for name in Physics.__dataclass_fields__
        }
    )


def consistent(residual: Tensor, physics: Physics) -> Tensor:
    """The residual (B, K, p, p) after `maximum_a_posteriori` around it; no gradient is lost."""
    rows, cols = physics.rows[:, None], physics.cols[:, None]
    pixelwise = physics.z_rest - _mixed(physics.pull, residual)
    moved = residual + pixelwise
    mask = physics.mask[:, None]
    unseen = (physics.y_rest - physics.y_scale[:, :, None, None] * (rows @ moved @ cols.mT)) * mask
    dual = chebyshev(
        _mixed(physics.axes.mT, unseen),
        physics.mu[:, :, None, None],
        mask,
        rows @ rows.mT,
        cols @ cols.mT,
        tuple(physics.bounds[:, i, None, None, None] for i in (0, 1)),
    )
    return moved + _mixed(physics.back, rows.mT @ dual @ cols)


def _mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix (B, K, K) per sample along the band axis of x (B, K, H, W)."""
    return (matrix @ x.flatten(2)).reshape(x.shape)
