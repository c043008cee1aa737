"""The bundled weights of the published systems on scenes that they never saw, beside interpolation and GLP-HS.

scripts/benchmark.py published [--models a,b] [--data SCENES --scenes a,b] [--output docs/measured/published.md]

The scores are those that `scripts/train.py` wrote into the cards at the end of the training: the configuration's test
scenes, clean and with noise, by the runner of the backend. With --data also other samplers on some of these scenes,
and what a run costs on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Sampling
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.pixels.scaling import Scaling
from hsfusion.models.training.full_band.data import Observed
from hsfusion.models.training.full_band.validation import Trial
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.trials import Fitted
from hsfusion.scripts.benchmarking.watch import memory_of
from hsfusion.scripts.training.run import trials_of

ROOT = Path(__file__).resolve().parents[3]
MODELS, CONFIGS = ROOT / "resources" / "models", ROOT / "resources" / "configs"
NAMES = ("ddpm-fus", "hsr-diff", "ddrf")
GLP_HS = "glp-hs"
RIVALS = ("interpolation", GLP_HS)
SAMPLERS = (("ddim", 5), ("ancestral", 5), ("dpm-solver", 5))
MARKER = "<!-- tables -->"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "published", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the test scenes, for samplers and costs")
    parser.add_argument("--scenes", default="chikusei_chip,muufl_b", help="for the samplers, separated by commas")
    parser.add_argument("--size", type=int, default=1024, help="fine pixels per side, for the costs")
    parser.add_argument("--models", default=",".join(NAMES), help="of the bundled models, separated by commas")
    parser.add_argument("--output", type=Path, help="Markdown file, whose text before the tables stays")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Print the tables, and write them where --output says."""
    asked = parse(arguments)
    torch.set_num_threads(1)
    names = asked.models.split(",")
    try:
        runners = {n: (read_card(MODELS / f"{n}.safetensors"), load_state(MODELS / f"{n}.safetensors")) for n in names}
        lines = [*scores({n: card for n, (card, _) in runners.items()}), *curves(runners)]
        if asked.data:
            config = load_config(CONFIGS / f"{names[0]}.yaml")
            wanted = tuple(s for s in config.test if s.file in asked.scenes.split(","))
            trials = trials_of(replace(config, test=wanted), asked.data, "test", config.test_snr[-1])
            lines += [*samplers(trials, runners), *costs(names, asked.size)]
    except HSFusionError as error:
        sys.exit(str(error))
    given = f" --data SCENES --scenes {asked.scenes} --size {asked.size}" if asked.data else ""
    lines += [f"Command: `scripts/benchmark.py published --models {asked.models}{given}`", ""]
    text = "\n".join(lines)
    print(text)
    if asked.output:
        before = asked.output.read_text(encoding="utf-8").split(MARKER)[0] if asked.output.exists() else ""
        asked.output.write_text(f"{before.rstrip()}\n\n{MARKER}\n\n{text}", encoding="utf-8")
    return 0


def scores(cards: dict[str, Any]) -> list[str]:
    """PSNR / SAM per test scene and case at each model's own number of steps, and the means."""
    lines = []
    first = next(iter(cards.values()))
    for case, scenes in first["scores"].items():
        lines += [f"## {case[0].upper()}{case[1:]}: PSNR (dB) / SAM (degrees)", ""]
        lines += [f"| scene | {' | '.join((*RIVALS, *cards))} |", "|---|" + "---|" * (len(RIVALS) + len(cards))]
        for scene in scenes:
            cells = [scenes[scene][m] for m in RIVALS] + [c["scores"][case][scene]["network"] for c in cards.values()]
            lines.append(f"| {scene} | " + " | ".join(f"{psnr:.2f} / {sam:.2f}" for psnr, sam in cells) + " |")
        lines += [_least_gains(scenes, [c["scores"][case] for c in cards.values()]), ""]
    return lines


def _least_gains(rivals: dict[str, Any], found: list[dict[str, Any]]) -> str:
    """A row: the smallest PSNR above interpolation on any scene, for GLP-HS and each model."""
    columns = [(rivals, GLP_HS), *((scores, "network") for scores in found)]
    names = [name for name in rivals if name != "mean"]
    least = [min(table[n][method][0] - rivals[n]["interpolation"][0] for n in names) for table, method in columns]
    return f"| least above interpolation | | {' | '.join(f'{gain:+.2f} dB' for gain in least)} |"


