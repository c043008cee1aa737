"""Every method on simulated pairs of every scene, PSF, shift, response, gain and noise unknown to it: PSNR (dB) and SAM
(degrees).

python scripts/benchmark.py --scenes FOLDER [--names a,b,c] [--cases clean,"35 dB"] [--crop 48] [--model FILE] [--samples 4] [--thorough] [--output FILE.md]
python scripts/benchmark.py --speed [--size 1024] [--bands 100] [--output docs/speed.md]
python scripts/benchmark.py speed --compare COMMIT   whole commands of this checkout and another, run in turn: is a change real
python scripts/benchmark.py --memory [--sizes 512,2048,8192] [--bands 100] [--output docs/memory.md]
python scripts/benchmark.py --scenes FOLDER --protocol reproduction [--share 0.5] [--names ddrf,...] [--output docs/reproduction.md]
python scripts/benchmark.py reproduce --paper ddpm-fus --data FOLDER   the tables of a paper, from its data sets as they are distributed
python scripts/benchmark.py published [--data SCENES] [--output docs/measured/published.md]   the bundled weights on scenes they never saw
python scripts/benchmark.py iterating --data SCENES [--model ddpm-fus] [--seeds 1,2,3] [--steps 360]   diffusion against a regression of the same network
python scripts/benchmark.py --pair HSI MSI --ratio 3   a real pair on one grid, its HSI degraded by the ratio

Columns of the first: glp-hs* = GLP-HS told the true PSF, the yardstick (ungated: as published, without the gate on what
lies outside the subspace); interpolation (cubic), the closed forms, their average of the MSI with its noise filtered as
the model does, and the model, blind; guarded = what hsfusion:fuse ships after Wald's protocol. --thorough adds gsa,
sfim-hs, cnmf, hysure, a denoising baseline, the model told the true PSF and one a quarter too wide. Ceiling: PSNR at
which the error equals the reference's own noise. The peak is the reference's maximum.
"""  # noqa: E501

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.weights import load_state, read_card, save_model
from hsfusion.scripts.benchmarking.quality import (
    Job,
    every_row,
    for_card,
    run_all,
    summary,
    trust_table,
    wanted_cases,
    write,
)
from hsfusion.scripts.benchmarking.real_pair import real_pair
from hsfusion.scripts.benchmarking.reproduction import run_protocol
from hsfusion.scripts.data.scenes import FEWEST_BANDS, hyperspectral_scenes

MODEL = Path(__file__).resolve().parents[1] / "resources" / "models" / "hsfusion-base.safetensors"

