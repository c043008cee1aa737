"""Methods that solve for a whole image at once, on fixed windows of a scene: memory is bounded, and tiles agree.

Windows start at absolute multiples of a stride (`tiles.fixed_windows`), each is solved whole with a margin around it,
and neighbours are blended. A pixel's value is therefore the same however the scene is cut into tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Degradation, coarse_seen
from ...observation.axis import coarse_centres
from ..block import Block, coarse_samples
from ..laws.closed_forms import column, mix
from ..model import SceneModel
from ..tiles.fixed_windows import Windows
from ..tiles.plan import place_of
from ..window import Window

SMALLEST, SMALLEST_COARSE = 96, 16  # pixels of a window's side: at least so many of the MSI's, and of the HSI's
OVERLAP, MARGIN = 2, 3  # HSI pixels over which windows are blended, and that are solved around each
QUANTILE = 0.999  # of the HSI's values, which becomes one: the papers' parameters are for images between 0 and 1


@dataclass(frozen=True)
class Problem:
    """One window in units of about 0 to 1: y (L, h, w) = X seen through rows (h, H) and cols (w, W), z (l, H, W) =
    response X with response (l, L); no holes, no offset, no displacement. float32.
    """

    y: np.ndarray
    z: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    response: np.ndarray


class Solver(Protocol):
    """What is fitted to a scene and solves one window of it."""

    def __call__(self, problem: Problem, listener: Listener = SILENT) -> np.ndarray:
        """X (L, H, W) of a window, in the units of the problem; the listener may end it between steps."""


@dataclass(frozen=True)
class Units:
    """size: what becomes one in the HSI; gains (l,): what becomes one in each MSI band, its offset taken off."""

    size: float
    gains: np.ndarray

    @classmethod
    def of(cls, spectra: np.ndarray, scene: SceneModel) -> Units:
        """From the HSI's pixels (N, L)."""
        size = max(float(np.quantile(np.abs(spectra), QUANTILE)), 1e-30)
        seen = np.sqrt(((spectra @ scene.spectral_response.T) ** 2).mean(axis=0))
        share = np.sqrt((spectra**2).mean())
        return cls(size, np.maximum(seen / share, 1e-12) * size)


@dataclass(frozen=True)
class Anchored:
    """window(block, core) of a scene by a solver of windows; halo: MSI pixels that a tile must see around its core."""

    scene: SceneModel
    units: Units
    solver: Solver
    windows: Windows
    margin: int
    listener: Listener = SILENT

    @classmethod
    def of(cls, scene: SceneModel, units: Units, solver: Solver, listener: Listener = SILENT) -> Anchored:
        """With windows of the size that the ratio asks for."""
        ratio = scene.coefficients.sampling.ratio
        size = max(SMALLEST, int(np.ceil(SMALLEST_COARSE * ratio)))
        windows = Windows(size, int(np.ceil(OVERLAP * ratio)))
        return cls(scene, units, solver, windows, int(np.ceil(MARGIN * ratio)), listener)

    @property
    def halo(self) -> int:
        """A window that holds one pixel of the core may lie outside of it but for that pixel."""
        return self.windows.size + 2 * self.margin

    def __call__(self, block: Block, core: Window) -> np.ndarray:
        """Spectra (L, rows, cols) of the core."""
        model, size = self.scene.coefficients, self.windows.size
        height, width = shape = model.scene_shape
        weights = self.windows.weights(height), self.windows.weights(width)
        found = np.zeros((len(block.y), *core.shape), np.float32)
        for top in self.windows.touching(core.rows, height):
            for left in self.windows.touching(core.cols, width):
                whole = Window(range(top, min(top + size, height)), range(left, min(left + size, width)))
                part = block.cut(place_of(whole, shape, model.sampling, self.margin))
                cube = self.solver(self.problem(part), self.listener) * np.float32(self.units.size)
                common = whole & core
                weight = np.outer(
                    weights[0][top][: len(whole.rows)][common.inside(whole)[0]],
                    weights[1][left][: len(whole.cols)][common.inside(whole)[1]],
                )
                at = (slice(None), *common.inside(core))
                found[at] += cube[(slice(None), *common.inside(part.place.fine))] * weight.astype(np.float32)
        return found

    def problem(self, block: Block) -> Problem:
        """A block as the solver sees it. Holes are filled first: those of the HSI by interpolation, those of the MSI by
        what the interpolated HSI says. A displaced HSI is interpolated at the centres of its own grid without the
        displacement.
        """
        scene, units = self.scene, self.units
        sampling, shape, fine = scene.coefficients.sampling, scene.coefficients.scene_shape, block.place.fine
        coarse = Window(*coarse_seen(fine.axes, shape, sampling.undisplaced))
        down = Degradation(sampling.undisplaced, shape, *fine.axes, *coarse.axes)
        y, z = block.y, block.z - column(scene.spectral_offset, block.z)
        if sampling.displacement is not None or not (block.y_mask.all() and block.z_mask.all()):
            up, known = block.upsampling(sampling).masked(block.y, block.y_mask)
            up = np.where(known > block.upsampling(sampling).least_support, up, column(scene.subspace.mean, up))
            z = np.where(block.z_mask > 0, z, mix(scene.spectral_response, up))
            if sampling.displacement is not None:
                y = _at_centres(up, fine, coarse, sampling.ratio, (sampling.shift_y, sampling.shift_x))
            else:
                y = np.where(block.y_mask > 0, y, down(up))
        return Problem(
            y=(y / units.size).astype(np.float32),
            z=(z / column(units.gains, z)).astype(np.float32),
            rows=down.rows.astype(np.float32),
            cols=down.cols.astype(np.float32),
            response=(scene.spectral_response * units.size / units.gains[:, None]).astype(np.float32),
        )


def _at_centres(
    image: np.ndarray, fine: Window, coarse: Window, ratio: float, shift: tuple[float, float]
) -> np.ndarray:
    """An image (L, H, W) read linearly at the centres of coarse pixels."""
    rows, cols = (_linear(f, coarse_centres(c, ratio, s)) for f, c, s in zip(fine.axes, coarse.axes, shift))
    return (rows @ image @ cols.T).astype(np.float32)


def _linear(axis: range, position: np.ndarray) -> np.ndarray:
    """Linear interpolation of the pixels of an axis at positions: (positions, pixels)."""
    position = np.clip(position - axis.start, 0.0, len(axis) - 1.0)
    distance = np.abs(position[:, None] - np.arange(len(axis))[None, :])
    return np.maximum(1.0 - distance, 0.0).astype(np.float32)


def seen_spectra(blocks: list[Block], scene: SceneModel) -> np.ndarray:
    """The HSI's pixels (N, L) that both images see."""
    return coarse_samples(blocks, scene.coefficients.sampling).spectra
