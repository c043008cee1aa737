"""The scene model: everything that is estimated once for the whole scene and must be the same in every tile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import HSFusionError
from ..listener import SILENT, Listener
from ..observation import Degradation, Sampling, Upsampling
from .block import WHOLE_SUPPORT, Block, Samples, coarse_samples, windows
from .laws.closed_forms import LOC_WINDOW, column, detail_image, loc_gain, mix
from .laws.denoising import Denoising, fit_denoising
from .laws.nonlinear import KernelFit, Window, fit_kernel
from .laws.observation import given_msi
from .laws.slopes import SlopesFit, fit_slopes
from .laws.unmixing import Unmixing, fit_unmixing
from .pixels.bounds import Bounds
from .pixels.moments import parts
from .pixels.regression import ridge_regression
from .posterior.told import Activity, unexplained_bands
from .sensors.msi_noise import noise_unlike_hsi, noise_without_texture
from .sensors.response import estimate_response, msi_noise
from .subspace.outside import fit_outside
from .subspace.subspace import Subspace, fit_subspace

# as many as the bundled network has, so that a closed form is the same beside it and by itself; a card says its own
COMPONENTS = 12
SPREAD_FACTOR = 2.4  # how much coarser-scale residuals grow one scale down; the median over the training scenes
MOST_PIXELS = 2500  # coarse pixels that the nonlinear law is learnt from ...
WINDOW = 16  # ... and the size of the windows that are taken of a larger scene
LEAST_DISAGREEMENT = (
    0.015  # share of the detail below which the images agree; simulated pairs of the training scenes stay below 0.007
)
MODEL_ERROR = 0.02  # share of the detail's spread that is model error, never noise (PSF and SRF are estimates)


@dataclass(frozen=True)
class CoefficientModel:
    """What a tile of coefficients needs, and nothing of the spectra: this is what travels to the backend.

    sampling and scene_shape place a tile; regression (K, l) and intercept (K,) are GLP-HS; response (l, K) and offset
    (l,) map coefficients to the standardised MSI; y_std (K,), z_std (l,) are noise including model error; prior_std
    (K,) is the spread that GLP-HS is expected to leave, target_std (K,) the same with the MSI's noise that it lets
    through, texture that resembles noise included; loc_ridge, loc_gain (K,): LOC's ridge and the share of the coarse
    residual it explains where it was not fitted; weight (K,): size of each component in the raster's units, mean square
    1. kernel: the scene's own law from the MSI to what GLP-HS leaves; slopes: what of the rest follows the MSI's detail
    by the spectrum around; unmixing: its endmembers, and how both images bear on abundances; denoising: how the MSI's
    noise is filtered before the network's tiles; agreement: share of the result's detail that is kept where the images
    disagree by more than noise, else 1.
    """

    sampling: Sampling
    scene_shape: tuple[int, int]
    regression: np.ndarray
    intercept: np.ndarray
    response: np.ndarray
    offset: np.ndarray
    y_std: np.ndarray
    z_std: np.ndarray
    prior_std: np.ndarray
    target_std: np.ndarray
    loc_ridge: float
    loc_gain: np.ndarray
    weight: np.ndarray
    kernel: KernelFit
    slopes: SlopesFit
    unmixing: Unmixing
    denoising: Denoising
    agreement: float = 1.0

    def denoised(self) -> CoefficientModel:
        """The model of the same scene where the MSI is what `denoising` leaves of it: what the filter took off is no
        noise of it any more.
        """
        removed = self.denoising.removed**2
        return replace(
            self,
            z_std=np.sqrt(self.z_std**2 - removed),
            target_std=np.sqrt(self.target_std**2 - self.regression**2 @ removed),
        )

    def error_share(self) -> np.ndarray:
        """(K,), mean 1: what each component is expected to add to the squared error in the raster's units, where a
        closed form leaves it.
        """
        power = (self.weight * self.target_std) ** 2
        return power / power.mean()


@dataclass(frozen=True)
class SceneModel:
    """The coefficient model and what turns coefficients into spectra.

    z_mean, z_scale (l,): standardisation of the MSI. outside (L, l): regression of what lies outside the subspace on
    the standardised MSI; gate (L,): share of that part which is signal; outside_std (L,): how far that part is expected
    to be off. spectral_response (l, L), spectral_offset (l,): the SRF in the rasters' own units; unexplained (l,):
    share of the MSI's variance that the HSI does not explain; msi_noise (l,): std in the MSI's units; unexplained_bands
    (L,): share of each band's std that the MSI does not explain; activity: where the scene has detail, and errors are
    large; bounds: what fused values may not leave.
    """

    subspace: Subspace
    coefficients: CoefficientModel
    z_mean: np.ndarray
    z_scale: np.ndarray
    outside: np.ndarray
    gate: np.ndarray
    outside_std: np.ndarray
    spectral_response: np.ndarray
    spectral_offset: np.ndarray
    unexplained: np.ndarray
    msi_noise: np.ndarray
    unexplained_bands: np.ndarray
    activity: Activity
    bounds: Bounds

    def denoised(self) -> SceneModel:
        """The same scene where the MSI is what the filter of its noise leaves."""
        return replace(self, coefficients=self.coefficients.denoised())

    def expected_std(self) -> np.ndarray:
        """How far a closed form is expected to be off, per band (L,): the spread of the coefficients it leaves, and
        what lies outside.
        """
        return np.sqrt(self.error_law() @ self.coefficients.target_std**2 + self.outside_std**2)

    def error_law(self) -> np.ndarray:
        """(L, K) that turns variances of the components' errors into variances of the bands.

        The errors of the components hang together: what the MSI sees of them was put right, so that the bands it covers
        are the surer ones. Their correlation is taken to be that of the MAP estimate given the MSI alone, the same in
        every pixel.
        """
        c, basis = self.coefficients, self.subspace.basis
        _, covariance = given_msi(c.response, c.z_std, c.target_std)
        std = np.sqrt(np.diag(covariance))
        sized = basis * c.target_std
        together = ((sized @ (covariance / np.outer(std, std))) * sized).sum(axis=1)
        return basis**2 * (together / np.maximum((sized**2).sum(axis=1), 1e-300))[:, None]

    def standardise(self, z: np.ndarray) -> np.ndarray:
        """The MSI (l, H, W) with zero mean and unit variance per band over the scene, float32."""
        return ((z - self.z_mean[:, None, None]) / self.z_scale[:, None, None]).astype(np.float32)

    def standardised(self, block: Block) -> Block:
        """A block as methods in coefficients see it: y (K, h, w) coefficients, z (l, H, W) standardised, 0 where
        masked.
        """
        y = (self.subspace.project(block.y) * block.y_mask).astype(np.float32)
        return replace(block, y=y, z=self.standardise(block.z) * block.z_mask)

    def in_units(self, z: np.ndarray) -> np.ndarray:
        """The inverse of `standardise`, but for rounding."""
        return (z * self.z_scale[:, None, None] + self.z_mean[:, None, None]).astype(np.float32)


def fit_scene(
    blocks: list[Block],
    sampling: Sampling,
    components: int = COMPONENTS,
    subspace: Subspace | None = None,
    wavelengths: np.ndarray | None = None,
    prior_response: np.ndarray | None = None,
    listener: Listener = SILENT,
) -> SceneModel:
    """Fit everything but the PSF, which `sampling` gives (see `estimate_psf`), to the blocks of a scene.

    wavelengths (L,) in nm order the bands for the SRF fit; prior_response (l, L) is the nominal SRF of a known sensor.
    The listener may end the work between the steps, of which none takes a second for the samples that a job has.
    """
    listener.check()
    samples = coarse_samples(blocks, sampling)
    listener.check()
    subspace = subspace or fit_subspace(samples.spectra, components, listener=listener)
    z_mean, z_scale = _mean_and_scale(blocks)
    low = (samples.low - z_mean) / z_scale
    x = np.concatenate([subspace.project(samples.spectra[rows].T).T for rows in parts(len(low))])
    listener.check()
    spectral = estimate_response(samples.spectra, samples.low, subspace.band_noise, wavelengths, prior_response)

    listener.check()
    textured = msi_noise(blocks)
    listener.check()
    apart = noise_unlike_hsi(samples.low, x, subspace.coefficient_noise, blocks[0].degradation(sampling).noise_gain)
    noise = np.minimum(noise_without_texture(blocks), apart)
    listener.check()
    # What keeps the images apart, be it noise or not, and texture too fine to tell are as good as noise where the MSI
    # is to be followed.
    misfit = np.sqrt(spectral.residual_std**2 + (MODEL_ERROR * z_scale) ** 2)
    z_std = np.sqrt(np.minimum(textured, apart) ** 2 + misfit**2) / z_scale
    agreement = _agreement(z_std, noise / z_scale, low)
    regression, intercept = ridge_regression(low, x, 1e-4)
    rest = x - low @ regression.T - intercept
    y_std = np.sqrt(subspace.coefficient_noise**2 + (MODEL_ERROR * np.maximum(rest.std(axis=0), 1e-3)) ** 2)

    listener.check()
    outside = fit_outside(samples, low, subspace, sampling, listener)
    listener.check()
    ridge = 0.1 * _local_variance(samples, low)
    prior_std = _expected_spread(samples, rest, y_std)
    listener.check()
    size = np.linalg.norm(subspace.basis, axis=0)
    weight = size / np.sqrt((size**2).mean())
    seen = [
        _window(block, sampling, subspace, regression, intercept, z_mean, z_scale)
        for block in windows(blocks, sampling, MOST_PIXELS, WINDOW)
    ]
    listener.check()
    kernel = fit_kernel(seen, weight)
    listener.check()
    coefficients = CoefficientModel(
        sampling=sampling,
        scene_shape=blocks[0].scene_shape,
        regression=regression,
        intercept=intercept,
        response=spectral.response @ subspace.basis / z_scale[:, None],
        offset=(spectral.response @ subspace.mean + spectral.offset - z_mean) / z_scale,
        y_std=y_std,
        z_std=z_std,
        prior_std=prior_std,
        target_std=np.sqrt(prior_std**2 + regression**2 @ (textured / z_scale) ** 2),
        loc_ridge=ridge,
        loc_gain=_loc_gain(samples, rest, low, ridge),
        weight=weight,
        kernel=kernel,
        slopes=fit_slopes(seen, kernel, weight),
        unmixing=fit_unmixing(
            blocks, sampling, subspace, spectral.response, spectral.offset, z_mean, z_scale, listener
        ),
        denoising=fit_denoising(seen, noise / z_scale),
        agreement=agreement,
    )
    listener.check()
    return SceneModel(
        subspace=subspace,
        coefficients=coefficients,
        z_mean=z_mean,
        z_scale=z_scale,
        outside=outside.regression,
        gate=outside.gate,
        outside_std=outside.std,
        spectral_response=spectral.response,
        spectral_offset=spectral.offset,
        unexplained=spectral.unexplained,
        msi_noise=noise,
        unexplained_bands=unexplained_bands(samples.spectra, low),
        activity=Activity.of((detail_image(w.z, w.z_mask, w.down, _back(w.down))[2], w.z_mask) for w in seen),
        bounds=Bounds.of(samples.spectra, samples.low, subspace.band_noise),
    )


def _back(down: Degradation) -> Upsampling:
    """The interpolation between the windows of D."""
    return Upsampling(
        down.sampling, down.scene_shape, down.fine_rows, down.fine_cols, down.coarse_rows, down.coarse_cols
    )


def _window(
    block: Block,
    sampling: Sampling,
    subspace: Subspace,
    regression: np.ndarray,
    intercept: np.ndarray,
    z_mean: np.ndarray,
    z_scale: np.ndarray,
) -> Window:
    """A block as the laws of the scene see it."""
    down = block.degradation(sampling)
    z = ((block.z - z_mean[:, None, None]) / z_scale[:, None, None]).astype(np.float32)
    low, support = down.masked(z, block.z_mask)
    valid = (block.y_mask > 0) & (support > WHOLE_SUPPORT)
    low = np.where(valid, low.astype(np.float64), np.nan)
    y = np.where(valid, subspace.project(block.y), np.nan)
    return Window(y, y - mix(regression, low) - column(intercept, low), low, z, block.z_mask, down)


def _mean_and_scale(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Per MSI band (l,); HSFusionError where no band shows anything."""
    found = []
    for band in range(len(blocks[0].z)):  # of one band at a time: at a large ratio the MSI is large
        pixels = np.concatenate([block.z[band][block.z_mask > 0] for block in blocks]).astype(np.float64)
        found.append((pixels.mean(), pixels.std(), float(np.ptp(pixels))))
    mean, std, spread = np.array(found).T
    if not np.any(spread > 0):
        raise HSFusionError(
            "The multispectral raster is constant where the two rasters overlap: there is nothing to sharpen with."
        )
    return mean, np.maximum(std, 1e-12)


