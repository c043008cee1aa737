"""How well PSF and shift are estimated on simulated pairs of real scenes: a table of errors per ratio.

python scripts/benchmarking/estimation.py --scenes FOLDER [--names a,b,c] [--ratios 2,3,4,8,8.33] [--snr 35] [--draws 2] [--output FILE.md]

Each pair has a PSF of its own along rows and columns (FWHM 0.7 to 1.8 HSI pixels) and a shift of up to 3 MSI pixels
each way. Scenes that are too small for --least HSI pixels are continued by their mirror images. "Refused" are pairs
whose width or shift was not determined; the errors are those of the others. The interval is the one that
hsfusion:estimatesensor gives.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling, noise_std
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.sensors.registration import register
from hsfusion.models.trials import FOUR_BANDS, Scene, box_response
from hsfusion.scripts.data.scenes import hyperspectral_scenes

FWHM = (0.7, 1.8)
LARGEST_SHIFT = 3.0
MARGIN = 4  # fine pixels that a shift may reach beyond the border
MOST_BANDS = 60  # of a scene, evenly chosen: more tell nothing new here


@dataclass(frozen=True)
class Trial:
    """Relative errors of both widths, errors of both shifts in MSI pixels, NaN where refused; inside: truths within
    their intervals.
    """

    widths: np.ndarray
    shifts: np.ndarray
    inside: np.ndarray
    seconds: float


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of reference rasters")
    parser.add_argument(
        "--names", default="", help="scenes by file name without suffix; default: all with 20 bands or more"
    )
    parser.add_argument("--ratios", default="2,3,4,8,8.33")
    parser.add_argument("--snr", type=float, default=35.0, help="dB, of both images")
    parser.add_argument("--draws", type=int, default=2, help="pairs per scene and ratio")
    parser.add_argument(
        "--least", type=int, default=600, help="HSI pixels that a pair has at least; 0: scenes as they are"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser.parse_args()


def continued(cube: np.ndarray, ratio: float, least: int) -> np.ndarray:
    """The cube with mirror images of itself on all sides, as far as it takes for `least` coarse pixels."""
    side = int(np.ceil(np.sqrt(least))) * ratio + 2 * MARGIN
    missing = [max(0, int(np.ceil(side)) - n) for n in cube.shape[1:]]
    while any(missing):
        step = [min(m, n) for m, n in zip(missing, cube.shape[1:])]
        cube = np.pad(cube, ((0, 0), (0, step[0]), (0, step[1])), "symmetric")
        missing = [m - s for m, s in zip(missing, step)]
    return cube


def trial(scene: Scene, ratio: float, snr_db: float, seed: int, least: int) -> Trial:
    """One pair, simulated and estimated; the HSI sees what lies beyond the MSI's border."""
    rng = np.random.default_rng([seed, round(100 * ratio)])
    keep = np.unique(np.linspace(0, len(scene.cube) - 1, min(MOST_BANDS, len(scene.cube))).round().astype(int))
    cube = continued(scene.cube[keep], ratio, least)
    fwhm = np.exp(rng.uniform(*np.log(FWHM), 2))
    shift = rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2)
    fine = [n - 2 * MARGIN for n in cube.shape[1:]]
    coarse = [int(n / ratio) for n in fine]
    fine = [round(n * ratio) for n in coarse]
    rows, cols = (range(MARGIN, MARGIN + n) for n in fine)
    truth = cube[:, : rows.stop + MARGIN, : cols.stop + MARGIN]
    seen = Sampling(ratio, *fwhm, shift[0] + MARGIN, shift[1] + MARGIN)
    down = Degradation(seen, truth.shape[1:], *(range(n) for n in truth.shape[1:]), *(range(n) for n in coarse))
    response = box_response(scene.wavelengths[keep], FOUR_BANDS).astype(np.float32)
    msi = np.tensordot(response, truth[:, rows.start : rows.stop, cols.start : cols.stop], axes=1)
    hsi, msi = (_noisy(image, snr_db, rng) for image in (down(truth), msi))
    began = time.monotonic()
    found = register([whole_block(hsi, msi)], Sampling(ratio))
    seconds = time.monotonic() - began
    estimates, true = (found.fwhm_y, found.fwhm_x, found.shift_y, found.shift_x), (*fwhm, *shift)
    error = np.array([e.value - t if e.determined else np.nan for e, t in zip(estimates, true)])
    inside = np.array([e.low <= t <= e.high for e, t in zip(estimates, true)])
    return Trial(np.abs(error[:2]) / fwhm, np.abs(error[2:]), inside, seconds)


def _noisy(image: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    std = noise_std((image.astype(np.float64) ** 2).mean(axis=(1, 2)), snr_db)
    return (image + std[:, None, None] * rng.standard_normal(image.shape)).astype(np.float32)


def line(ratio: float, trials: list[Trial]) -> str:
    """A row of the table."""
    widths = np.concatenate([t.widths for t in trials])
    shifts = np.concatenate([t.shifts for t in trials])
    limit = 0.1 if ratio <= 4 else 0.03 * ratio
    refused = [f"{np.isnan(v).mean():.0%}" for v in (widths, shifts)]
    widths, shifts = widths[np.isfinite(widths)], shifts[np.isfinite(shifts)]
    cells = [
        f"{ratio:g}",
        str(len(trials)),
        f"{100 * np.median(widths):.1f} %",
        f"{100 * np.quantile(widths, 0.9):.1f} %",
        refused[0],
        f"{np.median(shifts):.3f}",
        f"{np.quantile(shifts, 0.9):.3f}",
        f"{(shifts <= limit).mean():.0%} of {limit:.2g}",
        refused[1],
        f"{np.mean([t.inside for t in trials]):.0%}",
        f"{np.median([t.seconds for t in trials]):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Print the table, and write it where --output says."""
    arguments = parse()
    try:
        scenes = hyperspectral_scenes(arguments.scenes, arguments.names)
    except HSFusionError as error:
        sys.exit(str(error))
    lines = [
        "| ratio | pairs | FWHM error: median | 90th percentile | refused | shift error (MSI pixels): median | 90th "
        "percentile | within | refused "
        "| truth in interval | s |",
        "|" + "---|" * 11,
    ]
    for ratio in map(float, arguments.ratios.split(",")):
        trials = []
        for name, scene in scenes.items():
            for draw in range(arguments.draws):
                found = trial(scene, ratio, arguments.snr, draw, arguments.least)
                trials.append(found)
                print(f"{name}, {ratio:g}: {found.widths}, {found.shifts}", file=sys.stderr)
        lines.append(line(ratio, trials))
    text = "\n".join([f"{len(scenes)} scenes, {arguments.snr:g} dB, seed 0", "", *lines, ""])
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
