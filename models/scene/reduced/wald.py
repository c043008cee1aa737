"""Wald's protocol on the scene itself: both images one scale down, where the HSI is the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...observation import Degradation, Sampling, coarse_shape, gaussian_field
from ..block import WHOLE_SUPPORT, Block
from ..window import Place, Window

MARGIN_DB = 0.1  # by which a closed form must be better before it replaces the guarded method, however large the scene
# ... and this over the number of reduced HSI pixels more: on the training scenes, a lead of 1.35 dB on 36 of them was
# still chance
DOUBT_DB = 60.0
LEAST_SIZE = 24  # HSI pixels per axis below which the reduced scene says nothing


def reduced_sampling(sampling: Sampling) -> Sampling:
    """The same ratio and PSF, in pixels, between nested grids: D brings the MSI onto the HSI's own, so that nothing is
    displaced.
    """
    return replace(sampling, shift_y=0.0, shift_x=0.0, displacement=None)


def reduced_block(
    block: Block,
    sampling: Sampling,
    hsi_noise: np.ndarray | None = None,
    msi_noise: np.ndarray | None = None,
    seed: int = 0,
) -> Block | None:
    """The block one scale down: its HSI degraded again, its MSI seen through D; None where it is too small.

    D averages noise away; hsi_noise (L,) and msi_noise (l,), std in the rasters' units, bring it back to the level at
    which the methods are to be compared. The truth of the result is `block.y`, cut to the reduced block's fine window.
    """
    # In double precision, rounded at the end: in single the last digit differs from machine to machine, and endmembers
    # can hang on it.
    through = block.degradation(sampling)
    bands, (support, *_) = zip(*(through.masked(band.astype(np.float64), block.z_mask) for band in block.z))
    low = np.stack(bands)
    shape = height, width = tuple(_whole_pixels(n, sampling.ratio) for n in block.y.shape[-2:])
    if min(shape) < LEAST_SIZE:
        return None
    coarse = coarse_shape(shape, sampling.ratio)
    mask = (block.y_mask * (support > WHOLE_SUPPORT))[:height, :width].astype(np.float32)
    reduced = Block(
        y=np.zeros((len(block.y), *coarse), np.float32),
        z=low[:, :height, :width],
        y_mask=np.ones(coarse, np.float32),
        z_mask=mask,
        scene_shape=shape,
        place=Place(Window.whole(shape), Window.whole(coarse)),
    )
    down = reduced.degradation(reduced_sampling(sampling))
    y, y_support = down.masked(block.y[:, :height, :width].astype(np.float64), mask)
    return replace(
        reduced,
        y=_restored(y, hsi_noise, down, seed, stream=0),
        z=_restored(reduced.z, msi_noise, block.degradation(sampling), seed, stream=1),
        y_mask=(y_support > WHOLE_SUPPORT).astype(np.float32),
    )


def _whole_pixels(size: int, ratio: float) -> int:
    """How many of `size` fine pixels make up whole coarse ones, rounded where the ratio is no integer."""
    count = int(size / ratio + 1e-9)
    return round(count * ratio) if round(count * ratio) <= size else round((count - 1) * ratio)


def _restored(image: np.ndarray, noise: np.ndarray | None, down: Degradation, seed: int, stream: int) -> np.ndarray:
    """Add the share of white noise that D took away: 1 - |row of D|^2 of the variance."""
    if noise is None:
        return image.astype(np.float32)
    left = np.sqrt(max(1.0 - down.noise_gain**2, 0.0))
    field = gaussian_field(seed, range(image.shape[1]), range(image.shape[2]), len(image), stream)
    return (image + left * noise[:, None, None] * field).astype(np.float32)


def excess_rmse(square_errors: np.ndarray, noise: np.ndarray) -> float:
    """RMSE over bands of the error beyond the truth's own noise, in the HSI's units: mean square errors (L,), noise std
    (L,).

    The truth at reduced resolution is the HSI, noise included, which no method should reproduce.
    """
    total = float(square_errors.mean())
    return float(np.sqrt(max(total - float((noise**2).mean()), 0.1 * total)))


def margin_db(pixels: float) -> float:
    """How much better a closed form must be, in dB, where the HSI at reduced resolution has so many pixels."""
    return MARGIN_DB + DOUBT_DB / max(pixels, 1.0)
