"""Diffusion against a one-shot regression of the same network: same scenes, same training steps, several seeds.

python scripts/benchmark.py iterating --data SCENES [--model ddpm-fus] [--seeds 1,2,3] [--steps 360] [--work FOLDER] [--output FILE.md]

Tested on the middle of the configuration's test scenes with its noisiest noise. Every run that is finished is kept in
the work folder and not done again.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics.ensemble import fair_crps
from hsfusion.models.observation import Upsampling
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.training.distributed import World
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.data import Observed, Reference, observe, response_of
from hsfusion.models.training.full_band.validation import Trial
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.trials import scores
from hsfusion.scripts.benchmarking.claims import HOLDS, REFUTED, UNDECIDED
from hsfusion.scripts.benchmarking.reproduction import ONE_SHOT, ROOT, Variant, write_config
from hsfusion.scripts.data.sources import observed_scenes, read_reference
from hsfusion.scripts.training.run import FullBandRun, train

CONFIGS = ROOT / "resources" / "configs"
CROP = 64  # fine pixels per side of the tests
MEMBERS, STEPS = 8, 5
QUESTIONS = (  # column, what is better, (diffusion, regression), unit
    ("PSNR, one step each", 1, ("psnr_one_step", "psnr_one_step"), "dB"),
    (f"PSNR, one sample of {STEPS} steps", 1, ("psnr_sample", "psnr_one_step"), "dB"),
    (f"PSNR, mean of {MEMBERS} samples of {STEPS} steps", 1, ("psnr_mean", "psnr_one_step"), "dB"),
    (f"CRPS, {MEMBERS} samples (regression: mean absolute error)", -1, ("crps", "crps"), "% of the mean"),
    (f"error of the texture, one sample of {STEPS} steps", -1, ("texture", "texture"), "ln"),
)


@dataclass(frozen=True)
class Comparison:
    """What one seed's run reached on each test scene: measure -> one number per scene."""

    kind: str
    seed: int
    found: dict[str, list[float]]
    cpu_seconds: float


