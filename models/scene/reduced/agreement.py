"""Whether a method's result contradicts the pair that it was made of, where nothing else can be checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...listener import Listener
from ..block import WHOLE_SUPPORT, Block
from ..methods.subspace import ClosedForms
from ..model import SceneModel
from ..tiles.spectra import expand_tile, outside_part
from .scene import Method

MUCH = 2.0  # times the misfit of the closed form, from which a misfit contradicts the pair


def contradicts(
    scene: SceneModel, blocks: Sequence[Block], guarded: Method, closed_form: str, listener: Listener
) -> bool:
    """Whether a method's result, degraded to either sensor, misses what that saw by MUCH more than a closed form, and
    by more than its noise.
    """
    ours, theirs = np.zeros(2), np.zeros(2)
    for block in blocks:
        answer = guarded.fuse(block, scene, block.place.fine)
        listener.check()
        outside = outside_part(scene, block)
        spectra = answer.spectra if answer.x is None else expand_tile(scene, answer.x, outside)
        ours += _misfit(scene, block, spectra)
        forms = ClosedForms.of(scene.standardised(block), scene.coefficients, denoise=True)
        theirs += _misfit(scene, block, expand_tile(scene, forms.named(closed_form), outside))
        listener.check()
    return bool((ours > MUCH**2 * np.maximum(theirs, len(blocks))).any())


def _misfit(scene: SceneModel, block: Block, spectra: np.ndarray) -> np.ndarray:
    """Mean squares (2,) of what spectra (L, H, W) leave of the HSI and of the MSI, in units of their noise."""
    spectra, noise = spectra.astype(np.float64), np.maximum(scene.subspace.band_noise, 1e-3 * scene.bounds.hsi.std)
    down = block.degradation(scene.coefficients.sampling)
    low, support = down.masked(spectra, block.z_mask)
    known = (block.y_mask > 0) & (support > WHOLE_SUPPORT)
    of_hsi = ((block.y - low) / np.maximum(noise, 1e-12)[:, None, None])[:, known]
    seen = np.tensordot(scene.spectral_response, spectra, axes=1) + scene.spectral_offset[:, None, None]
    of_msi = ((block.z - seen) / (scene.z_scale * scene.coefficients.z_std)[:, None, None])[:, block.z_mask > 0]
    return np.array([np.mean(of_hsi**2), np.mean(of_msi**2)])
