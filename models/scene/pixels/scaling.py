"""The scale of a scene's images, once for all of it: full-band networks see values near [0, 1].

PER_BAND divides every MSI band by its own quantile. JOINT puts the MSI on the HSI's scale, as the papers have it: Z =
R X with rows of R that sum to 1, once gain and offset of the MSI are taken out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..block import Block

QUANTILE = 0.999
MOST_VALUES = 4_000_000  # of one image: a quantile of a thinned-out scene is as good


PER_BAND, JOINT = "per-band", "joint"
NORMALISATIONS = (PER_BAND, JOINT)
MOST_UNEXPLAINED = 0.5  # of a band's variance, above which its gain says nothing: its quantile then has to do


@dataclass(frozen=True)
class Scaling:
    """What images are divided by, in their own units: one number for the HSI, one per band (l,) for the MSI; offset
    (l,) is taken off first."""

    hsi: float
    msi: np.ndarray
    offset: np.ndarray

    def of_bands(self, order: np.ndarray) -> Scaling:
        """The same with the MSI's bands in another order."""
        return Scaling(self.hsi, self.msi[order], self.offset[order])

    def joint(self, response: np.ndarray, offset: np.ndarray, unexplained: np.ndarray) -> Scaling:
        """The MSI on the HSI's scale by its estimated response (l, L), offset (l,) and unexplained share of variance
        (l,).

        A band that the response does not explain keeps its quantile.
        """
        gain = np.asarray(response, float).sum(axis=1)
        good = (gain > 0) & (np.asarray(unexplained) < MOST_UNEXPLAINED)
        return Scaling(self.hsi, np.where(good, self.hsi * gain, self.msi), np.where(good, offset, 0.0))


def scene_scaling(blocks: list[Block], quantile: float = QUANTILE) -> Scaling:
    """Quantiles of all valid values of the HSI, and of each MSI band's; 1 where an image holds no positive value."""
    hsi = np.concatenate([block.y[:, block.y_mask > 0].ravel() for block in blocks])
    msi = np.concatenate([block.z[:, block.z_mask > 0] for block in blocks], axis=1)
    scales = np.array([_quantile(band[:: max(1, band.size // MOST_VALUES)], quantile) for band in msi])
    return Scaling(_quantile(hsi[:: max(1, hsi.size // MOST_VALUES)], quantile), scales, np.zeros(len(scales)))


def _quantile(values: np.ndarray, quantile: float) -> float:
    value = float(np.quantile(values, quantile)) if values.size else 0.0
    return value if value > 0 else 1.0
