"""Perturbations of a fused scene: a function of the seed, the member and the absolute pixel, so that tiles and machines agree."""

from __future__ import annotations

import numpy as np

from ...observation import gaussian_field
from ..closed_forms import given_hsi
from ..tile import Place
from .error_law import ErrorLaw

KINDS = 5  # streams of noise that a pair of members uses: components twice, the HSI's noise, what lies outside the subspace
FIRST_STREAM = 1000  # beyond those of other uses of the same seed


def perturbation(
    law: ErrorLaw, std: np.ndarray, contrast: np.ndarray, y_mask: np.ndarray, place: Place, seed: int, member: int
) -> np.ndarray:
    """Coefficients (K, H, W) float32 to add to the mean on the fine window of `place`; std (K, H, W): its expected error there.

    Members 0 and 1, 2 and 3, ... are mirror images of one another, so that the mean of an even number is the estimate itself. A draw agrees with
    the HSI within its noise (randomise, then optimise: Bardsley et al. 2014), with the MSI by the covariance of its components.
    """
    stream = _stream(member)
    down, _ = _operators(law, place)
    field = law.detail.astype(np.float32)[:, None, None] * law.unit_field(
        seed, stream, place.fine_rows, place.fine_cols, contrast
    )
    noise = gaussian_field(seed, place.coarse_rows, place.coarse_cols, len(field), stream + 2)
    size = np.sqrt(np.maximum(down((std**2)), 1e-20))
    noise = noise * law.hsi_noise.astype(np.float32)[:, None, None] * y_mask
    raw = std * field
    # In units of the local size, in which the law is the same everywhere.
    wanted = noise - down(raw) / size
    moved = given_hsi(np.zeros_like(field), wanted.astype(np.float32), y_mask, down, law.covariance, law.hsi_noise)
    drawn = raw + std * moved
    return _sign(member) * drawn.astype(np.float32)


def outside_perturbation(law: ErrorLaw, place: Place, seed: int, member: int) -> np.ndarray:
    """The same of what lies outside the subspace, (L, H, W): white but for what the HSI sees of it."""
    down, up = _operators(law, place)
    white = gaussian_field(seed, place.fine_rows, place.fine_cols, len(law.outside_std), _stream(member) + 3)
    noise = gaussian_field(seed, place.coarse_rows, place.coarse_cols, len(white), _stream(member) + 4)
    size = (law.outside_detail * law.outside_std).astype(np.float32)[:, None, None]
    drawn = size * white + up(law.outside_noise.astype(np.float32)[:, None, None] * noise - size * down(white))
    return _sign(member) * drawn


def _operators(law: ErrorLaw, place: Place):  # type: ignore[no-untyped-def]
    from ...observation import Degradation, Upsampling

    where = (law.sampling, law.scene_shape, *vars(place).values())
    return Degradation(*where), Upsampling(*where)


def _stream(member: int) -> int:
    return FIRST_STREAM + KINDS * (member // 2)


def _sign(member: int) -> float:
    return -1.0 if member % 2 else 1.0