def samplers(trials: list[Trial], runners: dict[str, Any]) -> list[str]:
    """Mean PSNR as the card says and in five steps by each sampler."""
    names = ", ".join(trial.pair.name for trial in trials)
    lines = [
        f"## Samplers: mean PSNR (dB) of {names} with noise",
        "",
        "| model | as the card says | " + " | ".join(f"{s}, {n} steps" for s, n in SAMPLERS),
    ]
    lines[-1] += " |"
    lines.append("|---|" + "---|" * (1 + len(SAMPLERS)))
    for name, (card, state) in runners.items():
        runner = FullBandRunner(card, state)
        cells = []
        for options in ({}, *({"sampler": s, "steps": n} for s, n in SAMPLERS)):
            cells.append(np.mean([t.score(t.fuse(runner, **options))[0] for t in trials]))
        lines.append(f"| {name} | " + " | ".join(f"{c:.2f}" for c in cells) + " |")
    return [*lines, ""]


def curves(runners: dict[str, Any]) -> list[str]:
    """Of the training run: mean PSNR of the scenes that were watched."""
    lines = [
        "## Learning curves: PSNR (dB) of the watched scenes, 35 dB noise",
        "",
        "| model | step: PSNR | interpolation | GLP-HS | processor time |",
    ]
    lines.append("|---|---|---|---|---|")
    for name, (card, _) in runners.items():
        training, curve = card["training"], card["training"].get("curve", [])
        if not curve:
            continue
        told = ", ".join(f"{step}: {network:.2f}" for step, _, _, network in curve)
        lines.append(
            f"| {name} | {told} | {curve[-1][1]:.2f} | {curve[-1][2]:.2f} | {training['cpu_seconds'] / 60:.0f} min |"
        )
    return [*lines, ""]


def costs(names: Sequence[str], size: int) -> list[str]:
    """Processor seconds and peak memory for a scene of size x size x 31 bands, one step, one thread, each in a process
    of its own; beside them GLP-HS, its estimates of the scene included."""
    lines = [
        f"## Cost of {size} x {size} pixels x 31 bands, one thread",
        "",
        "| method | M parameters | file (MB) | processor s | peak memory (GB), of it images and libraries |",
    ]
    lines.append("|---|---|---|---|---|")
    for name in (*names, GLP_HS):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            cost = alone.submit(cost_of, name, names[0], size).result()
        size_of = f"{cost.parameters / 1e6:.2f} | {cost.file / 1e6:.1f}" if cost.file else " | "
        lines.append(f"| {name} | {size_of} | {cost.seconds:.1f} | {cost.peak:.2f}, {cost.before:.2f} |")
    return [*lines, ""]


@dataclass(frozen=True)
class Cost:
    """Processor seconds of a fusion, GB of memory at its peak and before it began, parameters and bytes of its model
    (0: none)."""

    seconds: float
    peak: float
    before: float
    parameters: int = 0
    file: int = 0


def cost_of(name: str, model: str, size: int) -> Cost:
    """Of the bundled model `name`, or of GLP-HS on a pair of the sensor of `model`; largest memory of this process."""
    torch.set_num_threads(1)
    path = MODELS / f"{model if name == GLP_HS else name}.safetensors"
    card, state = read_card(path), load_state(path)
    trial = _made_up(card, size)
    before, busy = _peak(), time.process_time()
    if name == GLP_HS:
        fitted = Fitted.to(whole_block(trial.pair.hsi, trial.pair.msi), trial.sampling, trial.pair.wavelengths)
        fitted.expand(fitted.closed_forms().named("glp-hs"))
        return Cost(time.process_time() - busy, _peak(), before)
    trial.fuse(FullBandRunner(card, state))
    parameters = sum(v.numel() for v in state.values())
    return Cost(time.process_time() - busy, _peak(), before, parameters, path.stat().st_size)


def _peak() -> float:
    """GB: the largest memory of this process (Linux), not of the one that started it, which getrusage would count."""
    found = memory_of(os.getpid())
    return found[1] / 2**30 if found else 0.0


def _made_up(card: dict[str, Any], size: int) -> Trial:
    """A pair of random numbers: what it holds does not change the time."""
    rng, ratio, count = np.random.default_rng(0), round(card["ratios"][0]), int(card["msi_bands"])
    hsi = rng.random((int(card["bands"]), size // ratio, size // ratio), np.float32)
    msi = rng.random((count, size, size), np.float32)
    pair = Observed(
        "made up", None, hsi, msi, Scaling(1.0, np.ones(count), np.zeros(count)), False, np.array(card["wavelengths"])
    )
    return Trial(pair, Sampling(ratio), {})
