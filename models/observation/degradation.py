"""The spatial half of the observation model: D (blur and sample), its adjoint, and interpolation back to the
fine grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import HSFusionError
from .axis import block_axis, cubic_axis, gaussian_axis, gaussian_reach, like, separable
from .displaced import Crossings, DisplacedDegradation, DisplacedUpsampling
from .displacement import Displacement


@dataclass(frozen=True)
class Sampling:
    """How the HSI's grid and point spread function lie on the MSI's grid.

    ratio: HSI pixel / MSI pixel, > 1, need not be an integer.
    fwhm_y, fwhm_x: full width at half maximum of the Gaussian PSF in HSI pixels.
    shift_y, shift_x: MSI pixels; coarse pixel i has its centre at (i + 0.5) ratio - 0.5 + shift.
    psf: "gaussian", or "block-mean" (mean of disjoint blocks, integer ratio, no FWHM).
    displacement: what moves the HSI's pixels beside the shift, or None: its rotation, scale and local field.
    """

    ratio: float
    fwhm_y: float = 1.0
    fwhm_x: float = 1.0
    shift_y: float = 0.0
    shift_x: float = 0.0
    psf: str = "gaussian"
    displacement: Displacement | None = None

    @property
    def undisplaced(self) -> Sampling:
        """The same with one shift for all."""
        return replace(self, displacement=None)

    @property
    def margin(self) -> int:
        """HSI pixels that are read around the scene, because a displacement may bring them into it."""
        return 0 if self.displacement is None else int(np.ceil(self.displacement.reach / self.ratio)) + 2

    def __post_init__(self) -> None:
        if not self.ratio > 1:
            raise HSFusionError(
                f"The ratio of HSI to MSI pixel size is {self.ratio:g}; it must be larger than 1: "
                "give the coarser raster as the hyperspectral one."
            )
        if self.psf == "block-mean":
            if abs(self.ratio - round(self.ratio)) > 1e-6:
                raise HSFusionError(
                    f"PSF block-mean needs an integer ratio, but the ratio is {self.ratio:g}: use the Gaussian PSF "
                    "instead."
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
    """A window on the coarse and fine grids of one scene; ranges are absolute pixel numbers.

    Where the sampling holds a displacement, coarse pixels around the scene have numbers too: from -margin on.
    """

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

    @classmethod
    def whole(cls, sampling: Sampling, scene_shape: tuple[int, int]) -> Any:
        """The operator on a whole scene of `scene_shape` fine pixels."""
        m = sampling.margin
        coarse = (range(-m, n + m) for n in coarse_shape(scene_shape, sampling.ratio))
        return cls(sampling, scene_shape, range(scene_shape[0]), range(scene_shape[1]), *coarse)

    @property
    def rows(self) -> np.ndarray:
        """The matrix along rows, of the operator without a displacement."""
        return self._matrices[0]

    @property
    def cols(self) -> np.ndarray:
        """The matrix along columns, of the operator without a displacement."""
        return self._matrices[1]

    @cached_property
    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        raise TypeError("use Degradation or Upsampling")

    @cached_property
    def _displaced(self) -> DisplacedDegradation | DisplacedUpsampling | None:
        raise TypeError("use Degradation or Upsampling")

    def _crossings(self, displacement: Displacement) -> Crossings:
        s = self.sampling
        fine, coarse = (self.fine_rows, self.fine_cols), (self.coarse_rows, self.coarse_cols)
        return Crossings(displacement, s.ratio, (s.shift_y, s.shift_x), fine, coarse)

    def __call__(self, x: Any) -> Any:
        """Apply to (..., rows in, cols in); numpy or torch."""
        return separable(self.rows, self.cols, x) if self._displaced is None else self._displaced(x)

    def adjoint(self, y: Any) -> Any:
        """The exact transpose."""
        if self._displaced is not None:
            return self._displaced.adjoint(y)
        return separable(self.rows.T, self.cols.T, y)

    def masked(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Normalised convolution op(mask x) / op(mask).

        x: (..., rows, cols); mask: (rows, cols), 1 = valid. Returns the values (0 where `least_support` is not reached)
        and the support.
        """
        if bool(mask.all()):
            values = self(x)
            return values, self.within(like(np.ones(values.shape[-2:]), values))
        support = self(mask)
        enough = support > self.least_support
        return self(x * mask) / (support * enough + ~enough) * enough, support

    def within(self, mask: Any) -> Any:
        """The mask (rows out, cols out) without what the input's scene does not reach."""
        return mask


