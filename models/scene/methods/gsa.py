"""GSA: adaptive Gram-Schmidt component substitution, extended from one sharp band to several.

Aiazzi, Baronti and Selva, Improving component substitution pansharpening through multivariate regression of MS + Pan
data, IEEE TGRS 45(10), 2007.  There the intensity that the sharp band replaces is the combination of the coarse bands
that predicts that band best, and every coarse band takes the difference times cov(band, intensity) / var(intensity).

With l MSI bands there are l intensities, and a band's gain is its regression on all of them at once (the
synthesised-band form of hypersharpening, Selva et al., IEEE JSTARS 8(6), 2015, rather than the assignment of one MSI
band to each HSI band).  For l = 1 this is the formula of 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...listener import SILENT, Listener
from ..block import Block, coarse_samples
from ..laws.closed_forms import column, mix
from ..model import SceneModel
from ..window import Window

RIDGE = 1e-6  # of the intensities' mean variance; MSI bands may be copies of each other


@dataclass(frozen=True)
class GsaFit:
    """Scene-wide numbers: intensity = response y + offset, response (l, L), offset (l,); gains (L, l)."""

    response: np.ndarray
    offset: np.ndarray
    gains: np.ndarray


def fit_gsa(blocks: list[Block], scene: SceneModel) -> GsaFit:
    """Intensities from the scene's spectral response (the multivariate regression of the MSI on the HSI), gains from
    the HSI's pixels.
    """
    spectra = coarse_samples(blocks, scene.coefficients.sampling).spectra
    return GsaFit(scene.spectral_response, scene.spectral_offset, injection_gains(spectra, scene.spectral_response))


def injection_gains(spectra: np.ndarray, response: np.ndarray) -> np.ndarray:
    """G = cov(Y, I) cov(I)^-1, (L, l), with I = response Y, from spectra (N, L); cov(Y_k, I) / var(I) for a single
    intensity.
    """
    centred = spectra - spectra.mean(axis=0)
    intensity = centred @ response.T
    scale = np.maximum(intensity.std(axis=0), 1e-30)
    standard = intensity / scale
    gram = standard.T @ standard / len(spectra) + RIDGE * np.eye(len(response))
    return np.linalg.solve(gram, standard.T @ centred / len(spectra)).T / scale


def gsa(y_up: np.ndarray, z: np.ndarray, fit: GsaFit) -> np.ndarray:
    """X = up(Y) + G (Z - I), I = W up(Y) + b: y_up (L, H, W), z (l, H, W) in its own units -> (L, H, W)."""
    intensity = mix(fit.response, y_up) + column(fit.offset, y_up)
    return y_up + mix(fit.gains, z - intensity)


def gsa_window(block: Block, scene: SceneModel, fit: GsaFit, core: Window) -> np.ndarray:
    """GSA (L, rows, cols) on the fine pixels `core` of a block; where the MSI is masked, the interpolated HSI."""
    y_up = block.interpolated(scene.coefficients.sampling, core)
    there = core.inside(block.place.fine)
    known = block.z_mask[there] > 0
    return np.where(known, gsa(y_up, block.z[(slice(None), *there)], fit), y_up)


def fit(blocks: list[Block], scene: SceneModel, listener: Listener = SILENT) -> Callable[[Block, Window], np.ndarray]:
    """window(block, core) of a scene: the method's door (see `names`)."""
    fitted = fit_gsa(blocks, scene)
    return lambda block, core: gsa_window(block, scene, fitted, core)
