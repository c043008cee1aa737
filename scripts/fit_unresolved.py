"""Fit the law of detail that no coarse pixel tells (models/scene/unresolved.py) to scenes, and say how well it meets one that was left out.

python scripts/fit_unresolved.py resources/configs/hsfusion-base.yaml --data SCENES

The configuration names the scenes: those that weights are trained on, and no others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _scenes import find_scene, read_scene
from _training import COVERED

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Sampling
from hsfusion.models.scene.blocks import coarse_samples, whole_block
from hsfusion.models.scene.fusion import outside_part
from hsfusion.models.scene.unresolved import LAW, UNSURE, Law, fine_std
from hsfusion.models.training.config import TrainingConfig, load_config
from hsfusion.models.training.validation import Case, Fitted, Scene, simulate

CASES = tuple(
    Case(f"ratio {ratio}, PSF {fwhm}, {snr_db} dB", ratio=ratio, fwhm=fwhm, snr_db=snr_db)
    for ratio in (2, 4, 8)
    for fwhm in (1.0, 1.6)
    for snr_db in (0.0, 35.0)
)


@dataclass(frozen=True)
class Detail:
    """What lies outside a scene's subspace: its coarse means (L, h, w) beyond the regression, the sampling, and how far the fused part is off.

    needed: quantiles of the factor by which the bundled law's median would have to grow for twice the size to cover an error.
    """

    maps: np.ndarray
    sampling: Sampling
    error: float
    needed: np.ndarray

    def miss(self, law: Law) -> float:
        """Logarithm of the size that the law gives, over all bands, against the true one."""
        return float(np.log(_rms(fine_std([self.maps], self.sampling, law) / UNSURE) / self.error))


def detail_of(scene: Scene, case: Case, components: int) -> Detail:
    """Of one simulated pair whose PSF is known."""
    pair = simulate(scene, case)
    block = whole_block(pair.hsi, pair.msi)
    fitted = Fitted.to(block, pair.sampling, components=components)
    model, subspace = fitted.scene, fitted.scene.subspace
    samples = coarse_samples([block], pair.sampling)
    rest = samples.spectra - subspace.expand(subspace.project(samples.spectra.T)).T
    rest = rest - (samples.low - model.z_mean) / model.z_scale @ model.outside.T
    maps = np.full(pair.hsi.shape, np.nan)
    maps[:, samples.valid[0]] = (rest - rest.mean(axis=0)).T
    told = outside_part(model, block.y, block.y_mask, fitted.z, block.z_mask, fitted.place)
    error = pair.truth - subspace.expand(subspace.project(pair.truth)) - told
    needed = np.abs(error) / (2 * np.maximum(model.outside_std, 1e-30) / UNSURE)[:, None, None]
    return Detail(maps, pair.sampling, _rms(error), np.quantile(needed, np.linspace(0, 1, 1001)))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((np.asarray(values, np.float64) ** 2).mean()))


def fit(details: list[Detail]) -> Law:
    """The law with the least mean of the logarithms' absolute misses: a scene of a few coarse pixels may miss by anything."""
    start = [LAW.decay, LAW.steepness, LAW.slope]
    limits = [(0.0, 6.0), (0.0, 6.0), (0.0, 1.0)]
    found = minimize(
        lambda p: np.mean([abs(d.miss(Law(*p))) for d in details]), start, method="Nelder-Mead", bounds=limits
    )
    return Law(*(round(float(value), 2) for value in found.x))


def _said(misses: Sequence[float] | np.ndarray) -> str:
    low, high = np.quantile(misses, (0.16, 0.84))
    return f"median {np.median(misses):+.2f}, two thirds from {low:+.2f} to {high:+.2f} (logarithms)"


def main() -> int:
    """Print the law, and its misses for each scene with a law that was fitted without it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of scenes")
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config)
        if not isinstance(config, TrainingConfig):
            raise HSFusionError(f"{arguments.config} is not the configuration of a subspace model.")
        details: dict[str, list[Detail]] = {}
        for name in (*config.scenes, *config.held_out):
            scene = read_scene(find_scene(arguments.data, name))
            if len(scene.cube) > config.components:
                details[name] = [detail_of(scene, case, config.components) for case in CASES]
    except HSFusionError as error:
        sys.exit(str(error))
    every = [detail for scene in details.values() for detail in scene]
    print(f"all scenes: {fit(every)}")
    misses = []
    for name, own in details.items():
        law = fit([detail for other, scene in details.items() if other != name for detail in scene])
        misses.append([detail.miss(law) for detail in own])
        print(f"{name}: {_said(misses[-1])}, left out of the fit")
    print(
        f"left out, all: {_said(np.concatenate(misses))}; with the bundled {LAW}: {_said([d.miss(LAW) for d in every])}"
    )
    factor = np.quantile(np.concatenate([detail.needed for detail in every]), COVERED)
    print(
        f"twice the bundled law covers {COVERED:.0%} of all errors where it is {factor:.2f} times its median (UNSURE = {UNSURE})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
