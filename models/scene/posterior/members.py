"""Members of an ensemble around a fused scene: a function of the seed, the member and the absolute pixel, so that tiles
and machines agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...observation import gaussian_field
from ..block import Block
from ..laws.closed_forms import detail_image
from ..model import SceneModel
from ..tiles.plan import place_of
from ..window import Place, Window
from .error_law import ErrorLaw

STREAMS = (
    5  # of noise that a pair of members takes: components twice, the HSI's noise, detail and noise outside the subspace
)
FIRST_STREAM = 1000  # beyond those that other uses of a seed take
PSF_REACH = 1.8  # HSI pixels per PSF FWHM that D looks at
CUBIC_REACH = 2.5  # HSI pixels that the interpolation looks at


@dataclass(frozen=True)
class Members:
    """What is drawn for a scene; `seed` makes one ensemble of it. Members 0 and 1, 2 and 3, ... are mirror images of
    one another: the mean of an even number is the estimate itself.
    """

    scene: SceneModel
    law: ErrorLaw
    seed: int

    def around(self, block: Block, core: Window, std: np.ndarray | None = None) -> MembersHere:
        """Of the fine pixels `core` in the middle of a block.

        std (K, H, W): expected error of the coefficients on the block's fine window; None: as the scene expects it of a
        closed form.
        """
        return MembersHere(self, block, core, std)


@dataclass(frozen=True)
class MembersHere:
    """The members on one part of a scene; what they have in common is made once."""

    members: Members
    block: Block
    core: Window
    given_std: np.ndarray | None

    def deviation(self, member: int) -> np.ndarray:
        """What to add to the estimate's spectra, (L, rows, cols) float32 in the HSI's units."""
        law, subspace = self.members.law, self.members.scene.subspace
        sign, stream = (-1.0 if member % 2 else 1.0), FIRST_STREAM + STREAMS * (member // 2)
        seed, block, (down, _) = self.members.seed, self.block, self._operators
        field = law.unit_field(seed, stream, block.fine_rows, block.fine_cols, self._contrast)
        start = law.detail.astype(np.float32)[:, None, None] * field
        errors = law.unseen_by_hsi(self._relative_std * start, self._relative_std, block.y_mask, down)
        errors = law.seen_by_msi(errors[(slice(None), *self._inner)], start[(slice(None), *self._inner)])
        spectra = (subspace.basis * law.size).astype(np.float32) @ errors.reshape(len(errors), -1).astype(np.float32)
        return np.float32(sign) * self._with_the_rest(spectra.reshape(-1, *errors.shape[1:]), stream)

    def _with_the_rest(self, spectra: np.ndarray, stream: int) -> np.ndarray:
        """Errors of the components (L, rows, cols) with those outside the subspace, white but for what the HSI sees of
        them, and its noise.
        """
        law, seed, place, subspace = self.members.law, self.members.seed, self._near, self.members.scene.subspace
        down, up = place.operators(self.members.scene.coefficients)
        factor = law.band_factor.astype(np.float32)[:, None, None]
        white = gaussian_field(seed, place.fine_rows, place.fine_cols, len(law.outside_std), stream + 3)
        white *= (law.outside_detail * law.outside_std).astype(np.float32)[:, None, None]
        inner = (slice(None), *self.core.inside(place.fine))
        noise = gaussian_field(seed, place.coarse_rows, place.coarse_cols, len(law.mixing), stream + 2)
        weights = (subspace.basis * law.size * law.hsi_noise).astype(np.float32)
        of_hsi = (weights @ noise.reshape(len(noise), -1)).reshape(-1, *noise.shape[1:])
        noise = gaussian_field(seed, place.coarse_rows, place.coarse_cols, len(white), stream + 4)
        of_hsi += law.outside_noise.astype(np.float32)[:, None, None] * noise
        return factor * (spectra + white[inner]) + up(of_hsi - factor * down(white))[inner]

    @cached_property
    def _near(self) -> Place:
        """As little around the part as D and the interpolation look at."""
        model, block = self.members.scene.coefficients, self.block
        sampling = model.sampling
        reach = int(np.ceil((PSF_REACH * max(sampling.fwhm_y, sampling.fwhm_x) + CUBIC_REACH) * sampling.ratio))
        return place_of(self.core, model.scene_shape, sampling, reach) & block.place

    @cached_property
    def _operators(self):  # type: ignore[no-untyped-def]
        return self.block.place.operators(self.members.scene.coefficients)

    @cached_property
    def _detail(self) -> np.ndarray:
        z = self.members.scene.standardise(self.block.z) * self.block.z_mask
        return detail_image(z, self.block.z_mask, *self._operators)[2]

    @property
    def _window(self) -> tuple[tuple[range, range], tuple[int, int]]:
        return (self.block.fine_rows, self.block.fine_cols), self.block.scene_shape

    @cached_property
    def _contrast(self) -> np.ndarray:
        return self.members.scene.activity.contrast(self._detail, *self._window)

    @cached_property
    def _relative_std(self) -> np.ndarray:
        """(K, H, W) or (1, H, W), in units of the law's size."""
        if self.given_std is not None:
            law = self.members.law
            return (self.given_std * (law.temperature / law.size)[:, None, None]).astype(np.float32)
        return self.members.scene.activity.relative_std(self._detail, *self._window)[None]

    @property
    def _inner(self) -> tuple[slice, slice]:
        return self.core.inside(self.block.place.fine)
