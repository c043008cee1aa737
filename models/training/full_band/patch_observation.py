"""D and R on one training patch, in the units of its normalised images: what HSR-Diff's loss compares an estimate
with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...observation import Degradation, Sampling

MARGIN = 1  # coarse pixels at a patch's border whose Gaussian PSF reaches beyond the patch


@dataclass(frozen=True)
class PatchObservation:
    """response: R (l, L); gain (B, l) turns R X into the units of the MSI."""

    sampling: Sampling
    response: Tensor
    gain: Tensor

    def spatial(self, x: Tensor) -> Tensor:
        """D of an image (B, L, H, W), without the coarse pixels at the border: (B, L, h', w')."""
        return self.inner(Degradation.whole(self.sampling, tuple(x.shape[-2:]))(x))

    def inner(self, hsi: Tensor) -> Tensor:
        """Coarse pixels (B, L, h, w) that know nothing of what lies outside the patch; all of them for disjoint
        blocks."""
        if self.sampling.psf == "block-mean" or min(hsi.shape[-2:]) <= 2 * MARGIN:
            return hsi
        return hsi[..., MARGIN:-MARGIN, MARGIN:-MARGIN]

    def spectral(self, x: Tensor) -> Tensor:
        """R of an image (B, L, H, W): (B, l, H, W)."""
        return torch.einsum("kl,blhw->bkhw", self.response.to(x), x) * self.gain[:, :, None, None]
