"""Train or take the weights of a paper's configurations, fuse their test scenes, and fill the paper's table beside
its printed numbers.

scripts/benchmark.py reproduce --paper ddpm-fus|hsr-diff|ddrf --data FOLDER [--sets cave,...] [--weights FOLDER] [--share 1] [--out FOLDER]

FOLDER holds the data as it is distributed; a configuration says in a sentence where to get what is missing. What is
done is not done again.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.training.distributed import World
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.data import Observed
from hsfusion.models.training.full_band.validation import Trial
from hsfusion.models.training.subspace.config import load_config
from hsfusion.scripts.benchmarking.papers.catalogue import PAPERS, DataSet, data_sets
from hsfusion.scripts.benchmarking.papers.other_bands import fuse_interpolated, same_bands
from hsfusion.scripts.benchmarking.papers.score import with_truth, without_truth
from hsfusion.scripts.benchmarking.papers.table import tables
from hsfusion.scripts.data.scenes import write_cube
from hsfusion.scripts.data.sources import find_source, observed_scenes
from hsfusion.scripts.training.run import FullBandRun, train


@dataclass(frozen=True)
class Network:
    """Weights as the backend runs them, and their card."""

    runner: FullBandRunner
    card: dict[str, Any]

    def fuse(self, trial: Trial, config: FullBandConfig, steps: int) -> np.ndarray:
        """(L, H, W) of a test pair, with its bands interpolated where they are not the network's."""
        if same_bands(config, self.card, trial.sampling):
            return trial.fuse(self.runner, steps=steps)
        return fuse_interpolated(trial.pair, config, self.card, self.runner, steps)


CONFIGS = Path(__file__).resolve().parents[3] / "resources" / "configs"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", required=True, choices=tuple(PAPERS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets as they are distributed")
    parser.add_argument("--sets", default="", help="data sets of the paper, separated by commas; default: all")
    parser.add_argument("--weights", type=Path, help="folder of CONFIGURATION.safetensors: nothing is trained")
    parser.add_argument("--share", type=float, default=1.0, help="of the configurations' training steps")
    parser.add_argument("--steps", type=int, default=0, help="sampling steps; 0: the configuration's")
    parser.add_argument(
        "--available", action="store_true", help="use the scenes that are there, and say how many are not"
    )
    parser.add_argument("--config", type=Path, default=CONFIGS, help="folder of the configurations")
    parser.add_argument("--out", type=Path, default=Path("build/papers"), help="checkpoints, images, tables")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Fill the tables; prints them and writes them to OUT/PAPER.md."""
    asked = parse(arguments)
    wanted = [name for name in asked.sets.split(",") if name]
    torch.set_num_threads(1)
    try:
        chosen = data_sets(asked.paper, wanted)
        results = [(data, results_of(data, asked)) for data in chosen]
    except HSFusionError as error:
        sys.exit(str(error))
    text = "\n".join(tables(asked.paper, results, "scripts/benchmark.py reproduce " + " ".join(arguments)))
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / f"{asked.paper}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def results_of(data: DataSet, asked: argparse.Namespace) -> dict[str, Any]:
    """Numbers of every test scene and method: {"scenes": {scene: {method: {column: number}}}, "missing": [...],
    "config": ...}."""
    config, missing = load_config(asked.config / f"{data.config}.yaml"), []
    if not asked.data.is_dir():
        raise HSFusionError(f"There is no folder {asked.data}: name the folder of the data sets.")
    if asked.available:
        config, missing = _available(config, asked.data)
    stages = tuple(replace(stage, steps=max(1, round(stage.steps * asked.share))) for stage in config.stages)
    config, out = replace(config, stages=stages), asked.out / data.config
    pairs = observed_scenes(config, asked.data, "test")
    if not pairs:
        raise HSFusionError(f"None of the test scenes of {data.config} is in {asked.data}. {config.obtain}")
    network = _network(data, config, asked, out)
    scenes = {pair.name: _scene(pair, data, config, network, asked.steps, out) for pair in pairs}
    return {"scenes": scenes, "missing": missing, "steps": [stage.steps for stage in stages]}


def _available(config: FullBandConfig, folder: Path) -> tuple[FullBandConfig, list[str]]:
    """The configuration with the scenes that the folder has, and the names of the others."""
    kept: dict[str, list[Any]] = {"train": [], "test": []}
    missing = []
    for key, sources in kept.items():
        for source in getattr(config, key):
            try:
                find_source(folder, source.file, "")
                sources.append(source)
            except HSFusionError:
                missing.append(source.file)
    return replace(config, **{key: tuple(sources) for key, sources in kept.items()}), missing


def _network(data: DataSet, config: FullBandConfig, asked: argparse.Namespace, out: Path) -> Network:
    """Of the weights that are given, or of those that a run of the configuration ends with."""
    name = data.weights or data.config
    path = (asked.weights or asked.out / name) / f"{name}.safetensors"
    if asked.weights is None and not data.weights:
        if not path.exists():
            scenes = observed_scenes(config, asked.data, "train")
            if not scenes:
                raise HSFusionError(f"None of the training scenes of {data.config} is in {asked.data}. {config.obtain}")
            train(
                FullBandRun(config, scenes, [], "cpu" if not torch.cuda.is_available() else "cuda", World()),
                out,
                resume=True,
            )
    elif not path.exists():
        raise HSFusionError(f"There are no weights {path}: train {name} first, or name their folder with --weights.")
    return Network(FullBandRunner(read_card(path), load_state(path)), read_card(path))


def _scene(
    pair: Observed, data: DataSet, config: FullBandConfig, network: Network, steps: int, out: Path
) -> dict[str, dict[str, float]]:
    """method -> column -> number of one scene; the fused image is written, and both are kept for the next call."""
    place = out / "images" / "".join(c if c.isalnum() or c in "-_" else "_" for c in pair.name)
    kept = place.with_suffix(".json")
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    trial = Trial.of(pair, config.observation.sampling())
    fused = {**trial.rivals, "network": network.fuse(trial, config, steps)}
    found = {method: _numbers(pair, image, data, config) for method, image in fused.items()}
    place.parent.mkdir(parents=True, exist_ok=True)
    write_cube(place.with_suffix(".tif"), fused["network"])
    kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _numbers(pair: Observed, image: np.ndarray, data: DataSet, config: FullBandConfig) -> dict[str, float]:
    sampling = config.observation.sampling()
    if pair.truth is None:
        found = without_truth(pair, image, sampling)
    else:
        found = with_truth(pair.truth, image, sampling.ratio, data.peak)
    return {column: float(value) for column, value in found.items()}
