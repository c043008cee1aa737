"""Wald's protocol on the pair itself: blocks of the scene one scale down, and any method run on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ....models.scene.block import LEAST_SAMPLES, Block, coarse_samples
from ....models.scene.methods.classical import GLOBAL, fit_full_band
from ....models.scene.methods.subspace import ClosedForms
from ....models.scene.model import SceneModel, fit_scene
from ....models.scene.reduced.wald import reduced_block, reduced_sampling
from ....models.scene.subspace.subspace import Subspace, fit_subspace
from ....models.scene.tiles.spectra import expand_tile, outside_part
from ..methods.closed_form import CLOSED_FORMS, ClosedForm
from ..methods.method import Method
from ..pair.estimates import Estimates

Tick = Callable[[float], None]


@dataclass
class Stage:
    """One block one scale down, a scene of its own: `truth` (L, H, W) is the HSI itself, `mask` bool (H, W) where it is compared."""

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
        return answer.spectra if answer.x is None else expand_tile(self.scene, answer.x, self.outside)

    def closed_forms(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and spectra (L, H, W) of every closed form, the MSI's noise filtered, sooner than one by one."""
        forms = ClosedForms.of(self.scene.standardised(self.block), self.scene.coefficients, denoise=True)
        for name in CLOSED_FORMS:
            yield name, expand_tile(self.scene, ClosedForm(name).of(forms), self.outside)


@dataclass
class Rehearsal:
    """The scene model of the reduced scene and its stages; `known`: wavelengths and nominal response that it was fitted with."""

    estimates: Estimates
    scene: SceneModel
    stages: list[Stage]
    known: tuple[np.ndarray | None, np.ndarray | None]

    @classmethod
    def of(
        cls,
        estimates: Estimates,
        blocks: Sequence[Block],
        wavelengths: np.ndarray | None = None,
        prior_response: np.ndarray | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Rehearsal | None:
        """Reduce the blocks at the scene's own noise and fit what the methods need; None where the blocks are too small to tell.

        `check` is called between the steps and may raise to end the work.
        """
        scene, sampling = estimates.scene, estimates.sampling
        pairs = []
        for seed, block in enumerate(blocks):
            check()
            pairs.append((block.y, reduced_block(block, sampling, scene.subspace.band_noise, scene.msi_noise, seed)))
        usable = [(y, reduced) for y, reduced in pairs if reduced is not None and reduced.y_mask.sum() >= LEAST_SAMPLES]
        if not usable:
            return None
        truths, reduced = [y[:, : b.scene_shape[0], : b.scene_shape[1]] for y, b in usable], [b for _, b in usable]
        return cls._fitted(estimates, truths, reduced, scene.subspace, (wavelengths, prior_response), check)

    @classmethod
    def _fitted(
        cls,
        estimates: Estimates,
        truths: list[np.ndarray],
        blocks: list[Block],
        subspace: Subspace,
        known: tuple[np.ndarray | None, np.ndarray | None],
        check: Callable[[], None] = lambda: None,
    ) -> Rehearsal:
        sampling = reduced_sampling(estimates.sampling)
        scene = fit_scene(blocks, sampling, subspace.components, subspace, *known, check=check)
        stages = [Stage(block, truth, _placed(scene, block)) for truth, block in zip(truths, blocks)]
        return cls(estimates, scene, stages, known)

    def with_components(self, components: int) -> Rehearsal:
        """The same in a subspace of another size, for a model that was made for it."""
        if components == self.scene.subspace.components:
            return self
        spectra = coarse_samples(self.estimates.blocks, self.estimates.sampling).spectra
        truths, blocks = [stage.truth for stage in self.stages], [stage.block for stage in self.stages]
        return self._fitted(self.estimates, truths, blocks, fit_subspace(spectra, components), self.known)

    def full_band(self, name: str, tick: Tick) -> list[np.ndarray]:
        """Spectra (L, H, W) of each stage by gsa, sfim-hs, cnmf or hysure; the last two solve each stage on its own."""
        fused = []
        if name not in GLOBAL:
            method = fit_full_band(name, [stage.block for stage in self.stages], self.scene, _no_whole, tick)
        for number, stage in enumerate(self.stages):
            block = stage.block
            if name in GLOBAL:
                share = _share_of(tick, number, len(self.stages))
                method = fit_full_band(name, [block], stage.scene, lambda block=block: block, share)
            fused.append(method.window(block, block.place.fine))
            tick((number + 1) / len(self.stages))
        return fused


def _placed(scene: SceneModel, block: Block) -> SceneModel:
    """The scene model of the scene that this block is."""
    return replace(scene, coefficients=replace(scene.coefficients, scene_shape=block.scene_shape))


def _share_of(tick: Tick, number: int, count: int) -> Tick:
    return lambda share: tick((number + share) / count)


def _no_whole() -> Block:
    raise RuntimeError("a method in tiles never asks for the whole scene")
