"""What the MSI says of the HSI if every pixel is a mixture: endmembers of the scene, and abundances that no pixel has
below zero.

Coupled nonnegative matrix factorisation (Yokoya, Yairi and Iwasaki, IEEE TGRS 50(2), 2012) finds the endmembers on a
part of the scene. A tile then unmixes its HSI pixels, interpolates the abundances, and updates them until they explain
the MSI: an abundance that is nil around a pixel stays nil, so that the same colour is unmixed into what is there. A
linear law knows neither that nor that nothing is less than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Sampling, Upsampling
from ...observation.axis import like
from ..block import LEAST_SAMPLES, Block, middle, valid_pixels
from ..methods.cnmf import SUM_TO_ONE, TINY, spectra_of, unmix
from ..subspace.subspace import Subspace
from .vca import dimensions, vertex_pixels

ENDMEMBERS = 12  # more say no more of clean scenes, and believe more of the noise; 8 to 30 tried on training scenes
MOST_PIXELS = 48 * 48  # coarse pixels of all blocks together that the endmembers are fitted to
BINS = 40  # of bands, in which the HSI is unmixed while the endmembers are sought
ROUNDS, FITTING_STEPS = 3, 25
HSI_STEPS, MSI_STEPS = 60, 40  # updates of a tile's abundances
FLOOR_QUANTILE = 0.001  # of a band, from which on values count; below zero it becomes the new zero
PIXELS_AT_ONCE = 2048  # whose abundances fit into a core's cache
PIXELS_OF_TORCH = 32768  # which shares them out among its threads


@dataclass(frozen=True)
class Evidence:
    """How an image's pixels v (n,) bear on abundances a (p,): an update weighs gain v + constant against gram a.

    gain (p, n), constant (p,), gram (p, p).
    """

    gain: np.ndarray
    constant: np.ndarray
    gram: np.ndarray

    @classmethod
    def of(cls, spectra: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> Evidence:
        """Of endmembers `spectra` (m, p) where the image's m bands are gain v + shift; a row of ones draws the sum to
        one.
        """
        one = SUM_TO_ONE**2
        return cls(spectra.T @ gain, spectra.T @ shift + one, spectra.T @ spectra + one)

    def updated(self, abundances: Any, pixels: Any, steps: int) -> Any:
        """Abundances (p, N) after multiplicative updates (Lee and Seung 2001) for pixels (n, N), over-relaxed by the
        power 7/4.
        """
        wanted = like(self.gain, pixels) @ pixels + like(self.constant[:, None], pixels)
        wanted, gram = _at_least(wanted, TINY), like(self.gram, pixels)
        step = _numpy_step if isinstance(pixels, np.ndarray) else _torch_step
        abundances = _at_least(abundances, TINY)
        room = abundances + 0
        for _ in range(steps):
            step(abundances, gram, wanted, room)
        return abundances


# An update in place: there are many, and each is quicker than the memory for its result. share: room of the abundances'
# size.


def _numpy_step(abundances: np.ndarray, gram: np.ndarray, wanted: np.ndarray, share: np.ndarray) -> None:
    np.matmul(gram, abundances, out=share)
    np.divide(wanted, share, out=share)
    abundances *= share
    for _ in range(2):  # the powers 1/2 and 1/4
        np.sqrt(share, out=share)
        abundances *= share
    np.maximum(abundances, abundances.dtype.type(TINY), out=abundances)


def _torch_step(abundances: Any, gram: Any, wanted: Any, share: Any) -> None:
    share.addmm_(gram, abundances, beta=0).reciprocal_().mul_(wanted)
    abundances.mul_(share).mul_(share.sqrt_()).mul_(share.sqrt_()).clamp_min_(TINY)


@dataclass(frozen=True)
class Unmixing:
    """endmembers (K, p) and origin (K,): coefficients x = endmembers a + origin of abundances a (p,); what the HSI's
    coefficients and the standardised MSI say of them; misfit_std (K,): how far D x was from the HSI's coefficients
    where the endmembers were fitted.
    """

    endmembers: np.ndarray
    origin: np.ndarray
    hsi: Evidence
    msi: Evidence
    misfit_std: np.ndarray

    def __call__(self, y: Any, y_mask: Any, z: Any, z_mask: Any, up: Upsampling) -> Any:
        """Coefficients (K, H, W) from y (K, h, w) and the standardised z (l, H, W), numpy or torch; abundances are
        interpolated where z is masked.
        """
        count = self.endmembers.shape[1]
        start = like(np.full((count, y.shape[1] * y.shape[2]), 1.0 / count), y)
        coarse = self.hsi.updated(start, y.reshape(y.shape[0], -1), HSI_STEPS).reshape(count, *y.shape[1:])
        abundances = _at_least(up.masked(coarse, y_mask)[0], TINY)
        shape = (len(self.origin), *z.shape[1:])
        found = np.empty(shape, z.dtype) if isinstance(z, np.ndarray) else z.new_empty(shape)
        at_once = PIXELS_AT_ONCE if isinstance(z, np.ndarray) else PIXELS_OF_TORCH
        rows = max(1, at_once // z.shape[2])
        for top in range(0, z.shape[1], rows):
            part = (slice(None), slice(top, top + rows))
            before, known = abundances[part].reshape(count, -1), z_mask[part[1]].reshape(1, -1)
            after = self.msi.updated(before, z[part].reshape(z.shape[0], -1), MSI_STEPS)
            mixed = like(self.endmembers, z) @ (before + known * (after - before)) + like(self.origin[:, None], z)
            found[part] = mixed.reshape(-1, *found[part].shape[1:])
        return found


def _at_least(x: Any, least: float) -> Any:
    return np.maximum(x, x.dtype.type(least)) if isinstance(x, np.ndarray) else x.clamp_min(least)


def fit_unmixing(
    blocks: list[Block],
    sampling: Sampling,
    subspace: Subspace,
    response: np.ndarray,
    offset: np.ndarray,
    z_mean: np.ndarray,
    z_scale: np.ndarray,
    listener: Listener = SILENT,
) -> Unmixing:
    """Endmembers from the middle of each block; response (l, L) and offset (l,) map the HSI's units to the MSI's,
    z_mean and z_scale (l,) standardise it.

    Bands that go below zero are lifted, which the abundances' sum to one makes up for. In double precision: the updates
    make ten thousand times as much of what rounding differs from machine to machine. The listener may end it between
    the steps.
    """
    side = max(1, int((MOST_PIXELS / len(blocks)) ** 0.5))
    parts = [_Part.of(middle(block, side, sampling), sampling) for block in blocks]
    if sum(part.seen.sum() for part in parts) < LEAST_SAMPLES:  # the middles are masked
        parts = [_Part.of(block, sampling) for block in blocks]
    raw = np.concatenate([part.block.y[:, part.seen] for part in parts], axis=1).astype(np.float64)
    floor = np.minimum(np.quantile(raw, FLOOR_QUANTILE, axis=1), 0.0)
    size = float(np.sqrt(((raw - floor[:, None]) ** 2).mean()))
    y = _nonnegative((raw - floor[:, None]) / size)
    z_zero = offset + response @ floor
    z_size = np.maximum(np.sqrt(((response @ (raw - floor[:, None])) ** 2).mean(axis=1)), 1e-12)
    seen_by_msi = response * size / z_size[:, None]
    msi = [_nonnegative((part.block.z - z_zero[:, None, None]) / z_size[:, None, None]) for part in parts]

    listener.check()
    count = max(1, min(ENDMEMBERS, dimensions(y.T), y.shape[1] // 4))
    w = y[:, vertex_pixels(y.T, count)]
    h = Evidence.of(w, np.eye(len(y)), np.zeros(len(y))).updated(_even_shares(count, y.shape[1]), y, HSI_STEPS)
    w, h = _unmixed(y, w, h, listener)
    maps = [part.up(a) for part, a in zip(parts, _split(h, parts))]
    for _ in range(ROUNDS):
        listener.check()
        evidence = Evidence.of(np.maximum(seen_by_msi @ w, TINY), np.eye(len(z_size)), np.zeros(len(z_size)))
        maps = [part.updated(a, evidence, pixels) for part, a, pixels in zip(parts, maps, msi)]
        h = np.concatenate([part.down(a) for part, a in zip(parts, maps)], axis=1)
        w, _ = _unmixed(y, spectra_of(y, w, h), h, listener)

    spectra, shift = w.astype(np.float64), (subspace.mean - floor) / size
    of_msi = np.maximum(seen_by_msi @ spectra, TINY)
    endmembers, origin = subspace.analysis @ spectra * size, subspace.analysis @ (floor - subspace.mean)
    coarse = subspace.project(raw) - endmembers @ np.concatenate([part.down(a) for part, a in zip(parts, maps)], axis=1)
    return Unmixing(
        endmembers,
        origin,
        Evidence.of(spectra, subspace.basis / size, shift),
        Evidence.of(of_msi, np.diag(z_scale / z_size), (z_mean - z_zero) / z_size),
        np.sqrt(((coarse - origin[:, None]) ** 2).mean(axis=1)),
    )


@dataclass(frozen=True)
class _Part:
    """A block and the coarse pixels `seen` (h, w) of it that both images see; abundances are (p, N) on those and (p, H,
    W) on the fine grid.
    """

    block: Block
    sampling: Sampling
    seen: np.ndarray

    @classmethod
    def of(cls, block: Block, sampling: Sampling) -> _Part:
        return cls(block, sampling, valid_pixels(block, sampling))

    def up(self, abundances: np.ndarray) -> np.ndarray:
        """On the fine grid; the mean where no coarse pixel is near."""
        coarse = np.zeros((len(abundances), *self.seen.shape))
        coarse[:, self.seen] = abundances
        operator = self.block.upsampling(self.sampling)
        fine, support = operator.masked(coarse, self.seen.astype(float))
        far = support <= operator.least_support
        fine[:, far] = abundances.mean(axis=1, keepdims=True)
        return _nonnegative(fine)

    def down(self, abundances: np.ndarray) -> np.ndarray:
        """As the HSI sees them."""
        low, _ = self.block.degradation(self.sampling).masked(abundances, self.block.z_mask)
        return _nonnegative(low[:, self.seen])

    def updated(self, abundances: np.ndarray, evidence: Evidence, msi: np.ndarray) -> np.ndarray:
        """After the MSI's say, in their own place."""
        flat, pixels = abundances.reshape(len(abundances), -1), msi.reshape(len(msi), -1)
        for start in range(0, flat.shape[1], PIXELS_AT_ONCE):
            part = (slice(None), slice(start, start + PIXELS_AT_ONCE))
            flat[part] = evidence.updated(flat[part], pixels[part], FITTING_STEPS)
        return abundances


def _unmixed(y: np.ndarray, w: np.ndarray, h: np.ndarray, listener: Listener) -> tuple[np.ndarray, np.ndarray]:
    """Endmembers and abundances that factorise y (L, N): sought in bins of bands, the endmembers then in all
    of them.
    """
    bins = _bins(len(y))
    _, h = unmix(bins @ y, np.maximum(bins @ w, TINY), h, listener.part(0.0, 0.0))
    return np.maximum(spectra_of(y, w, h), TINY), h


def _bins(bands: int) -> np.ndarray:
    """Means over neighbouring bands, (BINS or fewer, bands)."""
    count = min(BINS, bands)
    place = np.arange(bands) * count // bands
    matrix = (np.arange(count)[:, None] == place[None, :]).astype(float)
    return matrix / matrix.sum(axis=1, keepdims=True)


def _nonnegative(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, TINY).astype(float, copy=False)


def _even_shares(count: int, pixels: int) -> np.ndarray:
    return np.full((count, pixels), 1.0 / count)


def _split(abundances: np.ndarray, parts: list[_Part]) -> list[np.ndarray]:
    """The columns of each part."""
    edges = np.cumsum([int(part.seen.sum()) for part in parts])[:-1]
    return np.split(abundances, edges, axis=1)
