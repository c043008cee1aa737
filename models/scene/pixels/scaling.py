"""The scale of a scene's images, once for all of it: full-band networks see values near [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..block import Block

QUANTILE = 0.999
MOST_VALUES = 4_000_000  # of one image: a quantile of a thinned-out scene is as good


@dataclass(frozen=True)
class Scaling:
    """What images are divided by, in their own units: one number for the HSI, one per band (l,) for the MSI."""

    hsi: float
    msi: np.ndarray


def scene_scaling(blocks: list[Block], quantile: float = QUANTILE) -> Scaling:
    """Quantiles of all valid values of the HSI, and of each MSI band's; 1 where an image holds no positive value."""
    hsi = np.concatenate([block.y[:, block.y_mask > 0].ravel() for block in blocks])
    msi = np.concatenate([block.z[:, block.z_mask > 0] for block in blocks], axis=1)
    return Scaling(
        _quantile(hsi[:: max(1, hsi.size // MOST_VALUES)], quantile),
        np.array([_quantile(band[:: max(1, band.size // MOST_VALUES)], quantile) for band in msi]),
    )


def _quantile(values: np.ndarray, quantile: float) -> float:
    value = float(np.quantile(values, quantile)) if values.size else 0.0
    return value if value > 0 else 1.0
