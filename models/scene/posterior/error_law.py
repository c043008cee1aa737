"""How the errors of a fused scene hang together: between components, between neighbouring pixels, and with the HSI's own pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...observation import Degradation, Sampling, Upsampling, gaussian_field
from ...observation.axis import filter_axis, separable
from ..closed_forms import given_hsi, given_msi
from ..model import SceneModel
from ..unresolved import UNSURE

MSI_MISFIT = 0.5  # of what keeps the MSI from the HSI, that errors leave in the bands it sees; a model follows it more closely than it has to
# Factor on the errors of each band: MEAN_BAND * share ** BAND_POWER / its geometric mean, by the share of the band that the MSI does not explain.
BAND_POWER = 0.17
LENGTH = 0.55  # fine pixels: std of the Gaussian that white noise is smoothed with, before what the HSI sees is taken out
STRUCTURED = 0.4  # share of the variance that is detail put in too strong or too weak, which is as smooth as ...
STRUCTURE_LENGTH = 0.7  # ... HSI pixels: std of a Gaussian
SMOOTHING_REACH = 3  # fine pixels
HSI_NOISE = 1.0  # of the HSI's noise, that the mean over an HSI pixel is off
LEAST_NOISE = 0.1  # of the expected spread, which is as exactly as a draw meets the HSI: so much keeps its reach short
PROBE = 12  # coarse pixels per axis that the shares below are measured on
PROBE_DRAWS = 6
LEAST_DETAIL = 0.25  # share of a component's variance that is detail at least, however noisy the HSI


@dataclass(frozen=True)
class ErrorLaw:
    """The Gaussian that errors are drawn from, the same all over a scene but for their size, which every pixel has its own.

    mixing (K, K): errors of the components from independent ones, each of variance 1: what the MSI sees of them varies little. covariance (K, K)
    and hsi_noise (K,): how a draw is made to agree with the HSI. length: std in fine pixels of the Gaussian that
    correlates neighbours. detail (K,): factor on the white start that gives the wanted variance after what the HSI sees is taken out;
    outside_detail: the same of what lies outside the subspace; outside_std (L,): its size; band_factor (L,): on the errors of each band.
    """

    sampling: Sampling
    scene_shape: tuple[int, int]
    mixing: np.ndarray
    covariance: np.ndarray
    hsi_noise: np.ndarray
    length: float
    structured: float
    structure_length: float
    detail: np.ndarray
    outside_std: np.ndarray
    outside_detail: float
    outside_noise: np.ndarray
    band_factor: np.ndarray

    @classmethod
    def of(cls, scene: SceneModel, temperature: float = 1.0, length: float = LENGTH, hsi_noise: float = HSI_NOISE, structured: float = STRUCTURED, structure_length: float = STRUCTURE_LENGTH, band_power: float=BAND_POWER, out_noise=1.0) -> ErrorLaw:
        """Of a scene, whose MSI is as its coefficient model says (filtered or not)."""
        model = scene.coefficients
        _, covariance = given_msi(model.response, MSI_MISFIT * model.z_std, model.target_std)
        std = np.sqrt(np.diag(covariance))
        mixing = np.linalg.cholesky(covariance / np.outer(std, std) + 1e-9 * np.eye(len(std)))
        # Sizes are those of the expected errors, so that a draw in units of them is one in units of 1.
        relative = mixing @ mixing.T
        noise = np.maximum(hsi_noise * scene.subspace.coefficient_noise / model.target_std, LEAST_NOISE)
        share = np.log(scene.unexplained_bands)
        band = temperature * np.exp(band_power * (share - share.mean()))
        start = cls(
            sampling=model.sampling,
            scene_shape=model.scene_shape,
            mixing=mixing,
            covariance=relative,
            hsi_noise=noise,
            length=length,
            structured=structured,
            structure_length=structure_length,
            detail=np.ones(len(std)),
            outside_std=scene.outside_std / UNSURE,
            outside_detail=1.0,
            outside_noise=out_noise * scene.gate * scene.subspace.band_noise,
            band_factor=band,
        )
        return start._measured()

    def unit_field(self, seed: int, stream: int, rows: range, cols: range, contrast: np.ndarray) -> np.ndarray:
        """Components (K, rows, cols), each of variance 1 and correlated with the others and over neighbours, before the HSI is heeded.

        contrast (rows, cols): see Activity.
        """
        count = len(self.mixing)
        fine = self._smoothed(gaussian_field(seed, rows, cols, count, stream), self.length, SMOOTHING_REACH, rows, cols)
        length = self.structure_length * self.sampling.ratio
        wide = self._smoothed(gaussian_field(seed, rows, cols, count, stream + 1), length, int(np.ceil(2.5*length)), rows, cols)
        field = np.float32(np.sqrt(1 - self.structured)) * fine + np.float32(np.sqrt(self.structured)) * wide * contrast
        flat = self.mixing.astype(np.float32) @ field.reshape(count, -1)
        return flat.reshape(field.shape)

    def _smoothed(self, white: np.ndarray, length: float, reach: int, rows: range, cols: range) -> np.ndarray:
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(length, 1e-3)) ** 2)
        weights /= weights.sum()
        along = (filter_axis(weights, 1, part, size) for part, size in zip((rows, cols), self.scene_shape))
        return separable(*along, white) / np.float32((weights**2).sum())

    def _measured(self) -> ErrorLaw:
        """With the factors that keep variances where they are wanted, from draws on a probe away from any border."""
        count = PROBE
        size = int(np.ceil(count * self.sampling.ratio))
        probe = replace(self, sampling=replace(self.sampling, shift_y=0.0, shift_x=0.0), scene_shape=(size, size))
        window = (probe.sampling, (size, size), range(size), range(size), range(count), range(count))
        down, up = Degradation(*window), Upsampling(*window)
        edge = int(3 * self.sampling.ratio)
        inner = (slice(None), slice(edge, size - edge), slice(edge, size - edge))
        mask = np.ones((count, count), np.float32)
        left, told, outside = np.zeros(len(self.mixing)), np.zeros(len(self.mixing)), 0.0
        for draw in range(PROBE_DRAWS):
            contrast = gaussian_field(3, range(size), range(size), 1, draw)[0]
            contrast = 1.2*(contrast - up(down(contrast[None]))[0])
            field = probe.unit_field(0, 2 * draw, range(size), range(size), contrast)
            none = np.zeros((len(field), count, count), np.float32)
            noise = none + (self.hsi_noise[:, None, None] * gaussian_field(2, range(count), range(count), len(field), draw))
            left += given_hsi(field, none, mask, down, self.covariance, self.hsi_noise)[inner].var(axis=(1, 2))
            told += given_hsi(0 * field, noise.astype(np.float32), mask, down, self.covariance, self.hsi_noise)[inner].var(axis=(1, 2))
            white = gaussian_field(1, range(size), range(size), 1, draw)
            outside += float((white - up(down(white)))[inner].var())
        left, told, outside = left / PROBE_DRAWS, told / PROBE_DRAWS, outside / PROBE_DRAWS
        detail = np.sqrt(np.maximum(1.0 - told, LEAST_DETAIL) / left)
        return replace(self, detail=detail, outside_detail=1.0 / np.sqrt(outside))
