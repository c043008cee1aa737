"""Blind estimation from the pair itself: PSF width, spectral response with gain and offset, noise of the MSI."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...observation import Sampling
from ..block import Block, coarse_samples
from ..pixels.moments import covariance
from ..subspace.subspace import Subspace

FWHM_RANGE = (0.4, 3.0)
QUIET = 0.62  # mean of the lowest tenth of patch variances of pure noise, relative to the true variance
NOMINAL_FWHM = 1.0  # HSI pixels; the rule for pushbroom imagers, used where the pair cannot tell


@dataclass(frozen=True)
class PsfEstimate:
    """FWHM in HSI pixels; `determined` is False where the search ran to its edge or the curve is flat, and the nominal
    width is used.
    """

    fwhm: float
    determined: bool
    relative_residual: float


@dataclass(frozen=True)
class ResponseEstimate:
    """Z = R Y + o at the coarse scale: response (l, L) in MSI units per HSI unit (its row sum is the gain), offset
    (l,).

    unexplained (l,): share of each MSI band's variance that the HSI does not explain; residual_std (l,) in MSI units.
    """

    response: np.ndarray
    offset: np.ndarray
    unexplained: np.ndarray
    residual_std: np.ndarray


def estimate_psf(blocks: list[Block], subspace: Subspace, sampling: Sampling) -> PsfEstimate:
    """One PSF width for both axes: the FWHM at which D z is best explained by the HSI's coefficients (golden-section
    search).

    The criterion is HySure's (Simoes et al. 2015, eq. 21) with the response eliminated by least squares.
    """

    def residual(log_fwhm: float) -> float:
        fwhm = float(np.exp(log_fwhm))
        samples = coarse_samples(blocks, replace(sampling, fwhm_y=fwhm, fwhm_x=fwhm))
        regressors = np.column_stack([subspace.project(samples.spectra.T).T, np.ones(len(samples.spectra))])
        solution, *_ = np.linalg.lstsq(regressors, samples.low, rcond=None)
        rest = ((samples.low - regressors @ solution) ** 2).sum(axis=0)
        total = ((samples.low - samples.low.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.sum(rest / np.maximum(total, 1e-30)) / len(total))

    grid = np.linspace(np.log(FWHM_RANGE[0]), np.log(FWHM_RANGE[1]), 9)
    values = [residual(g) for g in grid]
    best = int(np.argmin(values))
    if best in (0, len(grid) - 1) or max(values) < 1.02 * values[best]:
        return PsfEstimate(NOMINAL_FWHM, False, residual(np.log(NOMINAL_FWHM)))
    low, high = grid[best - 1], grid[best + 1]
    golden = (np.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = residual(left), residual(right)
    for _ in range(9):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = residual(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = residual(right)
    return PsfEstimate(float(np.exp((low + high) / 2)), True, min(at_left, at_right))


def estimate_response(
    spectra: np.ndarray,
    low: np.ndarray,
    band_noise: np.ndarray,
    wavelengths: np.ndarray | None = None,
    prior: np.ndarray | None = None,
) -> ResponseEstimate:
    """Spectral response with gain and offset from coarse samples (N, L) and (N, l), by a regularised fit.

    Without `prior` the response is smooth along wavelength (second differences) and small where the HSI is noisy; with
    a nominal response (l, L) the fit is gain times nominal plus a small departure. The strength is chosen by
    generalised cross-validation.
    """
    count, bands = spectra.shape
    spectra_mean, low_mean = spectra.mean(axis=0), low.mean(axis=0)
    scale = np.maximum(spectra.std(axis=0), 1e-12).mean()
    z = low - low_mean
    gram, cross = covariance(spectra) / scale**2, covariance(spectra, low) / scale
    order = np.argsort(wavelengths, kind="stable") if wavelengths is not None else np.arange(bands)
    rough = np.zeros((max(bands - 2, 0), bands))
    for i in range(bands - 2):
        rough[i, order[i : i + 3]] = (1.0, -2.0, 1.0)
    penalty = rough.T @ rough + 1e-2 * np.eye(bands) + np.diag((band_noise / scale) ** 2)
    nominal = np.zeros((low.shape[1], bands))
    if prior is not None:
        seen = (spectra @ prior.T - prior @ spectra_mean) / scale
        gain = np.maximum((seen * z).sum(axis=0) / np.maximum((seen**2).sum(axis=0), 1e-30), 0.0)
        nominal = gain[:, None] * prior
    # In the basis where the penalty is the identity, ridge for every strength costs one eigendecomposition.
    root = np.linalg.cholesky(penalty)
    values, vectors = np.linalg.eigh(np.linalg.solve(root, np.linalg.solve(root, gram).T))
    values = np.maximum(values, 0.0)
    projected = vectors.T @ np.linalg.solve(root, cross - gram @ nominal.T)
    power = (z**2).mean(axis=0) - 2 * (nominal * cross.T).sum(axis=1) + ((nominal @ gram) * nominal).sum(axis=1)
    best: tuple[np.ndarray, np.ndarray] | None = None
    for strength in np.geomspace(1e-8, 1e2, 31):
        filtered = projected / (values + strength)[:, None]
        rest = np.maximum(
            power - 2 * (projected * filtered).sum(axis=0) + (values[:, None] * filtered**2).sum(axis=0), 1e-30
        )
        freedom = 1.0 - np.sum(values / (values + strength)) / count
        score = rest / max(freedom, 1e-3) ** 2
        if best is None:
            best = (score, filtered)
            continue
        better = score < best[0]
        best = (np.where(better, score, best[0]), np.where(better, filtered, best[1]))
    solution = np.linalg.solve(root.T, vectors @ best[1]) if best is not None else np.zeros_like(projected)
    response = (nominal + solution.T) / scale
    rest = z - (spectra @ response.T - response @ spectra_mean)
    variance = np.maximum(z.var(axis=0), 1e-30)
    return ResponseEstimate(response, low_mean - response @ spectra_mean, rest.var(axis=0) / variance, rest.std(axis=0))


def msi_noise(blocks: list[Block]) -> np.ndarray:
    """Noise std per MSI band (l,) from the quietest tenth of small patches.

    Immerkaer's difference of Laplacians (1996), which no plane survives, on 8 x 8 patches; texture makes it an upper
    estimate.
    """
    quiet = []
    for band in range(blocks[0].z.shape[0]):
        power = np.concatenate([_patch_power(block.z[band], block.z_mask) for block in blocks])
        quiet.append(np.sqrt(quiet_power(power)) if len(power) else 0.0)
    return np.array(quiet)


def quiet_power(power: np.ndarray) -> float:
    """Variance of white noise from the mean squares (n,) of patches after Immerkaer's mask, whose own gain is 36: what
    the quietest tenth shows.
    """
    lowest = np.sort(power)[: max(1, len(power) // 10)]
    return float(lowest.mean() / 36.0 / QUIET)


def _patch_power(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean square of Immerkaer's mask per 8 x 8 patch: of the whole patches, or of the valid pixels of each where no
    patch is whole.
    """
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    laplacian = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    rows_valid = mask[:-2] * mask[1:-1] * mask[2:] > 0
    valid = rows_valid[:, :-2] & rows_valid[:, 1:-1] & rows_valid[:, 2:]
    height, width = (max(1, s // 8) * 8 for s in laplacian.shape)  # a tiny image is one patch
    power = _patch_sum(np.where(valid, laplacian**2, 0.0)[:height, :width])
    count = _patch_sum(valid[:height, :width].astype(power.dtype))
    enough = count >= min(64, count.max())
    return (power / np.maximum(count, 1))[enough & (count > 0)]


def _patch_sum(image: np.ndarray) -> np.ndarray:
    """Sums over 8 x 8 patches, flat."""
    rows, cols = (np.arange(0, n, 8) for n in image.shape)
    return np.add.reduceat(np.add.reduceat(image, rows, axis=0), cols, axis=1).ravel()
