"""How well the MSI's noise is told from texture on simulated pairs of real scenes: estimated against true standard
deviations, per SNR and number of bands.

python scripts/benchmarking/noise.py --scenes FOLDER [--names a,b,c] [--output FILE.md]

"Laplacian" is Immerkaer's estimate on the quietest patches of each band alone; the others are what hsfusion takes as
noise, and as what keeps the MSI from being followed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import noise_std
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.sensors.response import msi_noise
from hsfusion.models.trials import FOUR_BANDS, PANCHROMATIC, Case, Fitted, Scene, box_response, simulate
from hsfusion.scripts.data.scenes import hyperspectral_scenes

CASES = tuple(
    Case(f"{title}, {f'{snr:g} dB' if snr else 'clean'}", bands=bands, snr_db=snr)
    for title, bands in (("4 bands", FOUR_BANDS), ("panchromatic", PANCHROMATIC))
    for snr in (25.0, 35.0, 0.0)
)
ESTIMATES: dict[str, Callable[[Fitted], np.ndarray]] = {
    "Laplacian": lambda fitted: msi_noise([fitted.block]),
    "noise": lambda fitted: fitted.scene.msi_noise,
    "followed to": lambda fitted: fitted.scene.coefficients.z_std * fitted.scene.z_scale,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of reference rasters")
    parser.add_argument(
        "--names", default="", help="scenes by file name without suffix; default: all with 20 bands or more"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser.parse_args()


def against_truth(scene: Scene, case: Case) -> dict[str, np.ndarray]:
    """Each estimate (l,) over the true std of the noise or, where there is none, over the MSI's own spread."""
    pair = simulate(scene, case)
    clean = np.tensordot(box_response(scene.wavelengths, case.bands), pair.truth.astype(np.float64), axes=1)
    true = noise_std((clean**2).mean(axis=(1, 2)), case.snr_db) if case.snr_db else clean.std(axis=(1, 2))
    fitted = Fitted.to(whole_block(pair.hsi, pair.msi), pair.sampling, pair.wavelengths)
    return {name: estimate(fitted) / true for name, estimate in ESTIMATES.items()}


def table(scenes: dict[str, Scene]) -> list[str]:
    """Markdown: median, lowest and highest of each estimate per case."""
    lines = [
        "| MSI | against | " + " | ".join(f"{name}: median | lowest | highest" for name in ESTIMATES) + " |",
        "|" + "---|" * (2 + 3 * len(ESTIMATES)),
    ]
    for case in CASES:
        found = [against_truth(scene, case) for scene in scenes.values()]
        cells = [case.name, "true noise" if case.snr_db else "spread of the band"]
        for name in ESTIMATES:
            values = np.concatenate([one[name] for one in found])
            cells += [f"{value:.3g}" for value in (np.median(values), values.min(), values.max())]
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr)
    return lines


def main() -> int:
    """Print the table, and write it where --output says."""
    arguments = parse()
    try:
        scenes = hyperspectral_scenes(arguments.scenes, arguments.names)
    except HSFusionError as error:
        sys.exit(str(error))
    text = "\n".join([f"{len(scenes)} scenes, ratio 4, PSF 1.0, seed 0", "", *table(scenes), ""])
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
