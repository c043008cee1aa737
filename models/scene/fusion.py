"""From fused coefficients back to spectra: the basis, and what lies outside the subspace, let through as far as it is signal."""

from __future__ import annotations

import numpy as np

from .closed_forms import detail_image, mix
from .model import SceneModel
from .tile import Place


def outside_part(
    scene: SceneModel, hsi: np.ndarray, y_mask: np.ndarray, z: np.ndarray, z_mask: np.ndarray, place: Place
) -> np.ndarray:
    """What GLP-HS says of the spectra outside the subspace, gated by signal-to-noise: (L, H, W) from hsi (L, h, w), z (l, H, W) standardised."""
    down, up = place.operators(scene.coefficients)
    _, _, detail = detail_image(z, z_mask, down, up)
    subspace = scene.subspace
    rest = hsi - subspace.expand(subspace.project(hsi))
    rest_up, _ = up.masked(rest.astype(np.float32), y_mask)
    return (scene.gate[:, None, None] * (rest_up + mix(scene.outside, detail))).astype(np.float32)


def expand_tile(scene: SceneModel, x: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Spectra (L, H, W) in the HSI's units of coefficients (K, H, W) and the gated outside part."""
    return (scene.subspace.expand(x) + outside).astype(np.float32)
