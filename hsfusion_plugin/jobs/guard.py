"""The guard: Wald's protocol on blocks of the scene compares a method with the closed forms where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...models.scene.blocks import LEAST_SAMPLES, Block, middle
from ...models.scene.fusion import expand_tile, outside_part
from ...models.scene.model import fit_scene
from ...models.scene.tile import Place
from ...models.scene.tiling import Tile
from ...models.scene.wald import LEAST_SIZE, MARGIN_DB, excess_rmse, reduced_block, reduced_sampling, verdict
from .estimation import BLOCK, Estimates
from .methods import CLOSED_FORMS, Arrays, ClosedForm, Method
from .progress import Progress
from .published import Published

LARGEST_BLOCK = 96  # coarse pixels: a whole scene up to this size is checked as it is


@dataclass(frozen=True)
class Verdict:
    """scores: method -> RMSE beyond noise at reduced resolution, in the HSI's units; {} where the scene is too small to decide.

    residual (L,): RMSE per band of the method that is shipped; gain in dB of the guarded method over the best closed form.
    """

    shipped: str
    scores: dict[str, float]
    residual: np.ndarray | None
    gain: float

    def sentence(self, guarded: str) -> str:
        """What the check found, for the log and the report."""
        if not self.scores:
            return (
                f"Not decidable: the scene has fewer than {LEAST_SIZE} x {LEAST_SIZE} HSI pixels in one piece, so nothing could be checked "
                f"at reduced resolution; {self.shipped} was used."
            )
        errors = ", ".join(
            f"{name} {value:.4g}" for name, value in sorted(self.scores.items(), key=lambda item: item[1])
        )
        if self.gain >= 0:
            found = f"{guarded} is {self.gain:.2f} dB better than the best closed form and was used"
        elif self.shipped == guarded:
            found = f"{guarded} is {-self.gain:.2f} dB worse than the best closed form, which is too little to tell (up to {MARGIN_DB:g} dB), and was used"
        else:
            found = f"{guarded} is {-self.gain:.2f} dB worse than {self.shipped}, so {self.shipped} was used instead"
        return f"Checked at reduced resolution (Wald's protocol): {found}. RMSE beyond noise: {errors}."


def decide(
    estimates: Estimates, guarded: Method | Published, wavelengths: np.ndarray | None, progress: Progress
) -> Verdict:
    """Run `guarded` and every closed form one scale down, at the scene's own noise, and keep `guarded` unless a closed form is clearly better.

    Where the scene is too small the average of LOC and MAP is chosen.
    """
    scene, sampling = estimates.scene, estimates.sampling
    noise = scene.subspace.band_noise
    pairs = [
        (block, reduced_block(block, sampling, noise, scene.msi_noise, seed))
        for seed, block in enumerate(_small_blocks(estimates))
    ]
    usable = [
        (block.y, reduced) for block, reduced in pairs if reduced is not None and reduced.y_mask.sum() >= LEAST_SAMPLES
    ]
    if not usable:
        return Verdict("average", {}, None, 0.0)
    reduced_scene = fit_scene(
        [reduced for _, reduced in usable],
        reduced_sampling(sampling),
        scene.subspace.components,
        scene.subspace,
        wavelengths,
    )
    errors: dict[str, np.ndarray] = {}
    count = 0.0
    for number, (truth, block) in enumerate(usable):
        progress.check()
        valid = block.z_mask > 0
        count += valid.sum()
        coefficients = replace(reduced_scene.coefficients, scene_shape=block.scene_shape)
        local = replace(reduced_scene, coefficients=coefficients)
        place = Place(block.fine_rows, block.fine_cols, block.coarse_rows, block.coarse_cols)
        tile = Tile(block.fine_rows, block.fine_cols, place)
        z = local.standardise(block.z) * block.z_mask
        y = (scene.subspace.project(block.y) * block.y_mask).astype(np.float32)
        outside = outside_part(local, block.y, block.y_mask, z, block.z_mask, place)
        wanted = truth[:, : block.scene_shape[0], : block.scene_shape[1]]
        for method in (guarded, *(ClosedForm(name) for name in CLOSED_FORMS)):
            if isinstance(method, Published):
                fused, _ = method.spectra(block, block.fine_rows, block.fine_cols, coefficients.sampling)
            else:
                x, _ = method(Arrays(y, z, block.y_mask, block.z_mask), coefficients, tile)
                fused = expand_tile(local, x, outside)
            square = (fused - wanted)[:, valid].astype(np.float64) ** 2
            errors[method.name] = errors.get(method.name, 0.0) + square.sum(axis=1)
        progress.step((number + 1) / len(usable))
    scores = {name: excess_rmse(e / count, noise) for name, e in errors.items()}
    shipped, gain = verdict(scores, guarded.name)
    return Verdict(shipped, scores, np.sqrt(errors[shipped] / count), gain)


def _small_blocks(estimates: Estimates) -> list[Block]:
    """The blocks of the estimates, a large single one cut to its middle."""
    return [
        block if max(block.y.shape[-2:]) <= LARGEST_BLOCK else middle(block, BLOCK, estimates.sampling.ratio)
        for block in estimates.blocks
    ]
