"""Tone curves of pictures: orthophotos and drones' cameras store no radiance, but a power of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....observation import Sampling
from ...block import Block, coarse_samples
from .bilinear import CAP, FOLDS
from .cells import Components
from .robust import robust_scale, robust_weights, weighted_fit

FIRST = (0.7, 1.3)  # exponents one of which must help for others to be tried
FURTHER = (1.6, 1.9, 2.2, 2.5, 2.8)
LEAST_GAIN = 0.15  # by which the log of what is left unexplained must fall, mean over bands
RUN = 40  # samples in a row that are left out together


@dataclass(frozen=True)
class Tone:
    """z' = top (z / top)^exponent per MSI band (l,), which undoes z = top (z' / top)^(1 / exponent); below 0
    it is 0.
    """

    exponent: np.ndarray
    top: np.ndarray

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """z (l, H, W), each pixel by itself, float32."""
        top = self.top[:, None, None]
        return (top * np.clip(z / top, 0.0, None) ** self.exponent[:, None, None]).astype(np.float32)

    def block(self, block: Block) -> Block:
        """A block whose MSI is linear."""
        return replace(block, z=self(block.z) * block.z_mask)


def find_tone(blocks: list[Block], sampling: Sampling) -> Tone | None:
    """The exponent of every band at which HSI pixels left out of the regression are told best; None where 1 does as
    well.
    """
    top = np.maximum(np.max([block.z.max(axis=(1, 2)) for block in blocks], axis=0), 1e-12).astype(np.float64)
    bands = len(top)

    def unexplained(exponent: float) -> np.ndarray:
        tone = Tone(np.full(bands, exponent), top)
        return _unexplained([tone.block(block) for block in blocks] if exponent != 1.0 else blocks, sampling)

    scores = {exponent: unexplained(exponent) for exponent in (1.0, *FIRST)}
    if min(scores[e].mean() for e in FIRST) > scores[1.0].mean() - LEAST_GAIN / 4:
        return None
    scores.update({exponent: unexplained(exponent) for exponent in FURTHER})
    exponents = np.array(list(scores))
    table = np.stack(list(scores.values()))
    best = table.argmin(axis=0)
    if table.min(axis=0).mean() > scores[1.0].mean() - LEAST_GAIN:
        return None
    return Tone(exponents[best], top)


def _unexplained(blocks: list[Block], sampling: Sampling) -> np.ndarray:
    """Per band (l,): log of what a regression on the HSI leaves of the MSI's spread in samples left out, of all and of
    the typical one.
    """
    samples = coarse_samples(blocks, sampling)
    predictors = Components.of(samples.spectra).predictors(samples.spectra)
    spread = np.maximum(samples.low.std(axis=0), 1e-30)
    low = (samples.low - samples.low.mean(axis=0)) / spread
    weights, rest = robust_weights(predictors, low), np.zeros_like(low)
    fold = np.arange(len(low)) // RUN % FOLDS
    for n in range(FOLDS):
        out = fold == n
        rest[out] = low[out] - predictors[out] @ weighted_fit(predictors, low, np.where(out, 0.0, weights))
    typical = np.log(robust_scale(rest) / robust_scale(low - np.median(low, axis=0)))
    every = np.log(np.minimum(rest**2, CAP**2).mean(axis=0) + 1e-30) / 2
    return (typical + every) / 2
