"""Every method on simulated pairs of every scene, PSF, response, gain and noise unknown to it: a table of PSNR (dB) and SAM (degrees).

python scripts/benchmark.py --scenes FOLDER [--names a,b,c] [--cases clean,"35 dB"] [--model FILE] [--samples 4] [--output docs/benchmark.md]

Columns: interpolation (cubic); glp-hs* = GLP-HS told the true PSF, the yardstick; the closed forms and the model, blind; guarded = what
hsfusion:fuse ships after Wald's protocol. Ceiling: PSNR at which the error equals the reference's own noise. The peak is the reference's maximum.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _scenes import SUFFIXES, find_scene, read_scene

from hsfusion.models.errors import HSFusionError
from hsfusion.models.fusion import SubspaceRunner
from hsfusion.models.scene.blocks import whole_block
from hsfusion.models.scene.subspace import band_noise
from hsfusion.models.training.validation import (
    CASES,
    CLOSED_FORMS,
    Case,
    Fitted,
    Runner,
    Scene,
    guarded,
    scores,
    simulate,
)
from hsfusion.models.weights import load_state, read_card

YARDSTICK = "glp-hs*"
MODEL = Path(__file__).resolve().parents[1] / "resources" / "models" / "hsfusion-base.safetensors"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of reference rasters")
    parser.add_argument(
        "--names", default="", help="scenes to use, by file name without suffix; default: all with 20 bands or more"
    )
    parser.add_argument("--cases", default="", help="cases to run; default: all")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument(
        "--samples", type=int, default=0, help="also the mean of this many diffusion samples of 5 steps"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write; a CSV with every row is written beside it")
    return parser.parse_args()


def run_case(scene: Scene, case: Case, runner: Runner, name: str, samples: int) -> list[dict[str, object]]:
    """One row per method."""
    pair = simulate(scene, case)
    block = whole_block(pair.hsi, pair.msi)
    told = Fitted.to(block, pair.sampling).fuse()
    fitted = Fitted.to(block, None)
    fused = {YARDSTICK: told["glp-hs"], **fitted.fuse(runner)}
    fused[name] = fused.pop("network")
    if samples:
        fused[f"{samples} samples"] = fitted.fuse(runner, samples=samples, steps=5)["network"]
    choice = guarded(fitted, runner)
    fused["guarded"] = fused[name if choice == "network" else choice]
    peak = float(pair.truth.max())
    noise = band_noise(pair.truth.reshape(len(pair.truth), -1).T)
    ceiling = 10 * np.log10(peak**2 / np.mean(noise**2))
    return [{"method": method, **scores(pair.truth, cube), "ceiling": ceiling} for method, cube in fused.items()]


def table(rows: list[dict[str, object]], methods: list[str], key: str) -> list[str]:
    """Markdown: a line per scene and case, then mean and worst difference to the yardstick per case."""
    lines = ["| case | scene | " + " | ".join(methods) + " | ceiling |", "|---|---|" + "---|" * (len(methods) + 1)]
    cases = list(dict.fromkeys(r["case"] for r in rows))
    for case in cases:
        scenes = list(dict.fromkeys(r["scene"] for r in rows if r["case"] == case))
        values = {(r["scene"], r["method"]): r for r in rows if r["case"] == case}
        for scene in scenes:
            cells = [f"{values[scene, m][key]:.2f}" if (scene, m) in values else "" for m in methods]
            lines.append(
                f"| {case} | {scene} | " + " | ".join(cells) + f" | {values[scene, methods[0]]['ceiling']:.1f} |"
            )
        mean = [np.mean([values[s, m][key] for s in scenes]) for m in methods]
        lines.append(f"| **{case}** | **mean** | " + " | ".join(f"**{v:.2f}**" for v in mean) + " | |")
        if key == "psnr":
            gains = {m: [values[s, m][key] - values[s, YARDSTICK][key] for s in scenes] for m in methods}
            lines.append(f"| {case} | mean gain | " + " | ".join(f"{np.mean(gains[m]):+.2f}" for m in methods) + " | |")
            lines.append(f"| {case} | worst gain | " + " | ".join(f"{np.min(gains[m]):+.2f}" for m in methods) + " | |")
            best = [max(values[s, m][key] for m in CLOSED_FORMS) for s in scenes]
            over = [np.mean([values[s, m][key] - b for s, b in zip(scenes, best)]) for m in methods]
            lines.append(
                f"| {case} | mean over the best closed form per scene | "
                + " | ".join(f"{v:+.2f}" for v in over)
                + " | |"
            )
    return lines


def main() -> int:
    """Print the tables, and write them where --output says."""
    arguments = parse()
    torch.set_num_threads(2)
    try:
        names = (
            arguments.names.split(",")
            if arguments.names
            else sorted(p.stem for p in arguments.scenes.iterdir() if p.suffix.lower() in SUFFIXES)
        )
        card = read_card(arguments.model)
        runner = SubspaceRunner(card, load_state(arguments.model))
        wanted = arguments.cases.split(",") if arguments.cases else [c.name for c in CASES]
        rows: list[dict[str, object]] = []
        for name in names:
            scene = read_scene(find_scene(arguments.scenes, name))
            if len(scene.cube) < 20:
                continue
            for case in (c for c in CASES if c.name in wanted):
                began = time.monotonic()
                try:
                    found = run_case(scene, case, runner, card["name"], arguments.samples)
                except HSFusionError as error:
                    print(f"{name}, {case.name}: {error}", file=sys.stderr)
                    continue
                rows += [{"scene": name, "case": case.name, **row} for row in found]
                print(f"{name}, {case.name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    except HSFusionError as error:
        sys.exit(str(error))
    methods = list(dict.fromkeys(str(r["method"]) for r in rows))
    given = {"--names": arguments.names, "--cases": arguments.cases, "--samples": arguments.samples or ""}
    options = [word for name, value in given.items() if value for word in (name, str(value))]
    command = shlex.join(["python", "scripts/benchmark.py", "--scenes", "SCENES", *options])
    text = ["# Benchmark", "", f"Model: {card['name']}, code {card.get('code_version', '')}", "", "PSNR (dB)", ""]
    text += [*table(rows, methods, "psnr"), "", "SAM (degrees)", "", *table(rows, methods, "sam"), ""]
    print("\n".join(text))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text("\n".join([*text, f"Command: `{command}`", ""]), encoding="utf-8")
        with open(arguments.output.with_suffix(".csv"), "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["scene", "case", "method", "psnr", "sam", "ceiling"])
            writer.writeheader()
            writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
