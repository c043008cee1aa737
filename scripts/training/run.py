"""The two kinds of training run, subspace and full-band, as scripts/train.py drives them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hsfusion.models.cards import OBJECTIVE
from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card, save_model, sha256
from hsfusion.models.training.distributed import World
from hsfusion.models.training.full_band.card import make_full_band_card
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.data import Observed
from hsfusion.models.training.full_band.loop import FullBandTrainer
from hsfusion.models.training.full_band.validation import Trial, validate_full_band
from hsfusion.models.training.subspace.card import make_card
from hsfusion.models.training.subspace.config import TrainingConfig
from hsfusion.models.training.subspace.loop import Trainer
from hsfusion.models.training.terms import with_terms
from hsfusion.models.training.trainer import Progress, TrainerBase, is_checkpoint
from hsfusion.models.trials import error_quantile, means, validate
from hsfusion.scripts.data.scenes import find_scene, read_scene
from hsfusion.scripts.data.sources import observed_at, observed_scenes, simulated_response

# of the held-out scenes' errors by +-2 expected standard deviations: a little more than is wanted of scenes that nobody
# has seen
COVERED = 0.96
Table = dict[str, dict[str, tuple[float, float]]]


class Run(ABC):
    """A configuration with its scenes and its trainer."""

    trainer: TrainerBase
    started_from: dict[str, Any] | None = None  # name, sha256 and training of the model whose weights it began with
    averaged_steps: Sequence[
        int
    ] = ()  # of the earlier weights that the moving average was averaged with, 0: those it started from

    @abstractmethod
    def validate(self) -> Table:
        """case -> method -> (PSNR, SAM) of the moving average; empty where nothing is held out."""

    @abstractmethod
    def write(self, path: Path, history: list[dict[str, Any]], note: Any) -> None:
        """The model file with its card; `note` takes a line for the user."""


class SubspaceRun(Run):
    trainer: Trainer

    def __init__(self, config: TrainingConfig, data: Path, workers: int, device: str, world: World) -> None:
        self.config = config
        scenes = {name: read_scene(find_scene(data, name)) for name in (*config.scenes, *config.held_out)}
        self.held_out = {name: scenes[name] for name in config.held_out}
        self.trainer = Trainer(config, [scenes[n].cube for n in config.scenes], workers, device, world)

    def runner(self) -> SubspaceRunner:
        """The moving average as the backend would run it."""
        card = make_card(self.config, self.trainer.step, 0.0, [])
        return SubspaceRunner(card, {k: v.clone() for k, v in self.trainer.average.items()}, str(self.trainer.device))

    def validate(self) -> Table:
        if not self.held_out:
            return {}
        return means(validate(self.held_out, self.runner(), components=self.config.components))

    def write(self, path: Path, history: list[dict[str, Any]], note: Any) -> None:
        card = make_card(self.config, self.trainer.step, self.trainer.seconds / 60, history)
        if self.started_from:
            card["training"]["started_from"] = self.started_from
        if self.averaged_steps:
            card["training"]["averaged_with_steps"] = list(self.averaged_steps)
        if self.held_out:
            note("calibrating the expected errors on the held-out scenes")
            quantile = error_quantile(self.held_out, self.runner(), COVERED, components=self.config.components)
            card["error_scale"] = round(quantile, 3)
        save_model(path, {name: value.half() for name, value in self.trainer.average.items()}, with_terms(card))


class FullBandRun(Run):
    """trials: scored on the way. cases: name -> test pairs that are scored at the end, asked for then; without them the
    last of the trials' scores stand in the card.
    """

    def __init__(
        self,
        config: FullBandConfig,
        scenes: list[Observed],
        trials: list[Trial],
        device: str,
        world: World,
        cases: Callable[[], dict[str, list[Trial]]] | None = None,
    ) -> None:
        self.config, self.trials, self.cases = config, trials, cases
        self.trainer = FullBandTrainer(config, scenes, simulated_response(config), device, world)

    def runner(self) -> FullBandRunner:
        """The moving average as the backend would run it."""
        card = make_full_band_card(self.config, self.trainer.step, 0.0, {})
        state = {name: value.clone() for name, value in self.trainer.average.items()}
        return FullBandRunner(card, state, str(self.trainer.device))

    def validate(self) -> Table:
        return validate_full_band(self.trials, self.runner())

    def write(self, path: Path, history: list[dict[str, Any]], note: Any) -> None:
        trainer, scores = self.trainer, rounded(history[-1]["scores"] if history else {})
        if self.cases is not None:
            note("scoring the test scenes")
            cases, runner = self.cases(), self.runner()
            scores = {name: rounded(validate_full_band(trials, runner)) for name, trials in cases.items()}
        card = make_full_band_card(self.config, trainer.step, trainer.seconds, scores)
        card["training"]["cpu_seconds"] = round(trainer.cpu_seconds)
        if self.started_from:
            card["training"]["started_from"] = self.started_from
        if self.averaged_steps:
            card["training"]["averaged_with_steps"] = list(self.averaged_steps)
        if history:
            card["training"]["curve"] = [
                [
                    entry["step"],
                    *(round(entry["scores"]["mean"][m][0], 2) for m in ("interpolation", "glp-hs", "network")),
                ]
                for entry in history
                if "mean" in entry["scores"]
            ]
        save_model(path, {name: value.half() for name, value in trainer.average.items()}, with_terms(card))


def rounded(table: Table) -> dict[str, dict[str, list[float]]]:
    """As the card holds it."""
    return {case: {m: [round(v, 3) for v in pair] for m, pair in row.items()} for case, row in table.items()}


def trials_of(config: FullBandConfig, data: Path, which: str = "test", snr_db: float = 0.0) -> list[Trial]:
    """The `test` or `watch` scenes with what the closed forms make of them."""
    sampling = config.observation.sampling()
    return [Trial.of(pair, sampling) for pair in observed_at(config, data, which, snr_db)]


def test_cases(config: FullBandConfig, data: Path) -> dict[str, list[Trial]]:
    """The test scenes at every noise of the configuration, by its name."""
    return {f"{snr:g} dB" if snr else "clean": trials_of(config, data, "test", snr) for snr in config.test_snr}


def open_run(config: Any, data: Path, workers: int, device: str, world: World) -> Run:
    """The run that a configuration asks for; HSFusionError where its scenes do not suit it."""
    if isinstance(config, FullBandConfig):
        scenes = observed_scenes(config, data, "train")
        if not config.watch:
            return FullBandRun(config, scenes, trials_of(config, data) if world.rank == 0 else [], device, world)
        trials = trials_of(config, data, "watch", config.test_snr[-1]) if world.rank == 0 else []
        return FullBandRun(config, scenes, trials, device, world, partial(test_cases, config, data))
    return SubspaceRun(config, data, workers, device, world)


def start_from(run: Run, model: Path) -> None:
    """Begin with the weights of a model file; its card's account of their training goes into the new card."""
    card = read_card(model)
    run.trainer.start_from(load_state(model))
    if isinstance(run, SubspaceRun) and card.get("objective") != OBJECTIVE:
        run.trainer.forget()
    run.started_from = {"name": card["name"], "sha256": sha256(model), "training": card["training"]}


