"""The start: every whole-pixel shift of the HSI's grid and a fan of turns, judged by how much of the MSI the HSI's
components leave.

Nothing local is followed, so that no local optimum can catch it. All shifts of a turn are done at once: the sums of a
regression over the pixels that both images hold are correlations of the two images' products, which the Fourier
transform gives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....listener import SILENT, Listener
from ....observation import Degradation, Displacement, Sampling, fine_seen
from ...block import WHOLE_SUPPORT, Block
from ...subspace.subspace import fit_subspace
from ...window import Place, Window

SEARCHED = 10  # HSI pixels to each side ...
ACCEPTED = 8  # ... of which so many are corrected
TURNS = np.arange(-7, 8) * 0.5  # degrees
LARGEST_TURN = 3.0
LARGEST = 80  # HSI pixels per axis, about the scene's middle, that are compared
REACH = 3.0  # HSI pixels around a centre that the MSI is taken from
COMPONENTS = 6
MOST_BANDS = 4
LEAST_OVERLAP = 0.35  # share of the valid HSI pixels that a shift must leave
LEAST_PIXELS = 80
CERTAIN = 0.1  # by which the mean log of the unexplained share must be below that of every other place ...
RELATED = -0.15  # ... and its value at most, for the images to have something in common


@dataclass(frozen=True)
class Start:
    """shift (y, x): MSI pixels beside that of the given sampling, whole HSI pixels; turn: degrees clockwise.

    certain: whether this place is better than every other beyond doubt; value, elsewhere: mean over bands of the log of
    the share of the MSI's variance that the HSI leaves, here and at the best other place; at_limit: the place lies at
    the end of what is accepted.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    certain: bool = False
    value: float = 0.0
    elsewhere: float = 0.0
    at_limit: bool = False

    @property
    def moved(self) -> bool:
        """Whether this is another place than the given one."""
        return self.certain and (self.shift != (0.0, 0.0) or self.turn != 0.0)


def search(
    blocks: list[Block],
    sampling: Sampling,
    free: tuple[bool, bool] = (True, True),
    turn: bool = True,
    listener: Listener = SILENT,
) -> Start:
    """The best place of all; free: whether the shift (y, x) is sought; a fixed one stays as `sampling` has it."""
    blocks = _about_the_middle(blocks)
    if sum(int((block.y_mask > 0).sum()) for block in blocks) < LEAST_PIXELS:
        return Start()
    images = [_HsiImage.of(block, coefficients) for block, coefficients in zip(blocks, _components(blocks))]
    mean, scale, bands = _standard(blocks)
    least = max(LEAST_OVERLAP * sum(image.count for image in images), LEAST_PIXELS)
    turns = TURNS if turn else np.zeros(1)
    values = np.empty((len(turns), 2 * SEARCHED + 1, 2 * SEARCHED + 1))
    for number, angle in enumerate(turns):
        listener.check()
        sums = [
            image.sums(*_msi_image(block, sampling, float(angle), mean, scale, bands))
            for image, block in zip(images, blocks)
        ]
        values[number] = _unexplained(*(sum(part) for part in zip(*sums)), least)  # type: ignore[arg-type]
    rows = slice(None) if free[0] else slice(SEARCHED, SEARCHED + 1)
    cols = slice(None) if free[1] else slice(SEARCHED, SEARCHED + 1)
    return _judged(values[:, rows, cols], turns, free, sampling.ratio)


