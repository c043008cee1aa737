"""Train the weights of a model from a YAML configuration and a folder of scenes; ends with a model file and its card.

python scripts/train.py resources/configs/hsfusion-base.yaml --data SCENES [--out FOLDER] [--resume] [--dry-run]
torchrun --nproc-per-node N scripts/train.py CONFIG.yaml --data SCENES     several processes, each with its share of every batch
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _training import Run, open_run

from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.config import load_config
from hsfusion.models.training.distributed import join_world, leave_world
from hsfusion.models.training.trainer import Progress, TrainerBase


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
    parser.add_argument("--device", default=default_device())
    return parser.parse_args()


def default_device() -> str:
    """The GPU of this process where there is one."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def main() -> int:
    """Train, validate, write the model file; 1 and one sentence where something is wrong."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    world, run = join_world(arguments.device), None
    try:
        config = load_config(arguments.config)
        run = open_run(config, arguments.data, arguments.workers, arguments.device, world)
        return dry_run(run.trainer) if arguments.dry_run else train(run, arguments.out, arguments.resume)
    except HSFusionError as error:
        sys.exit(str(error))
    finally:
        if run is not None:
            run.trainer.close()
        leave_world(world)


def dry_run(trainer: TrainerBase, steps: int = 10) -> int:
    """What a run of this configuration would take on this machine."""
    total, lines = 0.0, []
    for first, count in trainer.phases():
        trainer.step = first
        trainer.train_step()
        started, busy = time.monotonic(), time.process_time()
        for _ in range(steps):
            trainer.train_step()
        seconds, busy = (time.monotonic() - started) / steps, (time.process_time() - busy) / steps
        trainer.step = first
        rate = trainer.batch_size() / seconds
        lines.append(
            f"samples/second    {rate:.1f} ({count:,} steps of {seconds:.3f} s, {busy:.3f} s of processor time)"
        )
        total += count * seconds
    if trainer.world.rank == 0:
        parameters = sum(p.numel() for p in trainer.network.parameters())
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + total))
        print(f"parameters        {parameters:,}")
        print(f"memory            {_memory(trainer)}")
        print("\n".join(lines))
        print(f"expected duration {total / 60:.0f} minutes, ends {end} if started now")
    return 0


def _memory(trainer: TrainerBase) -> str:
    if trainer.device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU"
    import resource

    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


def train(run: Run, out: Path, resume: bool) -> int:
    """The whole run, from the last checkpoint where `resume` is given; checkpoints, logs and the model file go to `out`."""
    from torch.utils.tensorboard import SummaryWriter

    trainer, config = run.trainer, run.trainer.config
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f"{config.name}.checkpoint.safetensors"
    if resume and checkpoint.exists():
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

    trainer.run(checkpoint, report, check)
    if not history or history[-1]["step"] != trainer.step:
        check(trainer.step)
    path = out / f"{config.name}.safetensors"
    run.write(path, history, bar.write)
    bar.close()
    writer.close()
    print(f"model file: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