def _agreement(z_std: np.ndarray, noise: np.ndarray, low: np.ndarray) -> float:
    """Wiener's share of the MSI's detail against what keeps it from the HSI beyond noise, which real pairs show:
    registration, another moment, other optics. All of the standardised MSI: z_std (l,) what keeps the images apart,
    noise (l,), low (N, l) D z.

    Noise is known to a tenth or so, hence the quarter.
    """
    detail = np.maximum(1.0 - low.var(axis=0) - noise**2, 0.01)
    apart = np.maximum(z_std**2 - MODEL_ERROR**2 - 1.25 * noise**2, 0.0)
    kept = float((detail**2 / (detail + apart)).sum() / detail.sum())
    return kept if kept < 1.0 - LEAST_DISAGREEMENT else 1.0


def _expected_spread(samples: Samples, rest: np.ndarray, y_std: np.ndarray) -> np.ndarray:
    """How far GLP-HS is expected to be off, per coefficient: the fine half of what the regression leaves at the coarse
    scale.

    Differences of neighbours of the coarse residual measure what happens at the scale just above the one that is
    missing; noise is taken off.
    """
    power, count = np.zeros(rest.shape[1]), 0
    for image in samples.maps(rest):
        for step in (np.diff(image, axis=1), np.diff(image, axis=2)):
            good = np.isfinite(step)
            power += (np.where(good, step, 0.0) ** 2).sum(axis=(1, 2)) / 2
            count += int(good[0].sum())
    spread = power / max(count, 1)
    return SPREAD_FACTOR * np.sqrt(np.maximum(spread - y_std**2, 0.05 * spread) + 1e-8)


