"""A scene at reduced resolution (Wald's protocol): its blocks one scale down, where the HSI is the truth, and any
method run on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from ...listener import SILENT, Listener
from ...observation import Sampling
from ..block import LEAST_SAMPLES, Block, coarse_samples
from ..methods.classical import fit_full_band
from ..methods.names import CLOSED_FORMS, GLOBAL
from ..methods.subspace import ClosedForms
from ..model import SceneModel, fit_scene
from ..subspace.subspace import Subspace, fit_subspace
from ..tiles.spectra import expand_tile, outside_part
from ..window import Window
from .wald import reduced_block, reduced_sampling


class Answer(Protocol):
    """Coefficients x (K, rows, cols), or spectra (L, rows, cols) where x is None."""

    x: np.ndarray | None
    spectra: np.ndarray | None


class Method(Protocol):
    """Whatever fuses a block of a scene in the rasters' own units."""

    name: str

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """The core's pixels."""


@dataclass
class ReducedBlock:
    """One block one scale down, a scene of its own: `truth` (L, H, W) is the HSI itself, `mask` bool (H, W) where it is
    compared.
    """

    block: Block
    truth: np.ndarray
    scene: SceneModel

    @property
    def mask(self) -> np.ndarray:
        """Pixels that both images have."""
        return self.block.z_mask > 0

    @cached_property
    def outside(self) -> np.ndarray:
        """(L, H, W): what every method in coefficients adds outside the subspace."""
        return outside_part(self.scene, self.block)

    def interpolated(self) -> np.ndarray:
        """The calibration row of every table: cubic interpolation of the HSI (L, H, W)."""
        return self.block.interpolated(self.scene.coefficients.sampling)

    def fused(self, method: Method) -> np.ndarray:
        """Spectra (L, H, W) by any method."""
        answer = method.fuse(self.block, self.scene, self.block.place.fine)
        return self.bounded(answer.spectra if answer.x is None else expand_tile(self.scene, answer.x, self.outside))

    def closed_forms(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and spectra (L, H, W) of every closed form, the MSI's noise filtered, sooner than one by one."""
        forms = ClosedForms.of(self.scene.standardised(self.block), self.scene.coefficients, denoise=True)
        for name in CLOSED_FORMS:
            yield name, self.bounded(expand_tile(self.scene, forms.named(name), self.outside))

    def bounded(self, spectra: np.ndarray) -> np.ndarray:
        """As they would be written."""
        spectra = np.array(spectra, np.float32)
        self.scene.bounds.apply(spectra, self.block.place.fine, self.block, self.scene.coefficients.sampling)
        return spectra


@dataclass
class ReducedScene:
    """The scene model of the reduced scene and its blocks; full: the scene model at full resolution, from whose blocks
    they were made.

    known: wavelengths (L,) and nominal response (l, L) that it is fitted with, each or None.
    """

    full: SceneModel
    full_blocks: Sequence[Block]
    scene: SceneModel
    blocks: list[ReducedBlock]
    known: tuple[np.ndarray | None, np.ndarray | None]

    @classmethod
    def of(
        cls,
        full: SceneModel,
        blocks: Sequence[Block],
        wavelengths: np.ndarray | None = None,
        prior_response: np.ndarray | None = None,
        listener: Listener = SILENT,
    ) -> ReducedScene | None:
        """Reduce the blocks at the scene's own noise and fit what the methods need; None where the blocks are too small
        to tell.

        The listener may end the work between the steps.
        """
        usable = []
        for seed, block in enumerate(blocks):
            listener.check()
            sampling = full.coefficients.sampling
            reduced = reduced_block(block, sampling, full.subspace.band_noise, full.msi_noise, seed)
            if reduced is not None and reduced.y_mask.sum() >= LEAST_SAMPLES:
                rows, cols = reduced.scene_shape
                usable.append((reduced, block.y[:, :rows, :cols]))
        if not usable:
            return None
        return cls._fitted(full, blocks, usable, full.subspace, (wavelengths, prior_response), listener)

    @classmethod
    def _fitted(
        cls,
        full: SceneModel,
        full_blocks: Sequence[Block],
        pairs: list[tuple[Block, np.ndarray]],
        subspace: Subspace,
        known: tuple[np.ndarray | None, np.ndarray | None],
        listener: Listener,
    ) -> ReducedScene:
        sampling = reduced_sampling(full.coefficients.sampling)
        scene = fit_scene(
            [block for block, _ in pairs], sampling, subspace.components, subspace, *known, listener=listener
        )
        blocks = [ReducedBlock(block, truth, _placed(scene, block)) for block, truth in pairs]
        return cls(full, full_blocks, scene, blocks, known)

    @property
    def sampling(self) -> Sampling:
        """Of the reduced scene."""
        return self.scene.coefficients.sampling

    def with_components(self, components: int, listener: Listener = SILENT) -> ReducedScene:
        """The same in a subspace of another size, for a model that was made for it; the listener may end the work."""
        if components == self.scene.subspace.components:
            return self
        spectra = coarse_samples(list(self.full_blocks), self.full.coefficients.sampling).spectra
        pairs = [(reduced.block, reduced.truth) for reduced in self.blocks]
        subspace = fit_subspace(spectra, components, listener=listener)
        return self._fitted(self.full, self.full_blocks, pairs, subspace, self.known, listener)

    def full_band(self, name: str, listener: Listener) -> list[np.ndarray]:
        """Spectra (L, H, W) of each block by one of FULL_BAND; those of GLOBAL solve each block on its own."""
        fused = []
        if name not in GLOBAL:
            method = fit_full_band(name, [reduced.block for reduced in self.blocks], self.scene, _no_whole, listener)
        for number, reduced in enumerate(self.blocks):
            block = reduced.block
            if name in GLOBAL:
                part = listener.part(number / len(self.blocks), (number + 1) / len(self.blocks))
                method = fit_full_band(name, [block], reduced.scene, lambda block=block: block, part)
            fused.append(reduced.bounded(method.window(block, block.place.fine)))
            listener.advance((number + 1) / len(self.blocks))
        return fused


def _placed(scene: SceneModel, block: Block) -> SceneModel:
    """The scene model of the scene that this block is."""
    return replace(scene, coefficients=replace(scene.coefficients, scene_shape=block.scene_shape))


def _no_whole() -> Block:
    raise RuntimeError("a method in tiles never asks for the whole scene")
