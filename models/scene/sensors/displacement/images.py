"""D z of a displaced HSI with its derivatives by the PSF's widths and the shift, from which those by every other parameter follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....observation import Displacement, Sampling
from ....observation.axis import SIGMA_PER_FWHM
from ....observation.displaced import Crossings, DisplacedDegradation
from ....observation.taps import Taps
from ...block import Block

WIDTH_Y, WIDTH_X, SHIFT_Y, SHIFT_X = range(4)  # derivatives, in this order


class DerivedDegradation(DisplacedDegradation):
    """D_d on a block of a scene, with derivatives by (log fwhm_y, log fwhm_x, shift_y, shift_x)."""

    @classmethod
    def of(cls, block: Block, sampling: Sampling) -> DerivedDegradation:
        """D_d between the block's windows, for a Gaussian PSF."""
        displacement = sampling.displacement or Displacement(block.scene_shape)
        crossings = Crossings(
            displacement,
            sampling.ratio,
            (sampling.shift_y, sampling.shift_x),
            (block.fine_rows, block.fine_cols),
            (block.coarse_rows, block.coarse_cols),
        )
        return cls(crossings, (sampling.fwhm_y, sampling.fwhm_x), "gaussian", block.scene_shape)

    def images(self, z: np.ndarray) -> np.ndarray:
        """(1 + 4, l, h, w): D z, then its derivatives."""
        rows, rows_wider, rows_moved = self._derived(0)
        cols, cols_wider, cols_moved = self._derived(1)
        plain = rows(z)
        return np.stack(
            [
                cols(plain),
                cols(rows_wider(z)),
                cols_wider(plain),
                cols(rows_moved(z)),
                cols_moved(plain),
            ]
        )

    def _derived(self, axis: int) -> tuple[Taps, Taps, Taps]:
        taps, kernel = self.passes[axis], self.kernels[axis]
        sigma = np.maximum(SIGMA_PER_FWHM * kernel.fwhm, 1e-3)[None]
        return taps, taps.weighted((kernel.distance / sigma) ** 2), taps.weighted(kernel.distance / sigma**2)

    def comparable(self, slack: float) -> np.ndarray:
        """bool (h, w): HSI pixels whose PSF stays in the window and in the scene if they move by `slack` MSI pixels."""
        found = self.inside.copy()
        c = self._crossings
        for axis, place in enumerate(c.centres()):
            window, size = c.fine[axis], self._scene_shape[axis]
            reach = self._reach(axis) + slack
            low = c.ratio - 0.5 + slack if window.start == 0 else window.start + reach
            high = size - 0.5 - c.ratio - slack if window.stop == size else window.stop - 1 - reach
            found &= (place >= low) & (place <= high)
        return found


def widened(sampling: Sampling, factor: float) -> Sampling:
    """The same with a PSF wider by a factor."""
    return replace(sampling, fwhm_y=factor * sampling.fwhm_y, fwhm_x=factor * sampling.fwhm_x)
