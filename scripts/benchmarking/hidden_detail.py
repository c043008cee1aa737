"""Say how well the size of detail that no coarse pixel tells (models/scene/subspace/hidden_detail.py) is met on scenes,
and fit the factor for its doubt.

python scripts/benchmarking/hidden_detail.py resources/configs/hsfusion-base.yaml --data SCENES

The configuration names the scenes: those that weights are trained on, and no others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsfusion.models.errors import HSFusionError
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.subspace.hidden_detail import UNSURE
from hsfusion.models.scene.tiles.spectra import outside_part
from hsfusion.models.training.subspace.config import TrainingConfig, load_config
from hsfusion.models.trials import Case, Fitted, Scene, simulate
from hsfusion.scripts.data.scenes import find_scene, read_scene
from hsfusion.scripts.training.run import COVERED

CASES = tuple(
    Case(f"ratio {ratio}, PSF {fwhm}, {snr_db} dB", ratio=ratio, fwhm=fwhm, snr_db=snr_db)
    for ratio in (2, 4, 8)
    for fwhm in (1.0, 1.6)
    for snr_db in (0.0, 35.0)
)


@dataclass(frozen=True)
class Detail:
    """What lies outside a scene's subspace in one simulated pair: the logarithm of its expected size, over all bands,
    against the true error, and quantiles of the factor by which the expected size would have to grow for twice of it
    to cover an error.
    """

    miss: float
    needed: np.ndarray


def detail_of(scene: Scene, case: Case, components: int) -> Detail:
    """Of one simulated pair whose PSF is known."""
    pair = simulate(scene, case)
    block = whole_block(pair.hsi, pair.msi)
    fitted = Fitted.to(block, pair.sampling, pair.wavelengths, components)
    model, subspace = fitted.scene, fitted.scene.subspace
    told = outside_part(model, block)
    error = pair.truth - subspace.expand(subspace.project(pair.truth)) - told
    expected = model.outside_std / UNSURE
    needed = np.abs(error) / (2 * np.maximum(expected, 1e-30))[:, None, None]
    return Detail(float(np.log(_rms(expected) / _rms(error))), np.quantile(needed, np.linspace(0, 1, 1001)))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((np.asarray(values, np.float64) ** 2).mean()))


def _said(misses: Sequence[float]) -> str:
    low, high = np.quantile(misses, (0.16, 0.84))
    return f"median {np.median(misses):+.2f}, two thirds from {low:+.2f} to {high:+.2f} (logarithms)"


def main() -> int:
    """Print the misses of each scene, and the factor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of scenes")
    arguments = parser.parse_args()
    every: list[Detail] = []
    try:
        config = load_config(arguments.config)
        if not isinstance(config, TrainingConfig):
            raise HSFusionError(f"{arguments.config} is not the configuration of a subspace model.")
        for name in (*config.scenes, *config.held_out):
            scene = read_scene(find_scene(arguments.data, name))
            if len(scene.cube) > config.components:
                own = [detail_of(scene, case, config.components) for case in CASES]
                print(f"{name}: {_said([detail.miss for detail in own])}")
                every += own
    except HSFusionError as error:
        sys.exit(str(error))
    print(f"all: {_said([detail.miss for detail in every])}")
    factor = np.quantile(np.concatenate([detail.needed for detail in every]), COVERED)
    print(
        f"twice the expected size covers {COVERED:.0%} of all errors where it is {factor:.2f} times as large (UNSURE = "
        f"{UNSURE})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