class Degradation(_Window):
    """D on a window: separable blur and sampling with absolute phase; the border reflects at the scene's edge only.

    Rows of a window whose PSF reaches beyond it are renormalised, so give the fine window the PSF's reach as a halo. A
    coarse pixel that a displacement takes out of the scene is 0, with support 0.
    """

    @property
    def noise_gain(self) -> float:
        """Standard deviation that D leaves of white noise of standard deviation 1, in the middle of the window."""
        matrices = self._matrices if self._displaced is None else free_degradation(self.sampling, 3)
        middle = [m[len(m) // 2] for m in matrices]
        return float(np.sqrt(np.prod([(m**2).sum() for m in middle])))

    def within(self, mask: Any) -> Any:
        """The mask (h, w) without the coarse pixels that lie outside the scene."""
        return mask if self._displaced is None else mask * like(self._displaced.inside.astype(np.float32), mask)

    @property
    def whole_psf(self) -> np.ndarray | None:
        """bool (h, w): coarse pixels whose PSF the window holds as far as the scene does; None without a displacement,
        where ranges say it.
        """
        return None if self._displaced is None else self._displaced.whole

    @property
    def centres(self) -> np.ndarray | None:
        """(2, h, w): displaced centres (y, x) of the coarse pixels in fine pixels; None without a displacement."""
        return None if self._displaced is None else self._displaced.centres

    @cached_property
    def _displaced(self) -> DisplacedDegradation | None:
        s = self.sampling
        if s.displacement is None:
            return None
        return DisplacedDegradation(self._crossings(s.displacement), (s.fwhm_y, s.fwhm_x), s.psf, self.scene_shape)

    @cached_property
    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.sampling
        return (
            _psf_axis(s, self.fine_rows, self.coarse_rows, self.scene_shape[0], s.fwhm_y, s.shift_y),
            _psf_axis(s, self.fine_cols, self.coarse_cols, self.scene_shape[1], s.fwhm_x, s.shift_x),
        )


class Upsampling(_Window):
    """Cubic interpolation (Keys 1981) of coarse pixels to the centres of the fine ones, the counterpart of D's
    phase.
    """

    least_support = (
        0.25  # its weights may be negative: close to 0 their sum says nothing, and dividing by it only amplifies
    )

    @cached_property
    def _displaced(self) -> DisplacedUpsampling | None:
        displacement = self.sampling.displacement
        return None if displacement is None else DisplacedUpsampling(self._crossings(displacement))

    @cached_property
    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.sampling
        height, width = coarse_shape(self.scene_shape, s.ratio)
        return (
            cubic_axis(self.fine_rows, self.coarse_rows, height, s.ratio, s.shift_y),
            cubic_axis(self.fine_cols, self.coarse_cols, width, s.ratio, s.shift_x),
        )


def free_degradation(sampling: Sampling, count: int) -> tuple[np.ndarray, np.ndarray]:
    """One axis each of D for `count` coarse pixels far from any border: (count, fine pixels) for rows and columns."""
    pad = int(np.ceil(gaussian_reach(sampling.ratio, max(sampling.fwhm_y, sampling.fwhm_x)) / sampling.ratio)) + 1
    size = int(np.ceil((count + 2 * pad) * sampling.ratio))
    coarse = range(pad, pad + count)
    rows, cols = (_psf_axis(sampling, range(size), coarse, size, f, 0.0) for f in (sampling.fwhm_y, sampling.fwhm_x))
    return rows, cols


def _psf_axis(sampling: Sampling, fine: range, coarse: range, size: int, fwhm: float, shift: float) -> np.ndarray:
    if sampling.psf == "block-mean":
        return block_axis(fine, coarse, size, sampling.ratio, shift)
    return gaussian_axis(fine, coarse, size, sampling.ratio, fwhm, shift)
