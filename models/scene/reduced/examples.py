"""A scene one scale down as examples with a known answer: both images reduced, the HSI as truth, parts of it
held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import HSFusionError
from ...listener import SILENT, Listener
from ...observation import Sampling
from ..block import LEAST_SAMPLES, Block
from ..model import CoefficientModel, SceneModel, fit_scene
from ..window import Place
from .held_out import GAP, held_out
from .wald import reduced_block, reduced_sampling

IMAGES = ("y", "z", "y_mask", "z_mask", "truth", "roles")
LEAST_SIZE = 40  # HSI pixels per axis, below which no part of a scene can be held out in earnest
LEAST_GAP = 4  # HSI pixels between what is learnt from and what is held out


@dataclass(frozen=True)
class Reduced:
    """A block one scale down: y (K, h, w), z (l, H, W) standardised, masks, truth (K, H, W) of the coefficients, roles
    (H, W) of `splits`.
    """

    model: CoefficientModel
    place: Place
    y: np.ndarray
    z: np.ndarray
    y_mask: np.ndarray
    z_mask: np.ndarray
    truth: np.ndarray
    roles: np.ndarray


def reduced_examples(
    blocks: list[Block],
    scene: SceneModel,
    sampling: Sampling,
    wavelengths: np.ndarray | None = None,
    seed: int = 0,
    listener: Listener = SILENT,
) -> tuple[list[Reduced], int]:
    """The blocks of a scene reduced from several phases of their grid, each an example of its own, and how many have
    the first phase.

    Those come first and are the ones to judge by. HSFusionError where the scene is too small. The listener may end it.
    """
    size = max(min(block.y.shape[-2:]) for block in blocks)
    if size < LEAST_SIZE:
        raise HSFusionError(
            f"The rasters overlap in {blocks[0].y.shape[-1]} x {blocks[0].y.shape[-2]} HSI pixels, and adaptation "
            f"needs {LEAST_SIZE} x {LEAST_SIZE} "
            "at least, so that parts can be kept to judge by: use the model as it is."
        )
    gap, half = max(LEAST_GAP, int(np.ceil(sampling.ratio))), round(sampling.ratio / 2)
    roles = held_out([block.y.shape[-2:] for block in blocks], gap, seed)
    examples: list[Reduced] = []
    judged = 0
    for phase in ((0, 0), (half, half), (0, half), (half, 0)):
        listener.check()
        examples += _of_phase(blocks, roles, phase, scene, sampling, wavelengths, seed + len(examples), listener)
        judged = judged or len(examples)
    if not judged:
        raise HSFusionError(
            "Hardly a pixel of the scene is valid in both rasters one scale down: use the model as it is."
        )
    return examples, judged


def coefficient_metric(scene: SceneModel) -> tuple[np.ndarray, float]:
    """(gram (K, K), noise): dx' gram dx is the squared spectral error of coefficients dx, `noise` that of the HSI's own
    noise within them.
    """
    basis = scene.subspace.basis
    gram = basis.T @ basis
    return gram, float((scene.subspace.coefficient_noise**2 * np.diag(gram)).sum())


def _of_phase(
    blocks: list[Block],
    roles: list[np.ndarray],
    phase: tuple[int, int],
    scene: SceneModel,
    sampling: Sampling,
    wavelengths: np.ndarray | None,
    seed: int,
    listener: Listener,
) -> list[Reduced]:
    found = []
    for number, (block, role) in enumerate(zip(blocks, roles)):
        listener.check()
        part = _from(block, phase)
        reduced = reduced_block(part, sampling, scene.subspace.band_noise, scene.msi_noise, seed + number)
        if reduced is not None and reduced.y_mask.sum() >= LEAST_SAMPLES:
            found.append((part, reduced, role[phase[0] :, phase[1] :]))
    if not found:
        return []
    local = fit_scene(
        [reduced for _, reduced, _ in found],
        reduced_sampling(sampling),
        scene.subspace.components,
        scene.subspace,
        wavelengths,
        listener=listener,
    )
    return [_example(part, reduced, role, local) for part, reduced, role in found]


def _from(block: Block, phase: tuple[int, int]) -> Block:
    """The block without its first rows and columns of coarse pixels, so that the reduced grid falls elsewhere."""
    top, left = phase
    return replace(
        block,
        y=block.y[:, top:, left:],
        y_mask=block.y_mask[top:, left:],
        place=replace(block.place, coarse=block.place.coarse.part(slice(top, None), slice(left, None))),
    )


def _example(part: Block, reduced: Block, role: np.ndarray, scene: SceneModel) -> Reduced:
    height, width = reduced.scene_shape
    known = (reduced.z_mask > 0) & (part.y_mask[:height, :width] > 0)
    seen = scene.standardised(reduced)
    return Reduced(
        replace(scene.coefficients, scene_shape=reduced.scene_shape),
        reduced.place,
        seen.y,
        seen.z,
        reduced.y_mask.astype(np.float32),
        reduced.z_mask.astype(np.float32),
        scene.subspace.project(part.y[:, :height, :width]).astype(np.float32),
        np.where(known, role[:height, :width], GAP).astype(np.uint8),
    )
