"""A fused image as a few maps and as many spectra: what the methods that unmix the whole scene hand over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LowRank:
    """X = spectra maps: spectra (L, p) in the HSI's units, maps (p, H, W) float32 on the fine grid; rounds: iterations
    that were needed.
    """

    spectra: np.ndarray
    maps: np.ndarray
    rounds: int

    def expand(self, rows: slice = slice(None), cols: slice = slice(None)) -> np.ndarray:
        """The image (L, rows, cols) float32 of a window."""
        part = self.maps[:, rows, cols]
        flat = self.spectra.astype(np.float32) @ part.reshape(len(part), -1)
        return flat.reshape(-1, *part.shape[1:])