def calibrate(config: Any, data: Path, model: Path) -> int:
    """Fit the expected errors of a model file anew to the configuration's held-out scenes: what the scene's estimates
    tell the network may have changed since it was trained. The weights stay. HSFusionError where nothing is held
    out, or the model was trained on it.
    """
    card, state = read_card(model), load_state(model)
    held_out = config.held_out if isinstance(config, TrainingConfig) else []
    if not held_out or set(held_out) & set(card["training"]["scenes"]):
        raise HSFusionError(
            f"{model.name} cannot be calibrated: the configuration must hold out scenes (held_out) that the model was "
            "not trained on."
        )
    scenes = {name: read_scene(find_scene(data, name)) for name in held_out}
    runner = SubspaceRunner({**card, "error_scale": 1.0}, state)
    card["error_scale"] = round(error_quantile(scenes, runner, COVERED, components=config.components), 3)
    save_model(model, state, card)
    print(f"error scale {card['error_scale']}, written to {model}")
    return 0


def check_averaged(run: Run, averaged: Sequence[Path]) -> None:
    """HSFusionError where one of the files is neither a checkpoint nor the model that the run starts from: the card
    tells where weights come from.
    """
    start = (run.started_from or {}).get("sha256")
    for path in averaged:
        if not path.is_file() or not (is_checkpoint(path) or sha256(path) == start):
            raise HSFusionError(
                f"{path} is neither a checkpoint of this run nor the model of --start: it cannot be averaged with the "
                "run."
            )


def train(run: Run, out: Path, resume: bool, averaged: Sequence[Path] = (), finish: bool = False) -> int:
    """The whole run, from the last checkpoint where `resume` is given; checkpoints, logs and the model file go to
    `out`.

    averaged: earlier checkpoints of the same run or the model that it started from, whose weights are averaged with the
    last ones. finish: the last checkpoint is what the run ends with, however many steps were planned.
    """
    from torch.utils.tensorboard import SummaryWriter

    trainer, config = run.trainer, run.trainer.config
    check_averaged(run, averaged)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f"{config.name}.checkpoint.safetensors"
    if (resume or finish) and checkpoint.exists():
        trainer.resume(checkpoint)
    if trainer.world.rank:
        trainer.run(checkpoint, lambda progress: None, lambda step: None)
        return 0
    writer = SummaryWriter(str(out / "tensorboard" / config.name))
    bar = tqdm(total=config.steps, initial=trainer.step, unit="step", mininterval=5, smoothing=0.05)
    record = out / f"{config.name}.history.json"
    history: list[dict[str, Any]] = (
        json.loads(record.read_text(encoding="utf-8")) if trainer.step and record.exists() else []
    )
    history = [entry for entry in history if entry["step"] <= trainer.step]

    def report(progress: Progress) -> None:
        bar.update(progress.step - bar.n)
        if progress.step % 50 == 0:
            bar.set_postfix(loss=f"{progress.loss:.4f}", samples_s=f"{progress.samples_per_second:.0f}")
            writer.add_scalar("loss", progress.loss, progress.step)
            writer.add_scalar("learning rate", trainer.learning_rate(progress.step), progress.step)

    def check(step: int) -> None:
        table = run.validate()
        if not table:
            return
        history.append({"step": step, "minutes": trainer.seconds / 60, "scores": table})
        record.write_text(json.dumps(history, indent=1), encoding="utf-8")
        for case, methods in table.items():
            bar.write(
                f"step {step:6d}  {case:16s} " + "  ".join(f"{m} {p:.2f}/{s:.2f}" for m, (p, s) in methods.items())
            )
            for method, (psnr, sam) in methods.items():
                writer.add_scalar(f"{case}/{method}/PSNR", psnr, step)
                writer.add_scalar(f"{case}/{method}/SAM", sam, step)

    if not finish:
        trainer.run(checkpoint, report, check)
    elif not trainer.step:
        raise HSFusionError(f"There is no checkpoint to finish with: {checkpoint} is missing.")
    if averaged:
        run.averaged_steps = trainer.average_with(averaged)
    if averaged or not history or history[-1]["step"] != trainer.step:
        check(trainer.step)
    path = out / f"{config.name}.safetensors"
    run.write(path, history, bar.write)
    bar.close()
    writer.close()
    print(f"model file: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0
