"""How the errors of a fused scene hang together: between components, between neighbouring pixels, and with the HSI's
own pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...observation import Degradation, Sampling, Upsampling, gaussian_field
from ...observation.axis import filter_axis, separable
from ..laws.observation import given_hsi, given_msi
from ..model import MODEL_ERROR, SceneModel
from ..subspace.hidden_detail import UNSURE

# Chosen by hand on training scenes, looking at what scripts/benchmarking/samples.py prints; no command gives them.
# scripts/benchmarking/error_law.py says which TEMPERATURE and BAND_POWER each sensor would have, and how it fares by
# the others' (docs/measured/error_law.md).
TEMPERATURE = {"model": 0.72, "average": 0.45, "loc": 0.47, "map": 0.47, "glp-hs": 0.5}  # on the expected errors
MSI_MISFIT = 0.47  # of what keeps the MSI from the HSI, and ...
MSI_MODEL_ERROR = 0.23  # ... of the share of it that is model error: so much the errors leave in what the MSI sees
ROUNDS = 6  # of enlarging the components that the MSI sees, until their errors have the expected size nevertheless
LARGEST_PRIOR = 30.0  # variance beyond which that is given up: the MSI alone says what such a component is
BAND_POWER = 0.22  # errors of a band grow as this power of the share of its std that the MSI does not explain
LENGTH = 0.55  # fine pixels: std of the Gaussian that correlates neighbours, before what the HSI sees is taken out
REACH = 3  # ... which is cut at so many fine pixels
STRUCTURED = 0.6  # share of the variance that is detail which is too strong or too weak ...
STRUCTURE_LENGTH = 0.7  # ... over regions of so many HSI pixels: std of a Gaussian, cut at ...
STRUCTURE_REACH = 2.5  # ... so many std
HSI_NOISE = 0.95  # of the HSI's noise that its interpolation carries into every result
# of the expected spread: no more closely is detail freed of what the HSI sees, which keeps the reach of that short
HSI_SLACK = 0.1
LEAST_DETAIL = 0.25  # share of a component's variance that is detail, however noisy the HSI
PROBE, PROBE_DRAWS = 12, 6  # coarse pixels per axis, and draws, that variances are measured on


@dataclass(frozen=True)
class ErrorLaw:
    """The distribution that errors are drawn from, the same all over a scene but for their size, which every pixel has
    its own.

    All in units of `size` (K,), the size of the components' errors: what is expected of them times the method's
    temperature. mixing (K, K) makes their errors of independent ones, so that what the MSI sees of them varies no more
    than it may; response (l, K) is what it sees, gain (K, l) how that is put right. hsi_noise (K,): what the HSI's
    noise adds; detail (K,): factor on the white start that keeps the variance where the HSI takes some of it.
    outside_std (L,): size of the errors outside the subspace, outside_detail the factor on them, outside_noise (L,)
    what the HSI's noise adds there; band_factor (L,): on the errors of each band; power (K,): what a component's error
    of size 1 adds, over all bands.
    """

    sampling: Sampling
    scene_shape: tuple[int, int]
    temperature: float
    size: np.ndarray
    mixing: np.ndarray
    response: np.ndarray
    gain: np.ndarray
    hsi_noise: np.ndarray
    outside_std: np.ndarray
    outside_noise: np.ndarray
    band_factor: np.ndarray
    power: np.ndarray
    detail: np.ndarray
    outside_detail: float = 1.0

    @classmethod
    def of(cls, scene: SceneModel, temperature: float = TEMPERATURE["model"]) -> ErrorLaw:
        """Of a scene whose MSI is as its coefficient model says, filtered or not."""
        model = scene.coefficients
        size = temperature * model.target_std
        of_model = MODEL_ERROR**2
        beyond = np.maximum(model.z_std**2 - of_model, 0.0)
        left = np.sqrt(MSI_MISFIT**2 * beyond + MSI_MODEL_ERROR**2 * of_model)
        response = model.response * size
        covariance = _null_space(response, left)
        share = np.log(scene.unexplained_bands)
        law = cls(
            sampling=model.sampling,
            scene_shape=model.scene_shape,
            temperature=temperature,
            size=size,
            mixing=np.linalg.cholesky(covariance + 1e-9 * np.eye(len(size))),
            response=response,
            gain=covariance @ response.T / left**2,
            hsi_noise=HSI_NOISE * scene.subspace.coefficient_noise / size,
            outside_std=scene.outside_std / UNSURE,
            outside_noise=HSI_NOISE * scene.gate * scene.subspace.band_noise,
            band_factor=np.exp(BAND_POWER * (share - share.mean())),
            power=(scene.subspace.basis**2).sum(axis=0) * size**2,
            detail=np.ones(len(size)),
        )
        return law._with_factors()

    @property
    def correlation_length(self) -> float:
        """Fine pixels: the lag at which the correlation of neighbouring errors falls to 1 / e, before the
        HSI's part.
        """
        return 2.0 * LENGTH

    @property
    def covariance(self) -> np.ndarray:
        """(K, K), of the components' errors."""
        return self.mixing @ self.mixing.T

    def unit_field(self, seed: int, stream: int, rows: range, cols: range, contrast: np.ndarray) -> np.ndarray:
        """Errors of the components (K, rows, cols) in units of their std, before the HSI is heeded; takes two streams
        of noise.

        contrast (rows, cols): see Activity. Its part is a Gaussian scale mixture, with heavier tails than a Gaussian,
        as errors have.
        """
        count, length = len(self.mixing), STRUCTURE_LENGTH * self.sampling.ratio
        fine = self._smoothed(gaussian_field(seed, rows, cols, count, stream), LENGTH, REACH, rows, cols)
        wide = gaussian_field(seed, rows, cols, count, stream + 1)
        wide = self._smoothed(wide, length, int(np.ceil(STRUCTURE_REACH * length)), rows, cols)
        field = np.float32(np.sqrt(1 - STRUCTURED)) * fine + np.float32(np.sqrt(STRUCTURED)) * wide * contrast
        return (self.mixing.astype(np.float32) @ field.reshape(count, -1)).reshape(field.shape)

    def _smoothed(self, white: np.ndarray, length: float, reach: int, rows: range, cols: range) -> np.ndarray:
        """White noise (K, rows, cols) smoothed by a Gaussian, of variance 1 again."""
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / length) ** 2)
        weights /= weights.sum()
        along = [filter_axis(weights, 1, part, size) for part, size in zip((rows, cols), self.scene_shape)]
        return separable(*along, white) / np.float32((weights**2).sum())

    def unseen_by_hsi(self, raw: np.ndarray, size: np.ndarray, y_mask: np.ndarray, down: Degradation) -> np.ndarray:
        """Errors raw (K, H, W) moved so that D of them is as good as nothing; their std `size` (K, H, W) says where
        they may move.
        """
        around = np.sqrt(np.maximum(down(size**2), 1e-20))
        wanted = (-down(raw) / around).astype(np.float32)
        slack = np.full(len(self.mixing), HSI_SLACK)
        return raw + size * given_hsi(np.zeros_like(raw), wanted, y_mask, down, self.covariance, slack)

    def seen_by_msi(self, errors: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Errors (K, ...) moved so that the MSI sees of them what it sees of `wanted` (K, ...)."""
        apart = (errors - wanted).reshape(len(errors), -1)
        correction = (self.gain @ self.response).astype(np.float32) @ apart
        return errors - correction.reshape(errors.shape)

    def block_shares(self, sizes: tuple[int, ...] = (2, 4, 8)) -> dict[int, float]:
        """Std of the mean over n x n fine pixels, as a share of that of one pixel, over all bands: what errors that
        hang together leave.
        """
        left = dict.fromkeys((1, *sizes), 0.0)
        probe = _Probe(self)
        outside = float((self.outside_detail**2 * self.outside_std**2).sum()), float((self.outside_noise**2).sum())
        for draw in range(PROBE_DRAWS):
            white, noise = probe.white_detail(draw), probe.noise(draw)
            of_one = noise[:1]
            errors = probe.detail(self.detail, draw) + self.hsi_noise[:, None, None] * noise
            for n in left:
                left[n] += float(self.power @ _power(errors, n)) + float(
                    np.array(outside) @ np.stack([_power(white, n), _power(of_one, n)])[:, 0]
                )
        return {n: float(np.sqrt(left[n] / left[1])) for n in sizes}

    def _with_factors(self) -> ErrorLaw:
        """With the factors that keep variances where they are wanted."""
        probe = _Probe(self)
        left, told, outside = np.zeros(len(self.mixing)), np.zeros(len(self.mixing)), 0.0
        for draw in range(PROBE_DRAWS):
            left += probe.detail(self.detail, draw).var(axis=(1, 2))
            told += self.hsi_noise**2 * probe.noise(draw).var(axis=(1, 2))
            outside += float(probe.white_detail(draw).var())
        wanted = np.diag(self.covariance)
        factor = np.sqrt(wanted * np.maximum(1.0 - told / PROBE_DRAWS / wanted, LEAST_DETAIL) / (left / PROBE_DRAWS))
        return replace(self, detail=factor, outside_detail=float(np.sqrt(PROBE_DRAWS / outside)))


def _null_space(response: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Covariance (K, K) of errors of which the MSI, response (l, K), leaves no more than `left` (l,); variance 1 each
    where that can be.
    """
    prior = np.ones(response.shape[1])
    for _ in range(ROUNDS):
        _, covariance = given_msi(response, left, np.sqrt(prior))
        prior = np.minimum(prior / np.diag(covariance), LARGEST_PRIOR)
    return given_msi(response, left, np.sqrt(prior))[1]


def _power(errors: np.ndarray, n: int) -> np.ndarray:
    """Mean square (K,) of the means over n x n pixels of (K, rows, cols)."""
    rows, cols = (m // n for m in errors.shape[1:])
    blocks = errors[:, : rows * n, : cols * n].reshape(len(errors), rows, n, cols, n).mean(axis=(2, 4))
    return (blocks**2).mean(axis=(1, 2))


class _Probe:
    """A small scene of errors of size 1 without masks, shifts and displacement, whose middle is away from any
    border.
    """

    def __init__(self, law: ErrorLaw) -> None:
        size = int(np.ceil(PROBE * law.sampling.ratio))
        sampling = replace(law.sampling, shift_y=0.0, shift_x=0.0, displacement=None)
        self.law = replace(law, sampling=sampling, scene_shape=(size, size))
        self.fine, self.coarse = range(size), range(PROBE)
        window = (sampling, (size, size), self.fine, self.fine, self.coarse, self.coarse)
        self.down, self.up = Degradation(*window), Upsampling(*window)
        edge = int(3 * sampling.ratio)
        self.inner = (slice(None), slice(edge, size - edge), slice(edge, size - edge))

    def white_detail(self, draw: int) -> np.ndarray:
        """White noise (1, rows, cols) but for what the HSI sees of it."""
        return self._white_detail(draw)[self.inner]

    def noise(self, draw: int) -> np.ndarray:
        """Errors (K, rows, cols) that noise of size 1 of the HSI makes."""
        return self.up(gaussian_field(2, self.coarse, self.coarse, len(self.law.mixing), draw))[self.inner]

    def detail(self, detail: np.ndarray, draw: int) -> np.ndarray:
        """Errors (K, rows, cols) that the HSI does not see, from a white start times `detail` (K,)."""
        white = self._white_detail(draw)
        contrast = white[0] / white[self.inner].std()
        field = detail.astype(np.float32)[:, None, None] * self.law.unit_field(
            0, 2 * draw, self.fine, self.fine, contrast
        )
        known = np.ones((PROBE, PROBE), np.float32)
        return self.law.unseen_by_hsi(field, np.ones_like(field), known, self.down)[self.inner]

    def _white_detail(self, draw: int) -> np.ndarray:
        white = gaussian_field(1, self.fine, self.fine, 1, draw)
        return white - self.up(self.down(white))
