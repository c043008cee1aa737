"""Train the weights of a model from a YAML configuration and a folder of scenes; ends with a model file and its card.

python scripts/train.py resources/configs/hsfusion-base.yaml --data SCENES [--out FOLDER] [--start MODEL] [--average FILE ...] [--resume] [--finish] [--dry-run]
python scripts/train.py CONFIG.yaml --data SCENES --calibrate MODEL     the held-out scenes again, after a change of what estimates tell
torchrun --nproc-per-node N scripts/train.py CONFIG.yaml --data SCENES     several processes, each with its share of every batch
"""  # noqa: E501

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.distributed import join_world, leave_world
from hsfusion.models.training.subspace.config import load_config
from hsfusion.models.training.trainer import TrainerBase
from hsfusion.scripts.training.run import calibrate, open_run, start_from, train


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of scenes, one raster each, named as in the configuration"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/training"), help="folder for checkpoints, logs and the model file"
    )
    parser.add_argument("--start", type=Path, help="model file whose weights to begin with, of the same network")
    parser.add_argument(
        "--average",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="copies of earlier checkpoints of the run, or the model of --start, whose weights are averaged with the last ones",  # noqa: E501
    )
    parser.add_argument(
        "--calibrate", type=Path, metavar="MODEL", help="train nothing: fit the expected errors of this model file anew"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument("--finish", action="store_true", help="train no further: the last checkpoint becomes the model")
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
        if arguments.calibrate:
            return calibrate(config, arguments.data, arguments.calibrate)
        run = open_run(config, arguments.data, arguments.workers, arguments.device, world)
        if arguments.start:
            start_from(run, arguments.start)
        return (
            dry_run(run.trainer)
            if arguments.dry_run
            else train(run, arguments.out, arguments.resume, arguments.average, arguments.finish)
        )
    except HSFusionError as error:
        sys.exit(str(error))
    finally:
        if run is not None:
            run.trainer.close()
        leave_world(world)


def dry_run(trainer: TrainerBase, steps: int = 10) -> int:
    """What a run of this configuration would take on this machine; where it would use bfloat16, in float32 too: not
    every processor that has bfloat16 is faster in it, and a run must not go by the clock.
    """
    wanted = trainer.bf16
    lines, totals = [], {}
    for trainer.bf16 in (wanted, False) if wanted else (False,):
        name = "bfloat16" if trainer.bf16 else "float32"
        totals[name] = 0.0
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
                f"samples/second    {rate:.1f} in {name} ({count:,} steps of {seconds:.3f} s, {busy:.3f} s of "
                "processor time)"
            )
            totals[name] += count * seconds
    trainer.bf16 = wanted
    if trainer.world.rank == 0:
        parameters = sum(p.numel() for p in trainer.network.parameters())
        total = next(iter(totals.values()))
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + total))
        print(f"parameters        {parameters:,}")
        print(f"precision         {next(iter(totals))}")
        print(f"memory            {_memory(trainer)}")
        print("\n".join(lines))
        print(f"expected duration {total / 60:.0f} minutes, ends {end} if started now")
        if totals["float32"] < 0.9 * total:
            print("float32 is faster here: say `bf16: false` in the configuration")
    return 0


def _memory(trainer: TrainerBase) -> str:
    if trainer.device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU"
    import resource

    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


def leave(code: int) -> None:
    """End this process; one of several without waiting for torch's own threads, which now and then abort it at its end
    ("terminate called").
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
