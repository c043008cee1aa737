"""The spatial half of the observation model: D (blur and sample), its adjoint, and interpolation back to the fine grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import HSFusionError
from .axis import block_axis, cubic_axis, gaussian_axis, like, separable


@dataclass(frozen=True)
class Sampling:
    """How the HSI's grid and point spread function lie on the MSI's grid.

    ratio: HSI pixel / MSI pixel, > 1, need not be an integer.
    fwhm_y, fwhm_x: full width at half maximum of the Gaussian PSF in HSI pixels.
    shift_y, shift_x: MSI pixels; coarse pixel i has its centre at (i + 0.5) ratio - 0.5 + shift.
    psf: "gaussian", or "block-mean" (mean of disjoint blocks, integer ratio, no FWHM).
    """

    ratio: float
    fwhm_y: float = 1.0
    fwhm_x: float = 1.0
    shift_y: float = 0.0
    shift_x: float = 0.0
    psf: str = "gaussian"

    def __post_init__(self) -> None:
        if not self.ratio > 1:
            raise HSFusionError(
                f"The ratio of HSI to MSI pixel size is {self.ratio:g}; it must be larger than 1: "
                "give the coarser raster as the hyperspectral one."
            )
        if self.psf == "block-mean":
            if abs(self.ratio - round(self.ratio)) > 1e-6:
                raise HSFusionError(
                    f"PSF block-mean needs an integer ratio, but the ratio is {self.ratio:g}: use the Gaussian PSF instead."
                )
        elif self.psf != "gaussian":
            raise HSFusionError(f"Unknown PSF {self.psf!r}: use gaussian or block-mean.")
        elif not (self.fwhm_y > 0 and self.fwhm_x > 0):
            raise HSFusionError(
                f"The PSF's FWHM must be positive, but it is {self.fwhm_y:g} x {self.fwhm_x:g} HSI pixels."
            )


def coarse_shape(scene_shape: tuple[int, int], ratio: float) -> tuple[int, int]:
    """(h, w) of the coarse scene that covers a fine scene of (H, W) pixels."""
    return round(scene_shape[0] / ratio), round(scene_shape[1] / ratio)


class _Window:
    """A window on the coarse and fine grids of one scene; ranges are absolute pixel numbers."""

    least_support = 1e-3  # share of the weights on valid pixels below which `masked` gives no value

    def __init__(
        self,
        sampling: Sampling,
        scene_shape: tuple[int, int],
        fine_rows: range,
        fine_cols: range,
        coarse_rows: range,
        coarse_cols: range,
    ) -> None:
        self.sampling = sampling
        self.scene_shape = scene_shape
        self.fine_rows, self.fine_cols = fine_rows, fine_cols
        self.coarse_rows, self.coarse_cols = coarse_rows, coarse_cols
        self.rows, self.cols = self._matrices()

    @classmethod
    def whole(cls, sampling: Sampling, scene_shape: tuple[int, int]) -> Any:
        """The operator on a whole scene of `scene_shape` fine pixels."""
        height, width = coarse_shape(scene_shape, sampling.ratio)
        return cls(sampling, scene_shape, range(scene_shape[0]), range(scene_shape[1]), range(height), range(width))

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        raise TypeError("use Degradation or Upsampling")

    def __call__(self, x: Any) -> Any:
        """Apply to (..., rows in, cols in); numpy or torch."""
        return separable(self.rows, self.cols, x)

    def adjoint(self, y: Any) -> Any:
        """The exact transpose."""
        return separable(self.rows.T, self.cols.T, y)

    def masked(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Normalised convolution op(mask x) / op(mask).

        x: (..., rows, cols); mask: (rows, cols), 1 = valid. Returns the values (0 where `least_support` is not reached) and the support.
        """
        if bool(mask.all()):
            values = self(x)
            return values, like(np.ones(values.shape[-2:]), values)
        support = self(mask)
        enough = support > self.least_support
        return self(x * mask) / (support * enough + ~enough) * enough, support


class Degradation(_Window):
    """D on a window: separable blur and sampling with absolute phase; the border reflects at the scene's edge only.

    Rows of a window whose PSF reaches beyond it are renormalised, so give the fine window the PSF's reach as a halo.
    """

    @property
    def noise_gain(self) -> float:
        """Standard deviation that D leaves of white noise of standard deviation 1, in the middle of the window."""
        middle = [m[len(m) // 2] for m in (self.rows, self.cols)]
        return float(np.sqrt(np.prod([(m**2).sum() for m in middle])))

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.sampling
        if s.psf == "block-mean":
            return (
                block_axis(self.fine_rows, self.coarse_rows, self.scene_shape[0], s.ratio, s.shift_y),
                block_axis(self.fine_cols, self.coarse_cols, self.scene_shape[1], s.ratio, s.shift_x),
            )
        return (
            gaussian_axis(self.fine_rows, self.coarse_rows, self.scene_shape[0], s.ratio, s.fwhm_y, s.shift_y),
            gaussian_axis(self.fine_cols, self.coarse_cols, self.scene_shape[1], s.ratio, s.fwhm_x, s.shift_x),
        )


class Upsampling(_Window):
    """Cubic interpolation (Keys 1981) of coarse pixels to the centres of the fine ones, the counterpart of D's phase."""

    least_support = (
        0.25  # its weights may be negative: close to 0 their sum says nothing, and dividing by it only amplifies
    )

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.sampling
        height, width = coarse_shape(self.scene_shape, s.ratio)
        return (
            cubic_axis(self.fine_rows, self.coarse_rows, height, s.ratio, s.shift_y),
            cubic_axis(self.fine_cols, self.coarse_cols, width, s.ratio, s.shift_x),
        )
