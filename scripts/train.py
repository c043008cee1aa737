"""Train the weights of a model from a YAML configuration and a folder of scenes; ends with a model file and its card.

python scripts/train.py resources/configs/hsfusion-base.yaml --data SCENES [--out FOLDER] [--resume] [--dry-run]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _scenes import find_scene, read_scene

from hsfusion.models.errors import HSFusionError
from hsfusion.models.fusion import SubspaceRunner
from hsfusion.models.training.card import make_card
from hsfusion.models.training.config import TrainingConfig, load_config
from hsfusion.models.training.loop import Progress, Trainer
from hsfusion.models.training.validation import Scene, error_quantile, means, validate
from hsfusion.models.weights import save_model


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of scenes, one raster each, named as in the configuration"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/training"), help="folder for checkpoints, logs and the model file"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument(
        "--dry-run", action="store_true", help="a few steps only: parameters, memory, speed, expected end"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that draw training examples (0: this one)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the network")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> int:
    """Train, validate, write the model file; 1 and one sentence where something is wrong."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    try:
        config = load_config(arguments.config)
        scenes = {name: read_scene(find_scene(arguments.data, name)) for name in (*config.scenes, *config.held_out)}
        trainer = Trainer(config, [scenes[n].cube for n in config.scenes], arguments.workers, arguments.device)
    except HSFusionError as error:
        sys.exit(str(error))
    try:
        return dry_run(trainer) if arguments.dry_run else train(trainer, config, scenes, arguments)
    except HSFusionError as error:
        sys.exit(str(error))
    finally:
        trainer.pool.close()


def dry_run(trainer: Trainer, steps: int = 20) -> int:
    """What a run of this configuration would take on this machine."""
    trainer.train_step()
    started = time.monotonic()
    for _ in range(steps):
        trainer.train_step()
    seconds = (time.monotonic() - started) / steps
    parameters = sum(p.numel() for p in trainer.network.parameters())
    memory = (
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU"
        if trainer.device.type == "cuda"
        else _resident_memory()
    )
    print(f"parameters        {parameters:,}")
    print(f"memory            {memory}")
    print(f"samples/second    {trainer.config.batch / seconds:.0f}")
    print(f"expected duration {trainer.config.steps * seconds / 60:.0f} minutes for {trainer.config.steps:,} steps")
    return 0


def _resident_memory() -> str:
    import resource

    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


def train(trainer: Trainer, config: TrainingConfig, scenes: dict[str, Scene], arguments: argparse.Namespace) -> int:
    """The whole run, from the last checkpoint where --resume is given."""
    from torch.utils.tensorboard import SummaryWriter

    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / f"{config.name}.checkpoint.safetensors"
    if arguments.resume and checkpoint.exists():
        trainer.resume(checkpoint)
    writer = SummaryWriter(str(arguments.out / "tensorboard" / config.name))
    bar = tqdm(total=config.steps, initial=trainer.step, unit="step", mininterval=5, smoothing=0.05)
    held_out = {n: scenes[n] for n in config.held_out}
    record = arguments.out / f"{config.name}.history.json"
    history: list[dict[str, Any]] = (
        json.loads(record.read_text(encoding="utf-8")) if trainer.step and record.exists() else []
    )
    minutes_before = history[-1].get("minutes", 0.0) if history else 0.0

    def report(progress: Progress) -> None:
        bar.update(progress.step - bar.n)
        if progress.step % 50 == 0:
            bar.set_postfix(loss=f"{progress.loss:.4f}", samples_s=f"{progress.samples_per_second:.0f}")
            writer.add_scalar("loss", progress.loss, progress.step)

    def check(step: int) -> None:
        if not held_out:
            return
        table = means(validate(held_out, runner_of(trainer, config), components=config.components))
        history.append({"step": step, "minutes": minutes_before + (time.monotonic() - started) / 60, "scores": table})
        record.write_text(json.dumps(history, indent=1), encoding="utf-8")
        for case, methods in table.items():
            bar.write(
                f"step {step:6d}  {case:7s} " + "  ".join(f"{m} {p:.2f}/{s:.2f}" for m, (p, s) in methods.items())
            )
            for method, (psnr, sam) in methods.items():
                writer.add_scalar(f"{case}/{method}/PSNR", psnr, step)
                writer.add_scalar(f"{case}/{method}/SAM", sam, step)

    started = time.monotonic()
    trainer.run(checkpoint, report, check)
    if not history or history[-1]["step"] != trainer.step:
        check(trainer.step)
    bar.close()
    path = arguments.out / f"{config.name}.safetensors"
    card = make_card(config, trainer.step, minutes_before + (time.monotonic() - started) / 60, history)
    if held_out:
        bar.write("calibrating the expected errors on the held-out scenes")
        quantile = error_quantile(held_out, runner_of(trainer, config), components=config.components)
        card["error_scale"] = round(quantile, 3)
    save_model(path, {name: value.half() for name, value in trainer.average.items()}, card)
    print(f"model file: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def runner_of(trainer: Trainer, config: TrainingConfig) -> SubspaceRunner:
    """The moving average as the backend would run it."""
    card = make_card(config, trainer.step, 0.0, [])
    return SubspaceRunner(card, {k: v.clone() for k, v in trainer.average.items()}, str(trainer.device))


if __name__ == "__main__":
    sys.exit(main())
