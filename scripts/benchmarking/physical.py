"""Physical values: what the scene's bounds change in fused results of simulated pairs, method by method.

python scripts/benchmarking/physical.py --scenes FOLDER [--names a,b,c] [--cases clean,"25 dB"] [--model FILE] [--output FILE.md]

Columns: share of values below 0 in the HSI, in the result without bounds and with them (%); how far the farthest value
lies outside the band's range in the HSI, without and with, in standard deviations of the band; by how much the PSNR
rises (dB) and the spectral angle (degrees); root mean square of what changes in the means of HSI pixels, over all values
of the bands' noise (-: no noise).
"""  # noqa: E501

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
import torch

from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import whole_block, widened
from hsfusion.models.scene.tiles.spectra import expand_tile, outside_part
from hsfusion.models.trials import Fitted, Pair, scores, simulate
from hsfusion.scripts.benchmarking.quality import blind_sampling, wanted_cases
from hsfusion.scripts.data.scenes import find_scene, hyperspectral_scenes, read_scene

MODEL = Path(__file__).resolve().parents[2] / "resources" / "models" / "hsfusion-base.safetensors"
HEADER = (
    "| scene | case | method | below 0: HSI | without | with | farthest: without | with | PSNR | SAM | HSI pixels |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def main() -> int:
    """Print the table, and write it where --output says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--names", default="")
    parser.add_argument("--cases", default="clean,25 dB,ratio 8")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    card = read_card(arguments.model)
    runner = SubspaceRunner(card, load_state(arguments.model))
    lines = list(HEADER)
    for name in hyperspectral_scenes(arguments.scenes, arguments.names):
        for case in wanted_cases(arguments.cases):
            pair = simulate(read_scene(find_scene(arguments.scenes, name)), case)
            lines += [f"| {name} | {case.name} | {line}" for line in rows(pair, runner, int(card["components"]))]
            print(*lines[-4:], sep="\n", file=sys.stderr)
    command = shlex.join(["python", "scripts/benchmarking/physical.py", "--scenes", "SCENES", *_options(arguments)])
    text = "\n".join(
        ["# Physical values", "", str(__doc__).split("\n\n")[2], "", f"Command: `{command}`", "", *lines, ""]
    )
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def rows(pair: Pair, runner: SubspaceRunner, components: int) -> list[str]:
    """A line per method."""
    block = whole_block(pair.hsi, pair.msi)
    sampling = blind_sampling(block, pair.sampling.ratio)
    fitted = Fitted.to(widened(block, sampling.margin), sampling, pair.wavelengths, components)
    forms = fitted.closed_forms(denoise=True)
    found = {name: forms.named(name) for name in ("glp-hs", "loc", "average")}
    found["model"] = fitted.infer(runner)["x"][0]
    return [_line(name, pair, fitted, x) for name, x in found.items()]


def _line(name: str, pair: Pair, fitted: Fitted, x: np.ndarray) -> str:
    free = expand_tile(fitted.scene, x, outside_part(fitted.scene, fitted.block))
    bounded = fitted.expand(x)
    before, after = scores(pair.truth, free), scores(pair.truth, bounded)
    ratio = round(pair.sampling.ratio)
    moved = (bounded - free).reshape(len(free), pair.hsi.shape[1], ratio, pair.hsi.shape[2], ratio).mean(axis=(2, 4))
    in_noise = np.sqrt((moved**2).mean()) / np.sqrt((fitted.scene.subspace.band_noise**2).mean())
    cells = [
        *(f"{100 * (cube < 0).mean():.3f}" for cube in (pair.hsi, free, bounded)),
        *(f"{_farthest(cube, pair.hsi):.1f}" for cube in (free, bounded)),
        f"{after['psnr'] - before['psnr']:+.3f}",
        f"{after['sam'] - before['sam']:+.3f}",
        f"{in_noise:.4f}",
    ]
    return f"{name} | " + " | ".join(cells) + " |"


def _farthest(cube: np.ndarray, hsi: np.ndarray) -> float:
    low, high, std = (f(hsi, axis=(1, 2))[:, None, None] for f in (np.min, np.max, np.std))
    return float((np.maximum(low - cube, cube - high) / np.maximum(std, 1e-12)).max())


def _options(arguments: argparse.Namespace) -> list[str]:
    given = {"--names": arguments.names, "--cases": arguments.cases}
    return [word for flag, value in given.items() if value for word in (flag, value)]


if __name__ == "__main__":
    sys.exit(main())