def _loc_gain(samples: Samples, rest: np.ndarray, low: np.ndarray, ridge: float) -> np.ndarray:
    """Share of the coarse residual's local variance that LOC's slopes predict at pixels left out of the fit, per
    coefficient.
    """
    without, with_slopes = np.zeros(rest.shape[1]), np.zeros(rest.shape[1])
    for rest_map, low_map, good in zip(samples.maps(rest), samples.maps(low), samples.valid):
        sums = loc_gain(np.nan_to_num(rest_map), np.nan_to_num(low_map), good.astype(np.float64), ridge)
        without, with_slopes = without + sums[0], with_slopes + sums[1]
    return np.clip(1.0 - with_slopes / np.maximum(without, 1e-30), -1.0, 1.0)


def _local_variance(samples: Samples, low: np.ndarray) -> float:
    """Mean variance of the standardised MSI inside LOC's window, at the coarse scale."""
    reach, power, count = int(np.ceil(2 * LOC_WINDOW)), 0.0, 0
    for image in samples.maps(low):
        for lag in range(1, reach + 1):
            weight = np.exp(-0.25 * (lag / LOC_WINDOW) ** 2)
            for step in (image[:, lag:] - image[:, :-lag], image[:, :, lag:] - image[:, :, :-lag]):
                good = np.isfinite(step)
                power += weight * (np.where(good, step, 0.0) ** 2).sum() / 2
                count += weight * good.sum()
    return float(power / max(count, 1))
