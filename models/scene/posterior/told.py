"""What a pair tells of the size of its errors: which bands the MSI explains, and where in the scene there is detail to
be wrong about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...observation.axis import filter_axis, separable

WINDOW = 1.0  # fine pixels: std of the Gaussian that the detail's power is averaged with
WINDOW_REACH = 3
LARGEST_CONTRAST = 2.5  # of single bright pixels, which would else be all that the law knows of a scene
LEAST_ACTIVITY = 0.1  # of the scene's mean power: where nothing happens, errors are not zero


@dataclass(frozen=True)
class Activity:
    """Errors of a closed form are the larger the more detail the MSI shows around; on training scenes as the fourth
    root of its power.

    power: mean square of the standardised MSI's detail over the scene; norm: mean of the root below, so that variances
    keep their mean; axis (l,): the combination of bands that most of the detail lies in, so that `contrast` has mean
    square 1.
    """

    power: float
    norm: float
    axis: np.ndarray

    @classmethod
    def of(cls, details: Iterable[tuple[np.ndarray, np.ndarray]]) -> Activity:
        """Of the detail images (l, H, W) of a scene's blocks and their masks (H, W)."""
        maps, seen = [], []
        for detail, mask in details:
            maps.append(_local_power(detail, None)[mask > 0])
            seen.append(np.asarray(detail, np.float64)[:, mask > 0])
        local, pixels = np.concatenate(maps), np.concatenate(seen, axis=1)
        power = max(float(local.mean()), 1e-12)
        _, vectors = np.linalg.eigh(pixels @ pixels.T)
        main = vectors[:, -1] * np.sign(vectors[:, -1].sum() or 1.0)
        around = local / power + LEAST_ACTIVITY
        size = np.sqrt(np.mean((main @ pixels) ** 2 / around))
        return cls(power, float(np.sqrt(around).mean()), main / max(size, 1e-12))

    def contrast(self, detail: Any, window: tuple[range, range], scene_shape: tuple[int, int]) -> np.ndarray:
        """(H, W), mean square 1 over the scene: the main detail at each pixel over its size around."""
        power = _local_power(detail, (*window, scene_shape)) / self.power
        main = np.tensordot(self.axis.astype(np.float32), np.asarray(detail), axes=1)
        relative = main / np.sqrt(np.maximum(power, 0.0) + LEAST_ACTIVITY)
        return np.clip(relative, -LARGEST_CONTRAST, LARGEST_CONTRAST).astype(np.float32)

    def relative_std(self, detail: Any, window: tuple[range, range], scene_shape: tuple[int, int]) -> np.ndarray:
        """(H, W), mean square 1 over the scene: the size of errors on a window, whose detail image is (l, H, W)."""
        power = _local_power(detail, (*window, scene_shape)) / self.power
        return np.sqrt(np.sqrt(np.maximum(power, 0.0) + LEAST_ACTIVITY) / self.norm).astype(np.float32)


def _local_power(detail: Any, where: tuple[range, range, tuple[int, int]] | None) -> np.ndarray:
    """Mean square over the bands, averaged over neighbours."""
    rows, cols, shape = where or (range(detail.shape[1]), range(detail.shape[2]), detail.shape[1:])
    weights = np.exp(-0.5 * (np.arange(-WINDOW_REACH, WINDOW_REACH + 1) / WINDOW) ** 2)
    along = [filter_axis(weights / weights.sum(), 1, part, size) for part, size in zip((rows, cols), shape)]
    return separable(*along, (np.asarray(detail) ** 2).mean(axis=0))


def unexplained_bands(spectra: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Share (L,) of each band's std that no linear combination of the MSI explains, of spectra (N, L) and D z
    (N, l).
    """
    centred = low - low.mean(axis=0)
    count = len(low)
    gram = centred.T @ centred / count + 1e-6 * np.eye(low.shape[1])
    cross = centred.T @ (spectra - spectra.mean(axis=0)) / count
    variance = np.maximum(spectra.var(axis=0), 1e-30)
    explained = (cross * np.linalg.solve(gram, cross)).sum(axis=0)
    return np.sqrt(np.clip(1.0 - explained / variance, 1e-6, 1.0))
