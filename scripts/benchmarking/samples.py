"""How well ensembles around a fused scene tell its errors, on simulated pairs of real scenes: the table of
docs/measured/samples.md.

python scripts/benchmarking/samples.py --scenes FOLDER --model MODEL.safetensors --names a,b,c [--members 8] [--size 112] [--output FILE.md]

Every pair is fused blind (PSF and shift are estimated). Spread over error is 1 where the spread is right; 78 % is the
ideal for the range of 8 members.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics import ensemble
from hsfusion.models.observation import Sampling
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import middle, whole_block
from hsfusion.models.scene.posterior.error_law import TEMPERATURE, ErrorLaw
from hsfusion.models.scene.posterior.members import Members
from hsfusion.models.scene.sensors.registration import register
from hsfusion.models.scene.tiles.spectra import spectral_std
from hsfusion.models.trials import CASES, Case, Fitted, Scene, simulate
from hsfusion.scripts.data.scenes import hyperspectral_scenes

RATIO = 4
COMPARED = 72  # coarse pixels per axis that PSF and shift are searched in
EVERY = 3  # of the bands that are scored
SQUARES = (4, 8, 16)  # pixels per side of the polygons whose intervals are judged
COLUMNS = (
    "pixel, MSI's range", "pixel", "2 x 2", "4 x 4", "8 x 8", "NDVI", "largest in HSI pixel", "std in HSI pixel",
    "in range (%)", "largest rank", "high-pass power", "CRPS", "CRPS of UNCERTAINTY", "CRPS largest", "CRPS std", "interval (%)",  # noqa: E501
)  # fmt: skip
RATIOS = 8  # of the columns are spread over error


@dataclass(frozen=True)
class Drawn:
    """Members (n, L, H, W) of one method on one pair, the truth, what UNCERTAINTY says, and the bands' wavelengths."""

    name: str
    members: np.ndarray
    mean: np.ndarray
    truth: np.ndarray
    std: np.ndarray
    wavelengths: np.ndarray