def _about_the_middle(blocks: list[Block]) -> list[Block]:
    """The HSI pixels of each block within LARGEST of the scene's middle; a turn carries those beyond too far
    to tell.
    """
    span = [_span(blocks, name) for name in ("coarse_rows", "coarse_cols")]
    middle = [range(max(a, (a + b - LARGEST) // 2), min(b, (a + b + LARGEST) // 2)) for a, b in span]
    found = []
    for block in blocks:
        coarse = Window(*middle) & block.place.coarse
        if coarse.pixels:
            found.append(block.cut(Place(block.place.fine, coarse)))
    return found or blocks


def _span(blocks: list[Block], name: str) -> tuple[int, int]:
    ranges = [getattr(block, name) for block in blocks]
    return min(r.start for r in ranges), max(r.stop for r in ranges)


def _components(blocks: list[Block]) -> list[np.ndarray]:
    spectra = np.concatenate([block.y[:, block.y_mask > 0].T for block in blocks])
    subspace = fit_subspace(spectra, min(COMPONENTS, max(2, len(spectra) // 30)))
    return [subspace.project(block.y) for block in blocks]


def _standard(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Mean and scale of the MSI's bands, and which of them are compared."""
    pixels = np.concatenate([block.z[:, block.z_mask > 0] for block in blocks], axis=1).astype(np.float64)
    bands = sorted({int(n) for n in np.linspace(0, len(pixels) - 1, min(len(pixels), MOST_BANDS)).round()})
    pixels = pixels[bands]
    return pixels.mean(axis=1), np.maximum(pixels.std(axis=1), 1e-12), bands


def _msi_image(
    block: Block, sampling: Sampling, turn: float, mean: np.ndarray, scale: np.ndarray, bands: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """D z (l, h + 2 S, w + 2 S) on the HSI's grid, turned, and SEARCHED pixels around the block, with bool where it is
    known.
    """
    turned = replace(sampling, displacement=Displacement(block.scene_shape, turn=turn))
    rows, cols = (
        range(window.start - SEARCHED, window.stop + SEARCHED) for window in (block.coarse_rows, block.coarse_cols)
    )
    seen = fine_seen((rows, cols), block.scene_shape, turned, int(np.ceil(REACH * sampling.ratio)))
    fine = [range(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(seen, (block.fine_rows, block.fine_cols))]
    at = tuple(slice(f.start - w.start, f.stop - w.start) for f, w in zip(fine, (block.fine_rows, block.fine_cols)))
    down = Degradation(turned, block.scene_shape, fine[0], fine[1], rows, cols)
    z = ((block.z[bands][(slice(None), *at)] - mean[:, None, None]) / scale[:, None, None]).astype(np.float32)
    low, support = down.masked(z, block.z_mask[at].astype(np.float32))
    known = (support > WHOLE_SUPPORT) & down.whole_psf
    return low.astype(np.float64), known


@dataclass(frozen=True)
class _HsiImage:
    """The HSI's side of the correlations: transforms of its mask times 1 and components u (n, h, w), and times their
    products (n n, h, w).
    """

    shape: tuple[int, int]
    count: int
    single: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, block: Block, coefficients: np.ndarray) -> _HsiImage:
        mask = (block.y_mask > 0).astype(np.float64)
        u = np.concatenate([mask[None], coefficients * mask])
        shape = tuple(n + 2 * SEARCHED for n in mask.shape)
        n = len(u)
        pairs = np.stack([u[a] * u[b] for a in range(n) for b in range(a, n)])
        single, products = (np.conj(np.fft.rfft2(image, shape)) for image in (u, pairs))
        return cls(shape, int(mask.sum()), single, products)  # type: ignore[arg-type]

    def sums(self, low: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every shift (m, m): gram (m, m, n, n), cross (m, m, n, l) and power (m, m, l) of the regression of `low`
        on u.
        """
        weight = np.fft.rfft2(known.astype(np.float64))
        given = np.fft.rfft2(low * known)
        square = np.fft.rfft2(low**2 * known)
        n, span = len(self.single), slice(0, 2 * SEARCHED + 1)

        def correlated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.fft.irfft2(a * b, self.shape)[..., span, span]

        upper = np.moveaxis(correlated(self.products, weight), 0, -1)
        gram = np.empty((*upper.shape[:2], n, n))
        first, second = np.triu_indices(n)
        gram[..., first, second] = upper
        gram[..., second, first] = upper
        cross = np.moveaxis(correlated(self.single[:, None], given[None]), (0, 1), (-2, -1))
        power = np.moveaxis(correlated(self.single[:1], square), 0, -1)
        return gram, cross, power


def _unexplained(gram: np.ndarray, cross: np.ndarray, power: np.ndarray, least: float) -> np.ndarray:
    """(m, m): mean over bands of the log of the unexplained share, degrees of freedom taken off; infinite where too few
    pixels overlap.
    """
    count, n = gram[..., 0, 0], gram.shape[-1]
    few = count < max(least, 2 * n)
    ridge = 1e-8 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] * np.eye(n) + 1e-9 * np.eye(n)
    explained = (cross * np.linalg.solve(gram + ridge, cross)).sum(axis=-2)
    total = power - cross[..., 0, :] ** 2 / np.maximum(count, 1.0)[..., None]
    rest = np.maximum(power - explained, 1e-7 * np.maximum(total, 1e-12))
    freedom = np.maximum(count - n, 1.0) / np.maximum(count - 1.0, 1.0)
    found = np.log(rest / np.maximum(total, 1e-12)).mean(axis=-1) - np.log(freedom)
    return np.where(few, np.inf, found)


def _judged(values: np.ndarray, turns: np.ndarray, free: tuple[bool, bool], ratio: float) -> Start:
    """The least value, if it is far below all that lies two HSI pixels away or more."""
    if not np.isfinite(values).any():
        return Start()
    best = np.unravel_index(int(np.argmin(values)), values.shape)
    sides = [np.arange(n) - n // 2 for n in values.shape[1:]]
    near = np.maximum(*np.meshgrid(*(np.abs(side - side[b]) for side, b in zip(sides, best[1:])), indexing="ij")) <= 2
    away = values[:, ~near]
    away = away[np.isfinite(away)]
    if away.size == 0:  # nothing to compare with: the shift is given
        away = values[np.isfinite(values)].max(keepdims=True)
    value, elsewhere = float(values[best]), float(away.min())
    certain = value < RELATED and value < elsewhere - CERTAIN
    place = [int(side[b]) for side, b in zip(sides, best[1:])]
    turn = float(turns[best[0]])
    still = (int(np.argmin(np.abs(turns))), *(n // 2 for n in values.shape[1:]))
    if max(map(abs, place)) <= 1 and value > values[still] - CERTAIN / 2:
        place, turn = [0, 0], 0.0  # within reach of the refinement, and no better than where the grids lie
    angle = np.radians(turn)
    shift_y = (place[0] * np.cos(angle) + place[1] * np.sin(angle)) * ratio
    shift_x = (place[1] * np.cos(angle) - place[0] * np.sin(angle)) * ratio
    at_limit = certain and (max(map(abs, place)) > ACCEPTED or abs(turn) > LARGEST_TURN)
    return Start((float(shift_y), float(shift_x)), turn, certain, value, elsewhere, bool(at_limit))