ALLOCATOR = {  # as QGIS starts its backend (hsfusion_plugin/backend/local/interpreter.py)
    "GOMP_SPINCOUNT": "0",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, help="folder of reference rasters")
    parser.add_argument("--pair", type=Path, nargs=2, metavar=("HSI", "MSI"), help="a real pair instead of scenes")
    parser.add_argument("--ratio", type=int, default=3, help="of the real pair")
    parser.add_argument("--speed", action="store_true", help="time the parts of a fusion on a synthetic pair instead")
    parser.add_argument("--memory", action="store_true", help="measure what whole runs hold in memory instead")
    parser.add_argument("--sizes", default="512,2048,8192", help="of the pairs of --memory, MSI pixels per side")
    parser.add_argument("--size", type=int, default=1024, help="of the pair of --speed, MSI pixels per side")
    parser.add_argument("--bands", type=int, default=100, help="of the HSI of --speed and --memory")
    parser.add_argument(
        "--names",
        default="",
        help=f"scenes to use, by file name without suffix; default: all with {FEWEST_BANDS} bands or more",
    )
    parser.add_argument("--cases", default="", help="cases to run; default: all")
    parser.add_argument(
        "--crop",
        type=int,
        default=0,
        help="pixels per side that are used of the middle of each scene, to see what a small one costs",
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument(
        "--samples", type=int, default=0, help="also the mean of this many diffusion samples of 5 steps"
    )
    parser.add_argument("--thorough", action="store_true", help="also the slower methods and baselines")
    parser.add_argument("--workers", type=int, default=2, help="scenes at once")
    parser.add_argument(
        "--protocol", default="", help="train and compare variants of the published systems: reproduction"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the training steps of the protocol's configurations"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/reproduction"),
        help="folder of the protocol's runs; what is there is not done again",
    )
    parser.add_argument("--card", action="store_true", help="write the gains into the model's card, too")
    parser.add_argument("--output", type=Path, help="Markdown file to write; a CSV with every row is written beside it")
    arguments = parser.parse_args()
    if not (arguments.scenes or arguments.pair or arguments.speed or arguments.memory):
        parser.error("give --scenes, --pair, --speed or --memory")
    return arguments


def main() -> int:
    """Print the tables, and write them where --output says."""
    if sys.argv[1:2] == ["reproduce"]:
        from hsfusion.scripts.benchmarking.papers.command import main as reproduce

        return reproduce(sys.argv[2:])
    if sys.argv[1:2] == ["published"]:
        from hsfusion.scripts.benchmarking.papers.bundled import main as published

        return published(sys.argv[2:])
    if sys.argv[1:2] == ["iterating"]:
        from hsfusion.scripts.benchmarking.iterating import main as iterating

        return iterating(sys.argv[2:])
    if sys.argv[1:2] == ["speed"]:
        from hsfusion.scripts.benchmarking.speed.compare import main as compare

        return compare(sys.argv[2:])
    arguments = parse()
    try:
        if arguments.speed:
            return speed(arguments)
        if arguments.memory:
            return memory(arguments)
        if arguments.protocol:
            only = arguments.names.split(",") if arguments.names else []
            return run_protocol(
                arguments.protocol, arguments.scenes, arguments.work, arguments.share, only, arguments.output
            )
        lines = real_pair(*arguments.pair, arguments.ratio, arguments.model) if arguments.pair else quality(arguments)
        print("\n".join(lines))
    except HSFusionError as error:
        sys.exit(str(error))
    return 0


def speed(arguments: argparse.Namespace) -> int:
    """Print the tables of --speed, and write them where --output says."""
    from hsfusion.scripts.benchmarking.speed.tables import speed_tables

    if sys.platform.startswith("linux") and not ALLOCATOR.items() <= os.environ.items():  # read before main() begins
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    text = "\n".join(speed_tables(arguments.model, arguments.size, arguments.bands))
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def memory(arguments: argparse.Namespace) -> int:
    """Print the table of --memory, and write it where --output says."""
    from hsfusion.scripts.benchmarking.memory import memory_tables

    text = "\n".join(memory_tables([int(size) for size in arguments.sizes.split(",")], arguments.bands))
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def quality(arguments: argparse.Namespace) -> list[str]:
    """The tables as Markdown lines."""
    cases, card = wanted_cases(arguments.cases), read_card(arguments.model)
    names = list(hyperspectral_scenes(arguments.scenes, arguments.names))
    jobs = [
        Job(arguments.scenes, name, case, arguments.model, arguments.samples, arguments.thorough, arguments.crop)
        for name in names
        for case in cases
    ]
    rows, trust = run_all(jobs, arguments.workers)
    if not rows:
        raise HSFusionError("No scene could be used: see the messages above.")
    given = {name: getattr(arguments, name) for name in ("names", "cases", "crop", "samples")}
    options = [word for name, value in given.items() if value for word in (f"--{name}", str(value))]
    options += ["--thorough"] if arguments.thorough else []
    command = shlex.join(["python", "scripts/benchmark.py", "--scenes", "SCENES", *options])
    lines = [
        *("# Benchmark", "", f"Model: {card['name']}, code {card.get('code_version', '')}", ""),
        *("## Gains (dB PSNR over glp-hs*, unless said otherwise)", "", *summary(rows), ""),
        *("## Trust in UNCERTAINTY", "", *trust_table(trust), ""),
        *("## PSNR (dB)", "", *every_row(rows, "psnr"), ""),
        *("## SAM (degrees)", "", *every_row(rows, "sam"), ""),
        *(f"Command: `{command}`", ""),
    ]
    if arguments.card:
        found = for_card(rows, card["name"], command)
        save_model(arguments.model, load_state(arguments.model), {**card, "benchmark": found})
    if arguments.output:
        write(arguments.output, lines, rows)
    return lines


if __name__ == "__main__":
    sys.exit(main())
