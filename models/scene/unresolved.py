"""What no coarse pixel tells: how large the fine detail outside the subspace is, from how its coarse means hang together.

A sensor's noise differs from one coarse pixel to the next. What belongs to the scene, its own noise included, was blurred by the PSF before it
was sampled, so that neighbours share it. The less the next but one still shares, the finer it is, and the more of it the means have lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..observation import Degradation, Sampling


@dataclass(frozen=True)
class Law:
    """How fine detail falls against its coarse means with its reach, which the correlation of neighbours tells; exact for white detail.

    decay: with the reach, where the PSF is USUAL_WIDTH fine pixels wide; steepness: and with the logarithm of the PSF's width; slope: of the
    correlation of neighbours, without the sensor's noise, with the reach.
    """

    decay: float
    steepness: float
    slope: float


# Of what lies outside the subspace of the training scenes; scripts/fit_unresolved.py fits it, and says that it meets two of three simulated pairs
# to a factor of 1.5 either way, a little on the safe side, as a new fit does with scenes that it has not seen.
LAW = Law(2.6, 1.3, 0.46)
UNSURE = 1.4  # against the median, so that twice the size covers 96 % of all errors, as the network's do, though it is known to such a factor only
USUAL_WIDTH = 4.0  # fine pixels
USUAL_REACH, DOUBT = 0.3, 5e-4  # assumed where the correlation is too small to tell, and its square below which it is
LARGEST_REACH = 0.7
LEAST_CORRELATION = 0.01


def fine_std(maps: Iterable[np.ndarray], sampling: Sampling, law: Law = LAW) -> np.ndarray:
    """Expected std per band (L,) of fine detail whose coarse means (L, h, w) are `maps`, one per block, NaN where invalid.

    An approximation: one correlation for all bands, one law of how detail falls with scale.
    """
    variance, next_one, next_but_one = neighbour_products(maps, (0, 1, 2))
    first, second = (float(np.mean(p / np.maximum(variance, 1e-30))) for p in (next_one, next_but_one))
    energy, by_psf, by_psf_twice = _psf(sampling)
    seen = max(first, 0.0)
    reach = (seen * second + DOUBT * USUAL_REACH) / (seen**2 + DOUBT) - by_psf_twice / max(by_psf, 1e-6)
    reach = min(max(reach, 0.0), LARGEST_REACH)
    of_scene = min(1.0, max(first, LEAST_CORRELATION) / min(by_psf + law.slope * reach, 0.95))
    width = sampling.ratio * (sampling.fwhm_y * sampling.fwhm_x) ** 0.5
    return (
        UNSURE
        * np.exp(-(law.decay + law.steepness * np.log(width / USUAL_WIDTH)) * reach)
        * np.sqrt(of_scene * variance / energy)
    )


def neighbour_products(maps: Iterable[np.ndarray], lags: Sequence[int]) -> list[np.ndarray]:
    """Mean products per band (L,) of pixels `lags` apart along rows and columns, over all blocks (L, h, w), NaN where invalid."""
    sums, counts = [np.zeros(1) for _ in lags], [0 for _ in lags]
    for image in maps:
        known = np.isfinite(image[0])
        image = image if known.all() else np.where(known, image, 0.0)
        for number, lag in enumerate(lags):
            for values, there in ((image, known), (image.swapaxes(1, 2), known.T)):
                last = len(there) - lag
                sums[number] = sums[number] + np.einsum("bij,bij->b", values[:, lag:], values[:, :last])
                counts[number] += int((there[lag:] & there[:last]).sum())
    return [total / max(count, 1) for total, count in zip(sums, counts)]


def _psf(sampling: Sampling) -> tuple[float, float, float]:
    """Of white fine noise: the variance that is left of it in a coarse pixel, and its correlation with the next one and the next but one."""
    count = 9
    size = int(np.ceil(count * sampling.ratio))
    probe = Degradation(sampling, (size, size), range(size), range(size), range(count), range(count))
    gram = [(rows @ rows.T)[count // 2, count // 2 : count // 2 + 3] for rows in (probe.rows, probe.cols)]
    first, second = (float(np.mean([g[lag] / g[0] for g in gram])) for lag in (1, 2))
    return float(gram[0][0] * gram[1][0]), first, second
