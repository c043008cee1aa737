"""SFIM-HS: smoothing filter-based intensity modulation, hypersharpened.

Liu, Smoothing filter-based intensity modulation, Int. J. Remote Sensing 21(18), 2000: a coarse band times the ratio of
the sharp band to its low-pass.  With several MSI bands each HSI band gets a sharp band of its own, synthesised from all
of them by the regression that predicts that HSI band best at the coarse scale (Selva et al., Hyper-sharpening, IEEE
JSTARS 8(6), 2015).  The regression's intercept takes the MSI's offset out, without which a ratio means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ..block import Block, coarse_samples
from ..laws.closed_forms import column, mix
from ..model import SceneModel
from ..pixels.regression import ridge_regression
from ..window import Window

FLOOR = 0.05  # of a band's root mean square: a low-pass below it is dark, and the ratio would blow noise up
RIDGE = 1e-6  # of the MSI's mean variance


@dataclass(frozen=True)
class SfimFit:
    """Sharp band of each HSI band = weights z + intercept: weights (L, l), intercept (L,), z in its own units; floor
    (L,).
    """

    weights: np.ndarray
    intercept: np.ndarray
    floor: np.ndarray


def fit_sfim(blocks: list[Block], scene: SceneModel) -> SfimFit:
    """The synthesised bands and their floors, from the pixels of the whole scene."""
    samples = coarse_samples(blocks, scene.coefficients.sampling)
    slopes, intercept = ridge_regression((samples.low - scene.z_mean) / scene.z_scale, samples.spectra, RIDGE)
    weights = slopes / scene.z_scale
    floor = FLOOR * np.sqrt((samples.spectra**2).mean(axis=0))
    return SfimFit(weights, intercept - weights @ scene.z_mean, np.maximum(floor, 1e-30))


def sfim(y_up: np.ndarray, sharp: np.ndarray, low: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """X = up(Y) P / P_low as up(Y) (1 + (P - P_low) / P_low), all (L, H, W), the denominator floored at `floor` (L,).

    In this form an area without detail stays as it is, floored or not.
    """
    return y_up * (1.0 + (sharp - low) / np.maximum(low, column(floor, low)))


def sfim_window(block: Block, scene: SceneModel, fit: SfimFit, core: Window) -> np.ndarray:
    """SFIM-HS (L, rows, cols) on the fine pixels `core` of a block; where the MSI is masked, the interpolated HSI."""
    sampling = scene.coefficients.sampling
    y_up = block.interpolated(sampling, core)
    there = core.inside(block.place.fine)
    down = block.degradation(sampling)
    z_low, support = down.masked(block.z, block.z_mask)
    seen = (support > down.least_support).astype(z_low.dtype)
    z_low_up, _ = block.upsampling(sampling, core).masked(z_low, seen)
    intercept = column(fit.intercept, y_up)
    sharp = mix(fit.weights, block.z[(slice(None), *there)]) + intercept
    low = mix(fit.weights, z_low_up) + intercept
    return np.where(block.z_mask[there] > 0, sfim(y_up, sharp, low, fit.floor), y_up)


def fit(blocks: list[Block], scene: SceneModel, listener: Listener = SILENT) -> Callable[[Block, Window], np.ndarray]:
    """window(block, core) of a scene: the method's door (see `names`)."""
    fitted = fit_sfim(blocks, scene)
    return lambda block, core: sfim_window(block, scene, fitted, core)