@dataclass(frozen=True)
class Scenes:
    """The scenes of a configuration, read once for all runs and only where a run is missing."""

    config: FullBandConfig
    data: Path

    @cached_property
    def pairs(self) -> list[Observed]:
        """To train on."""
        return observed_scenes(self.config, self.data, "train")

    @cached_property
    def tests(self) -> list[Trial]:
        """The middle of each test scene, observed with the noisiest noise of the configuration."""
        config, pairs = self.config, []
        for source in config.test:
            cube = read_reference(source, config, self.data).cube
            rows, cols = (slice((n - CROP) // 2, (n + CROP) // 2) for n in cube.shape[1:])
            middle = Reference(source.file, np.ascontiguousarray(cube[:, rows, cols]))
            pairs.append(observe(middle, config, response_of(config), config.test_snr[-1]))
        return [Trial(pair, config.observation.sampling(), {}) for pair in pairs]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("iterating", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the configuration's scenes")
    parser.add_argument("--model", default="ddpm-fus", help="a bundled configuration")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--steps", type=int, default=360, help="of the training")
    parser.add_argument("--work", type=Path, default=Path("build/iterating"))
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Train what is missing, print the table, write it where --output says."""
    asked = parse(arguments)
    torch.set_num_threads(1)
    try:
        asked.work.mkdir(parents=True, exist_ok=True)
        scenes = Scenes(load_config(CONFIGS / f"{asked.model}.yaml"), asked.data)
        runs = [r for seed in asked.seeds.split(",") for r in compared(scenes, int(seed), asked)]
    except HSFusionError as error:
        sys.exit(str(error))
    text = "\n".join([*table(runs, asked), ""])
    print(text)
    if asked.output:
        asked.output.write_text(text, encoding="utf-8")
    return 0


def compared(scenes: Scenes, seed: int, asked: argparse.Namespace) -> list[Comparison]:
    """Diffusion and regression of one seed."""
    model, found, share = asked.model, [], asked.steps / scenes.config.steps
    for kind, changes in (("diffusion", {}), ("regression", ONE_SHOT)):
        variant = Variant(f"{model}-{kind}-{seed}", model, kind, {**changes, "seed": seed})
        config = load_config(write_config(variant, asked.work, share))
        weights, kept = (asked.work / f"{variant.name}.{suffix}" for suffix in ("safetensors", "json"))
        if not weights.exists():
            train(
                FullBandRun(config, observed_scenes(config, asked.data, "train"), [], "cpu", World()), asked.work, True
            )
        card = read_card(weights)
        if not kept.exists():
            runner = FullBandRunner(card, load_state(weights))
            measured = [measures(trial, runner, config.regression) for trial in scenes.tests]
            kept.write_text(json.dumps({k: [m[k] for m in measured] for k in measured[0]}), encoding="utf-8")
        found.append(Comparison(kind, seed, json.loads(kept.read_text()), card["training"]["cpu_seconds"]))
        print(f"{variant.name}: {np.mean(found[-1].found['psnr_one_step']):.2f} dB", file=sys.stderr, flush=True)
    return found


def measures(trial: Trial, runner: FullBandRunner, regression: bool) -> dict[str, float]:
    """Of one scene; a regression has one answer, whose CRPS is its mean absolute error."""
    truth = trial.pair.truth
    one_step = trial.fuse(runner)
    members = [one_step] if regression else [trial.fuse(runner, steps=STEPS, seed=n) for n in range(MEMBERS)]
    stack = np.stack(members)
    crps = np.abs(one_step - truth) if regression else fair_crps(stack, truth)
    return {
        "psnr_one_step": scores(truth, one_step)["psnr"],
        "psnr_sample": scores(truth, members[0])["psnr"],
        "psnr_mean": scores(truth, stack.mean(axis=0))["psnr"],
        "crps": 100 * float(crps.mean() / truth.mean()),
        "texture": texture_error(trial, members[0]),
    }


def texture_error(trial: Trial, fused: np.ndarray) -> float:
    """|ln| of the spread of an image's detail over that of the truth's, mean over bands; 0 is best.

    Detail: the image less the interpolated HSI. A smooth image has too little, a noisy one too much.
    """
    base = Upsampling.whole(trial.sampling, fused.shape[1:])(trial.pair.hsi)
    spread = [(image - base).std(axis=(1, 2)) for image in (fused, trial.pair.truth)]
    return float(np.abs(np.log(spread[0] / spread[1])).mean())


def table(runs: list[Comparison], asked: argparse.Namespace) -> list[str]:
    """One line per question: both means, their paired difference with two standard errors, the verdict."""
    by_kind = {kind: [r for r in runs if r.kind == kind] for kind in ("diffusion", "regression")}
    seconds = {kind: np.mean([r.cpu_seconds for r in found]) for kind, found in by_kind.items()}
    lines = [
        f"# Diffusion against a one-shot regression of the same network: {asked.model}",
        "",
        f"Seeds {asked.seeds}; {CROP} x {CROP} pixels of each validation scene at 35 dB; training of "
        f"{seconds['diffusion']:.0f} (diffusion) and {seconds['regression']:.0f} s (regression) of one core, the same "
        "steps, scenes and patches. The claim is that the diffusion is better. The difference is paired over seeds and "
        "scenes; two standard errors decide.",
        "",
        "| question | diffusion | regression | difference | claim |",
        "|---|---|---|---|---|",
    ]
    for question, sign, names, unit in QUESTIONS:
        first, second = (np.concatenate([r.found[n] for r in by_kind[k]]) for k, n in zip(by_kind, names))
        says, apart, error = decided(first, second, sign)
        lines.append(
            f"| {question} ({unit}) | {first.mean():.3f} | {second.mean():.3f} | {apart:+.3f} +- {2 * error:.3f} | "
            f"{says} |"
        )
    command = f"scripts/benchmark.py iterating --data SCENES --model {asked.model} --seeds {asked.seeds}"
    return [*lines, "", f"Command: `{command} --steps {asked.steps} --output docs/measured/iterating.md`"]


def decided(first: np.ndarray, second: np.ndarray, sign: int) -> tuple[str, float, float]:
    """Verdict, mean paired difference and its standard error; sign 1: more is better, -1: less is."""
    apart = np.asarray(first) - np.asarray(second)
    error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
    gain = sign * float(apart.mean())
    says = HOLDS if gain > 2 * error else REFUTED if gain < -2 * error else UNDECIDED
    return says, float(apart.mean()), error
