"""Protocols of scripts/benchmark.py: variants of configurations that are trained one after the other, and tables of
what they reach.

Every variant is a YAML file in the work folder, trained as scripts/train.py would; what is done already is not done
again.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.training.distributed import World
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.loop import build_full_band
from hsfusion.models.training.full_band.validation import Trial
from hsfusion.models.training.subspace.config import load_config
from hsfusion.scripts.benchmarking.claims import verdicts
from hsfusion.scripts.data.sources import observed_scenes
from hsfusion.scripts.training.run import FullBandRun, train, trials_of

ROOT = Path(__file__).resolve().parents[2]
STEPS = (1, 2, 5, 10, 20, 50)
FEW_STEPS = (1, 5, 20)
PATCH = 64  # fine pixels, for which the papers count operations


@dataclass(frozen=True)
class Variant:
    """A bundled configuration with some keys changed; `settings` are merged, other keys replaced."""

    name: str
    base: str
    says: str
    changes: dict[str, Any] = field(default_factory=dict)
    sweep: bool = False  # over all numbers of sampling steps, as in DDPM-Fus's Table V


ONE_SHOT = {"regression": True, "objective": "x0"}
FIXED = [{"size": 32, "batch": 4, "steps": 650}]
REPRODUCTION = (
    Variant("ddpm-fus", "ddpm-fus", "DDPM-Fus, x0, l1", sweep=True),
    Variant("ddpm-fus-one-shot", "ddpm-fus", "DDPM-Fus's network, one-shot regression", ONE_SHOT),
    Variant("ddrf", "ddrf", "DDRF, x0 of the residual, l1"),
    Variant("ddrf-one-shot", "ddrf", "DDRF's network, one-shot regression", ONE_SHOT),
    Variant("hsr-diff", "hsr-diff", "HSR-Diff, three-term loss, patches 16 then 32"),
    Variant("hsr-diff-one-shot", "hsr-diff", "HSR-Diff's network, one-shot regression", ONE_SHOT),
    Variant("ddpm-fus-eps", "ddpm-fus", "objective eps", {"objective": "eps"}, sweep=True),
    Variant("ddpm-fus-l2", "ddpm-fus", "x0, l2", {"loss": "l2"}),
    Variant("ddpm-fus-v", "ddpm-fus", "objective v", {"objective": "v"}),
    Variant("ddpm-fus-eps-l2", "ddpm-fus", "eps, l2", {"objective": "eps", "loss": "l2"}),
    Variant("ddrf-no-style", "ddrf", "without style modulation", {"settings": {"style": False}}),
    Variant("ddrf-no-wavelet", "ddrf", "without wavelet modulation", {"settings": {"wavelet": False}}),
    Variant(
        "ddrf-concatenated",
        "ddrf",
        "conditions concatenated, no injection",
        {"settings": {"style": False, "wavelet": False, "concatenate": True}},
    ),
    Variant("hsr-diff-no-sr-stream", "hsr-diff", "without the SR stream", {"settings": {"sr_stream": False}}),
    Variant(
        "hsr-diff-convolution",
        "hsr-diff",
        "convolutions for transformer layers (CD-CNN)",
        {"settings": {"layer": "convolution"}},
    ),
    Variant("hsr-diff-fixed", "hsr-diff", "fixed patches of 32", {"stages": FIXED}),
    Variant("hsr-diff-l1", "hsr-diff", "l1 instead of the three-term loss", {"loss": "l1"}),
)
PROTOCOLS = {"reproduction": REPRODUCTION}
TABLES = (
    ("The systems, and the same networks as one-shot regressions", ("ddpm-fus", "ddpm-fus-one-shot", "hsr-diff", "hsr-diff-one-shot", "ddrf", "ddrf-one-shot")),  # noqa: E501
    ("eps, x0 and v (DDPM-Fus)", ("ddpm-fus-eps", "ddpm-fus", "ddpm-fus-v")),
    ("l1 and l2 (DDPM-Fus)", ("ddpm-fus", "ddpm-fus-l2", "ddpm-fus-eps", "ddpm-fus-eps-l2")),
    ("Progressive patches, SR stream, loss (HSR-Diff)", ("hsr-diff", "hsr-diff-fixed", "hsr-diff-no-sr-stream", "hsr-diff-convolution", "hsr-diff-l1")),  # noqa: E501
    ("Injections (DDRF)", ("ddrf", "ddrf-no-style", "ddrf-no-wavelet", "ddrf-concatenated")),
)  # fmt: skip


def run_protocol(name: str, scenes: Path, work: Path, share: float, only: list[str], output: Path | None) -> int:
    """Train and score the variants of a protocol, and write their tables; `share` of the bundled
    configurations' steps.
    """
    if name not in PROTOCOLS:
        raise HSFusionError(f"There is no protocol {name}: choose one of {', '.join(PROTOCOLS)}.")
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    configs = [(v, load_config(write_config(v, work, share))) for v in PROTOCOLS[name] if not only or v.name in only]
    if not configs:
        raise HSFusionError(f"The protocol {name} has none of these variants: {', '.join(only)}.")
    first = configs[0][1]
    pairs, trials = observed_scenes(first, scenes, "train"), trials_of(first, scenes)  # the same for all
    results: dict[str, dict[str, Any]] = {}
    for variant, config in configs:
        if not (work / f"{variant.name}.safetensors").exists():
            train(FullBandRun(config, pairs, trials, "cpu", World()), work, resume=True)
        results[variant.name] = scored(variant, config, trials, work)
        print(f"{variant.name}: {results[variant.name]['psnr']}", file=sys.stderr, flush=True)
        if output:
            write_tables(output, [v for v, _ in configs], results, trials, name, share)
    return 0


def write_config(variant: Variant, work: Path, share: float) -> Path:
    """The YAML file of a variant; left alone where it is there already with the same content."""
    plain = yaml.safe_load((ROOT / "resources" / "configs" / f"{variant.base}.yaml").read_text(encoding="utf-8"))
    changes = dict(variant.changes)
    plain["settings"] = {**plain.get("settings", {}), **changes.pop("settings", {})}
    plain.update(changes, name=variant.name, validations=1)
    for stage in plain["stages"]:
        stage["steps"] = max(1, round(stage["steps"] * share))
    path, text = work / f"{variant.name}.yaml", yaml.safe_dump(plain, sort_keys=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        for old in work.glob(f"{variant.name}.*"):
            old.unlink()
        path.write_text(text, encoding="utf-8")
    return path


def scored(variant: Variant, config: FullBandConfig, trials: list[Trial], work: Path) -> dict[str, Any]:
    """PSNR and SAM per number of steps, size and cost of a trained variant."""
    kept, model = work / f"{variant.name}.json", work / f"{variant.name}.safetensors"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    card = read_card(model)
    runner = FullBandRunner(card, load_state(model))
    psnr, sam, seconds, scenes = {}, {}, {}, {}
    for steps in (1,) if config.regression else STEPS if variant.sweep else FEW_STEPS:
        busy, found = time.process_time(), []
        for trial in trials:
            found.append(trial.fuse(runner, steps=steps))
        seconds[str(steps)] = (time.process_time() - busy) / sum(x[0].size for x in found) * 512**2
        scores = [trial.score(x) for trial, x in zip(trials, found)]
        psnr[str(steps)], sam[str(steps)] = (sum(s[i] for s in scores) / len(scores) for i in (0, 1))
        scenes[str(steps)] = [score[0] for score in scores]
    result = {"says": variant.says, "scenes": scenes, "psnr": psnr, "sam": sam, "seconds": seconds, **size_of(config)}
    result["training_seconds"] = card["training"]["cpu_seconds"]
    result["steps"], result["default_steps"] = card["training"]["steps"], card["default_steps"]
    kept.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def size_of(config: FullBandConfig) -> dict[str, float]:
    """Parameters, and multiplications of one evaluation on a patch of 64 x 64 pixels."""
    network = build_full_band(config).eval()
    bands, msi = len(config.bands.nanometres("bands")[0]), len(config.msi.nanometres("msi")[0])
    image, guide = torch.zeros(1, bands, PATCH, PATCH), torch.zeros(1, msi, PATCH, PATCH)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image, torch.full((1,), 0.5), msi=guide, hsi_up=image)
    return {"parameters": sum(p.numel() for p in network.parameters()), "macs": counter.get_total_flops() / 2}


def write_tables(
    output: Path, variants: list[Variant], results: dict[str, Any], trials: list[Trial], name: str, share: float
) -> None:
    """Markdown after the line `<!-- tables -->` of `output`, whose text before it stays; a CSV beside it."""
    rivals = {m: [t.score(t.rivals[m]) for t in trials] for m in trials[0].rivals}
    lines = [f"Scenes tested: {', '.join(t.pair.name for t in trials)}.", ""]
    lines += ["| without a network | PSNR (dB) | SAM (degrees) |", "|---|---|---|"]
    lines += [f"| {m} | {_mean(s, 0):.2f} | {_mean(s, 1):.2f} |" for m, s in rivals.items()]
    lines += ["", "## The papers' claims", "", *verdicts(results, _mean(rivals["glp-hs"], 0))]
    for title, names in TABLES:
        rows = [(n, results[n]) for n in names if n in results]
        if rows:
            lines += ["", f"## {title}", "", *_table(rows)]
    command = (
        f"python scripts/benchmark.py --protocol {name} --scenes SCENES --share {share:g} --output docs/{output.name}"
    )
    lines += ["", f"Command: `{command}`", ""]
    marker = "<!-- tables -->"
    before = output.read_text(encoding="utf-8").split(marker)[0] if output.exists() else "# Reproduction\n\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join([before.rstrip(), "", marker, "", *lines]), encoding="utf-8")
    rows = ["variant,steps,psnr,sam,seconds_per_512x512,parameters,macs_64x64,training_seconds,training_steps"]
    for variant in variants:
        r = results.get(variant.name)
        for s in r["psnr"] if r else ():
            values = (r["psnr"][s], r["sam"][s], r["seconds"][s], r["parameters"], r["macs"], r["training_seconds"])
            rows.append(
                ",".join([variant.name, s, *(f"{v:.4g}" if v < 1e4 else f"{v:.0f}" for v in values), str(r["steps"])])
            )
    output.with_suffix(".csv").write_text("\n".join([*rows, ""]), encoding="utf-8")


def _table(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    head = [f"{s} step{'s' if s > 1 else ''}" for s in STEPS]
    lines = [
        f"| variant | {' | '.join(head)} | SAM at best | M parameters | G MACs 64x64 | training s | s per 512x512, 1 "
        "step |",
        "|---|" + "---|" * (len(head) + 5),
    ]
    for name, r in rows:
        cells = [f"{r['psnr'][str(s)]:.2f}" if str(s) in r["psnr"] else "" for s in STEPS]
        best = max(r["psnr"], key=lambda s: r["psnr"][s])
        lines.append(
            f"| {name}: {r['says']} | {' | '.join(cells)} | {r['sam'][best]:.2f} | {r['parameters'] / 1e6:.2f} | "
            f"{r['macs'] / 1e9:.2f} "
            f"| {r['training_seconds']} | {r['seconds']['1']:.1f} |"
        )
    return lines


def _mean(scores: list[tuple[float, float]], part: int) -> float:
    return sum(s[part] for s in scores) / len(scores)