def blocks(x: np.ndarray, n: int) -> np.ndarray:
    """Means over n x n pixels."""
    rows, cols = (size // n for size in x.shape[-2:])
    return x[..., : rows * n, : cols * n].reshape(*x.shape[:-2], rows, n, cols, n).mean(axis=(-3, -1))


def within(x: np.ndarray, statistic: Callable[..., np.ndarray]) -> np.ndarray:
    """A statistic of the pixels within each HSI pixel."""
    rows, cols = (size // RATIO for size in x.shape[-2:])
    parts = x[..., : rows * RATIO, : cols * RATIO].reshape(*x.shape[:-2], rows, RATIO, cols, RATIO)
    return statistic(parts.swapaxes(-3, -2).reshape(*x.shape[:-2], rows, cols, RATIO**2), axis=-1)


def ndvi(x: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """Of spectra (..., L, H, W); its denominator is kept away from 0."""
    red, near = (x[..., int(np.abs(wavelengths - nm).argmin()), :, :] for nm in (660, 835))
    total = near + red
    return (near - red) / np.maximum(total, 0.02 * np.abs(total).mean())


def high_pass_power(x: np.ndarray) -> np.ndarray:
    """(L,) of (L, H, W): what a pixel differs from its four neighbours."""
    sides = x[..., 2:, 1:-1] + x[..., :-2, 1:-1] + x[..., 1:-1, 2:] + x[..., 1:-1, :-2]
    return ((x[..., 1:-1, 1:-1] - 0.25 * sides) ** 2).mean(axis=(-2, -1))


def scores(drawn: Drawn) -> list[float]:
    """In the order of COLUMNS; bands weigh alike, but for the first."""
    scale = drawn.truth.std(axis=(1, 2))[:, None, None]
    members, truth, wl = drawn.members / scale, drawn.truth / scale, drawn.wavelengths
    seen = (wl >= 450) & (wl <= 895)
    pairs = [(drawn.members[:, seen], drawn.truth[seen]), (members, truth)]
    pairs += [(blocks(members, n), blocks(truth, n)) for n in (2, 4, 8)]
    pairs += [(ndvi(drawn.members, wl), ndvi(drawn.truth, wl))]
    largest, spread = ((within(members, f), within(truth, f)) for f in (np.max, np.std))
    found = [ensemble.spread_error(*pair).ratio for pair in (*pairs, largest, spread)]
    ranks = ensemble.rank_histogram(members, truth)
    power = high_pass_power(drawn.members[0]).sum() / high_pass_power(drawn.truth).sum()
    gaussian = ensemble.gaussian_crps(truth, drawn.mean / scale, drawn.std / scale)
    return [
        *found,
        100 * ensemble.coverage(members, truth),
        ranks.max() / ranks.mean(),
        float(power),
        100 * ensemble.fair_crps(members, truth).mean(),
        100 * gaussian.mean(),
        100 * ensemble.fair_crps(*largest).mean(),
        100 * ensemble.fair_crps(*spread).mean(),
        100 * intervals(members, truth),
    ]


def intervals(members: np.ndarray, truth: np.ndarray) -> float:
    """Share of squares of SQUARES whose true mean lies in the 90 % interval of the members, mean +- t std."""
    quantile = {8: 1.895, 16: 1.753, 32: 1.696}.get(len(members), 1.645)  # of Student's t with n - 1 degrees of freedom
    held = []
    for n in SQUARES:
        x, y = blocks(members, n), blocks(truth, n)
        held.append((np.abs(x.mean(axis=0) - y) <= quantile * x.std(axis=0, ddof=1) * np.sqrt(1 + 1 / len(x))).ravel())
    return float(np.concatenate(held).mean())


def drawn_of(scene: Scene, case: Case, runner: SubspaceRunner, count: int) -> Iterator[Drawn]:
    """Gaussian members around the model and around the average of LOC and MAP, and the diffusion's own."""
    pair = simulate(scene, case)
    block, start = whole_block(pair.hsi, pair.msi), Sampling(RATIO)
    sampling = register([middle(block, COMPARED, start)], start).applied(start)
    fitted = Fitted.to(block, sampling, components=runner.components)
    reply, quiet = fitted.infer(runner), fitted.scene.denoised()
    samples = fitted.infer(runner, samples=count, steps=0)["x"]
    bands = np.unique(
        np.r_[np.arange(0, len(pair.truth), EVERY), [np.abs(scene.wavelengths - nm).argmin() for nm in (660, 835)]]
    )
    truth, wavelengths = pair.truth[bands], scene.wavelengths[bands]

    def gaussian(x: np.ndarray, method: str, std: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        law = ErrorLaw.of(quiet, TEMPERATURE[method])
        here = Members(quiet, law, 1).around(fitted.block, fitted.block.place.fine, std)
        mean = fitted.expand(x)[bands]
        return np.stack([mean + here.deviation(k)[bands] for k in range(count)]), mean

    said = spectral_std(fitted.scene, reply["std"])[bands]
    yield Drawn("gaussian", *gaussian(reply["x"][0], "model", reply["std"]), truth, said, wavelengths)
    own = np.stack([fitted.expand(x)[bands] for x in samples])
    yield Drawn("diffusion", own, fitted.expand(reply["x"][0])[bands], truth, said, wavelengths)
    known = np.broadcast_to(quiet.expected_std()[bands, None, None], truth.shape)
    average = fitted.closed_forms(True).named("average")
    yield Drawn("gaussian, average (no model)", *gaussian(average, "average", None), truth, known, wavelengths)


def table(rows: list[tuple[str, str, str, list[float]]]) -> list[str]:
    """Markdown: the geometric means over pairs per sampler, then every pair."""
    head = ["| scene | case | sampler | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (3 + len(COLUMNS))]
    lines = list(head)
    for name in dict.fromkeys(row[2] for row in rows):
        own = np.array([row[3] for row in rows if row[2] == name])
        lines.append(_line("mean of all", f"{len(own)} pairs", name, np.exp(np.log(own).mean(axis=0))))
    return [*lines, "", *head, *(_line(*row) for row in rows)]


def _line(scene: str, case: str, sampler: str, values: list[float] | np.ndarray) -> str:
    return f"| {scene} | {case} | {sampler} | " + " | ".join(f"{value:.2f}" for value in values) + " |"


def main() -> int:
    """Print the table and write it where --output says, after the line `<!-- tables -->` of a file that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--names", required=True)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--size", type=int, default=112, help="fine pixels per side that are used of a scene")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    try:
        runner = SubspaceRunner(read_card(arguments.model), load_state(arguments.model))
        for name, whole in hyperspectral_scenes(arguments.scenes, arguments.names).items():
            scene = replace(whole, cube=whole.cube[:, : arguments.size, : arguments.size])
            for case in CASES[:2]:
                for drawn in drawn_of(scene, case, runner, arguments.members):
                    rows.append((name, case.name, drawn.name, scores(drawn)))
                    print(_line(*rows[-1]), file=sys.stderr, flush=True)
    except HSFusionError as error:
        sys.exit(str(error))
    lines = table(rows)
    print("\n".join(lines))
    if arguments.output:
        marker, path = "<!-- tables -->", arguments.output
        before = path.read_text(encoding="utf-8").split(marker)[0] if path.exists() else "# Samples\n\n"
        path.write_text("\n".join([before.rstrip(), "", marker, "", *lines, ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
