"""MSI bands whose own pixels are larger than the raster's, such as Sentinel-2's 20 m bands resampled to 10 m.

Such a band carries no detail at the raster's pixels, but the traces of its resampling.  Taken for a sharp one it
softens every edge that it has a part in.  So it is made smooth first and given the detail that it lacks from the bands
that are sharp:

    s' = G s + C (z - B z),   C fitted to  H G s = C H B z + o

G is a Gaussian a little narrower than the band's own pixel, B one that brings the sharp bands z to the sharpness of G s
(its width follows from the pixel; the width at which the least is left over injects too much), H what is left of an
image beside its low-pass: over large areas bands differ in ways that say nothing of detail.  This is GLP
hypersharpening (Selva et al., IEEE JSTARS 8(6), 2015) inside the MSI.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...observation.axis import SIGMA_PER_FWHM, TAILS, separable
from ..laws.closed_forms import mix
from ..pixels.regression import ridge_regression

SHARP = 1.2  # own pixel size, in the raster's pixels, up to which a band counts as sharp
SMOOTHED = (
    0.75  # FWHM of G in the band's own pixels: takes the blocks of nearest-neighbour resampling away and hardly more
)
LOW_PASS = 1.5  # times the width of B: what H takes away
RIDGE = 1e-3  # of the sharp bands' mean variance
SOFTER, CLEARLY = (
    1.2,
    0.7,
)  # a band is softer: least extra blur (FWHM, fine pixels), share of the unexplained that must remain at most
REPEATED = 0.4  # share of equal neighbours from which pixels were made of larger ones
RELATED = 0.9  # squared correlation of two bands from which they are compared
LEAST_SIGNAL = 0.1  # share of a band's variance that is taken for signal at least
PROBES = (0.0, 1.2, 1.7, 2.4, 3.4, 4.8, 6.8)  # FWHM of blurs, fine pixels


@dataclass(frozen=True)
class Sharpening:
    """soft, sharp: numbers of the bands among the l that are used; sizes, widths: FWHM of G and of B in fine pixels per
    soft band.

    weights (soft, sharp) are C.
    """

    soft: tuple[int, ...]
    sharp: tuple[int, ...]
    sizes: tuple[float, ...]
    widths: tuple[float, ...]
    weights: np.ndarray

    @property
    def reach(self) -> int:
        """Fine pixels that a pixel's result needs around it."""
        return blur_reach(max(*self.widths, *self.sizes))

    def __call__(self, z: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """z (l, H, W), 0 where the mask (H, W) is 0, with its soft bands sharpened; exact from `reach` pixels of the
        window's edge on.
        """
        result = z.copy()
        sharp = z[list(self.sharp)]
        for size, width in sorted(set(zip(self.sizes, self.widths))):
            members = [n for n in range(len(self.soft)) if (self.sizes[n], self.widths[n]) == (size, width)]
            detail = sharp - blurred(sharp, mask, width)
            bands = [self.soft[n] for n in members]
            smooth = blurred(z[bands], mask, size)
            result[bands] = (smooth + mix(self.weights[members], detail)) * mask
        return result


def fit_sharpening(parts: list[tuple[np.ndarray, np.ndarray]], sizes: np.ndarray) -> Sharpening | None:
    """From parts of the MSI, (z (l, H, W), mask (H, W)) each, and every band's own pixel size (l,) in fine pixels; None
    where there is nothing to sharpen, or nothing to sharpen it with.
    """
    sharp = tuple(int(b) for b in np.flatnonzero(sizes <= SHARP))
    soft = tuple(int(b) for b in np.flatnonzero(sizes > SHARP))
    if not soft or not sharp:
        return None
    found: dict[int, tuple[float, float, np.ndarray]] = {}
    for size in sorted({float(sizes[b]) for b in soft}):
        members, smooth = [b for b in soft if float(sizes[b]) == size], SMOOTHED * size
        width = float(np.sqrt(size**2 - 1 + smooth**2))  # the band's own pixel, and G on top of it
        found.update(
            {b: (smooth, width, row) for b, row in zip(members, _fitted(parts, members, sharp, smooth, width))}
        )
    smooths, widths, weights = zip(*(found[b] for b in soft))
    return Sharpening(soft, sharp, smooths, widths, np.stack(weights))


def _fitted(
    parts: list[tuple[np.ndarray, np.ndarray]], soft: list[int], sharp: tuple[int, ...], smooth: float, width: float
) -> np.ndarray:
    """C (soft, sharp)."""
    x, y = [], []
    for z, mask in parts:
        known = mask > 0
        seen, wanted = blurred(z[list(sharp)], mask, width), blurred(z[soft], mask, smooth)
        for image, found in ((seen, x), (wanted, y)):
            found.append((image - blurred(image, mask, LOW_PASS * width))[:, known].T.astype(np.float64))
    low, high = np.concatenate(x), np.concatenate(y)
    scale = np.maximum(low.std(axis=0), 1e-12)
    weights, _ = ridge_regression(low / scale, high, RIDGE)
    return weights / scale


def blurred(z: np.ndarray, mask: np.ndarray, fwhm: float) -> np.ndarray:
    """z (l, H, W) through a Gaussian of `fwhm` fine pixels, masked pixels left out; weights beyond the window are
    shared among the rest.
    """
    rows, cols = (_blur(size, fwhm).astype(np.float32) for size in z.shape[-2:])
    support = separable(rows, cols, mask.astype(np.float32))
    return separable(rows, cols, z * mask) / np.maximum(support, 1e-6)


def blur_reach(fwhm: float) -> int:
    """Pixels that a blur of `fwhm` pixels reaches to each side."""
    return int(np.ceil(TAILS * SIGMA_PER_FWHM * fwhm))


def _blur(size: int, fwhm: float) -> np.ndarray:
    if fwhm <= 0:
        return np.eye(size)
    distance = np.arange(size)[:, None] - np.arange(size)[None, :]
    return np.exp(-0.5 * (distance / (SIGMA_PER_FWHM * fwhm)) ** 2) * (np.abs(distance) <= blur_reach(fwhm))


def softness(parts: list[tuple[np.ndarray, np.ndarray]], noise: np.ndarray | None = None) -> np.ndarray:
    """How much softer each band is than the sharpest band that resembles it: FWHM (l,) of the blur between them, 0 = as
    sharp.

    Band b is softer than band j where j, blurred, explains b clearly better than j does; and where its pixels come in
    blocks of one value, as nearest-neighbour resampling leaves them, and those of another band do not. noise (l,): std
    of the bands' noise, None = none. A blur takes the noise of j away, which alone makes it explain more, so j is
    judged by its variance without noise at every width.
    """
    bands = len(parts[0][0])
    squared = np.zeros((len(PROBES), bands, bands))
    for n, fwhm in enumerate(PROBES):
        one, other = [], []
        for z, mask in parts:
            known = mask > 0
            one.append(z[:, known])
            other.append(blurred(z, mask, fwhm)[:, known])
        both = np.concatenate([np.concatenate(one, axis=1), np.concatenate(other, axis=1)]).astype(np.float64)
        squared[n] = _correlation(both)[:bands, bands:] ** 2
        if noise is not None:
            variance = both[bands:].var(axis=1)
            left = 1.0 - _noise_power(fwhm) * noise**2 / np.maximum(variance, 1e-30)
            squared[n] = np.minimum(squared[n] / np.maximum(left, LEAST_SIGNAL), 1.0)
    best = squared.argmax(axis=0)
    left = (1 - squared.max(axis=0)) / np.maximum(1 - squared[0], 1e-12)
    blur = np.where((left < CLEARLY) & (squared.max(axis=0) > RELATED), np.array(PROBES)[best], 0.0)
    blurs = np.where(blur.max(axis=1) >= SOFTER, blur.max(axis=1), 0.0)
    equal = _equal_neighbours(parts)
    repeated = (equal > REPEATED) & (equal.min() < REPEATED / 2)
    return np.where(repeated, np.maximum(blurs, 1.0 / np.maximum(1.0 - equal, 0.05)), blurs)


def _noise_power(fwhm: float) -> float:
    """Share of the variance of white noise that a blur leaves."""
    size = 2 * blur_reach(fwhm) + 1
    weights = _blur(size, fwhm)[size // 2]
    return float(((weights / weights.sum()) ** 2).sum() ** 2)


def _equal_neighbours(parts: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Share (l,) of neighbouring pixels along rows that hold the very same value: (g - 1) / g where g pixels were made
    of one.
    """
    same, count = 0.0, 0.0
    for z, mask in parts:
        known = (mask[:, 1:] > 0) & (mask[:, :-1] > 0)
        same, count = same + (z[:, :, 1:] == z[:, :, :-1])[:, known].sum(axis=1), count + known.sum()
    return same / max(count, 1.0)


def _correlation(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    scale = np.maximum(np.sqrt((centred**2).sum(axis=1)), 1e-30)
    return (centred @ centred.T) / np.outer(scale, scale)
