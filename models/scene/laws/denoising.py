"""The MSI with less noise before it is fused: a local Wiener filter of its wavelets, in directions across the bands
where noise is white.

Undecimated B-spline wavelets (Starck and Murtagh 1994, a trous); the noise is whitened and the bands are turned to
principal axes of their detail (Green et al. 1988, minimum noise fractions), so that what few bands share stands out of
the noise in few of them; each wavelet keeps the share of the power around it that is not noise (Lee 1980; Mihcak et al.
1999). A classical filter, with nothing learnt from other scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...observation import Degradation
from ...observation.axis import filter_axis, separable
from ..sensors.msi_noise import LEAST_PATCHES, MOST_PATCHES, whole_patches
from ..sensors.response import quiet_power
from .closed_forms import mix
from .nonlinear import Window

LEVELS = 2  # of wavelets; a third finds nothing more
SPLINE = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
AROUND = np.full(5, 0.2)  # where a wavelet's power is measured; 3 and 7 pixels are as good
# fine pixels that one pixel depends on, to each side: those of the levels below, the last level's own, and around those
REACH = 8
LEAST_NOISE = 1e-5  # of a band's spread
MOST_REMOVED = 0.95  # of the noise's power, whatever the samples say


@dataclass(frozen=True)
class Denoising:
    """noise (l,): std of the noise of the standardised MSI; axes (l, l), in columns: principal axes of the bands'
    detail over that noise; removed (l,): std of what the filter takes off, all of it noise if it were the best
    linear filter; where the image is flat it leaves less noise than the rest.
    """

    noise: np.ndarray
    axes: np.ndarray
    removed: np.ndarray

    def __call__(self, z: Any, mask: Any, down: Degradation) -> Any:
        """The standardised MSI (l, H, W) without what is taken for noise; mask (H, W), down: D on the same window.
        Numpy or torch.

        Beside gaps, which count as jumps, nothing is taken.
        """
        return z - self.taken(z, mask, down)

    def taken(self, z: Any, mask: Any, down: Degradation) -> Any:
        """What is taken for noise (l, H, W)."""
        smooth = mix(self.axes.T / self.noise, z * mask)
        noise: Any = 0.0
        for level, white in enumerate(_white_power()):
            below, smooth = smooth, _filtered(SPLINE, 2**level, smooth, down)
            wavelets = below - smooth
            power = _filtered(AROUND, 1, wavelets**2, down)
            noise = noise + wavelets * (white / power.clip(white, None))
        return mix(self.noise[:, None] * self.axes, noise) * mask


def fit_denoising(windows: list[Window], noise: np.ndarray) -> Denoising:
    """From windows of a scene and the noise std (l,) of its standardised MSI, an upper estimate.

    No direction across the bands can show less than its noise: where the quietest places of one do, all of the noise
    was told too large by as much.
    """
    noise = np.maximum(noise, LEAST_NOISE)
    most = max(1, MOST_PATCHES // len(windows))
    patches = np.concatenate([whole_patches(w.z, w.z_mask, most) for w in windows], axis=1) / noise[:, None, None]
    axes = np.linalg.eigh(np.tensordot(patches, patches, axes=((1, 2), (1, 2))))[1]
    if patches.shape[1] >= LEAST_PATCHES:
        along = np.tensordot(axes.T, patches, axes=1)
        quietest = min(quiet_power((one**2).mean(axis=1)) for one in along)
        noise = np.maximum(noise * min(1.0, quietest**0.5), LEAST_NOISE)
    found = Denoising(noise, axes, np.zeros_like(noise))
    power = np.array([(found.taken(w.z, w.z_mask, w.down) ** 2).sum(axis=(1, 2), dtype=np.float64) for w in windows])
    power = power.sum(axis=0) / max(1.0, sum(float(w.z_mask.sum()) for w in windows))
    return Denoising(noise, axes, np.sqrt(np.minimum(power, MOST_REMOVED * noise**2)))


def _filtered(weights: np.ndarray, step: int, x: Any, down: Degradation) -> Any:
    """A symmetric filter along both axes of D's fine window; the scene's border reflects."""
    rows, cols = (
        filter_axis(weights, step, window, size)
        for window, size in zip((down.fine_rows, down.fine_cols), down.scene_shape)
    )
    return separable(rows, cols, x)


@cache
def _white_power() -> tuple[float, ...]:
    """Mean square of each level's wavelets of white noise of standard deviation 1."""
    size = 1 + 4 * 2**LEVELS
    below, found = np.eye(size)[size // 2], []
    for level in range(LEVELS):
        smooth = filter_axis(SPLINE, 2**level, range(size), size) @ below
        found.append(float((below @ below) ** 2 - 2 * (below @ smooth) ** 2 + (smooth @ smooth) ** 2))
        below = smooth
    return tuple(found)
