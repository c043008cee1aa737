"""The guard: what hsfusion:fuse ships against the model without it, on simulated pairs whose PSF is known.

python scripts/benchmarking/guard.py --scenes FOLDER [--names a,b,c] [--cases clean,"25 dB"] [--model FILE] [--output FILE.md]

Columns of the first table: per case, PSNR over GLP-HS (dB) of the best closed form with the truth at hand, of the model
and of what is shipped (mean, worst scene), what the guard costs in PSNR (dB) and SAM (%), in how many scenes it took a
closed form. Of the second: what was shipped, the model's lead by RMSE, SAM and Q2n at reduced resolution (dB; none where
nothing could be checked), PSNR and SAM of model and shipped.
"""  # noqa: E501

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hsfusion.models.cards import beats_closed_forms
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.methods.names import CLOSED_FORMS
from hsfusion.models.scene.reduced.guard import decide
from hsfusion.models.trials import CASES, NETWORK, Case, Fitted, Network, Scene, scores, simulate
from hsfusion.scripts.benchmarking.quality import wanted_cases
from hsfusion.scripts.data.scenes import find_scene, hyperspectral_scenes, read_scene

MODEL = Path(__file__).resolve().parents[2] / "resources" / "models" / "hsfusion-base.safetensors"


def main() -> int:
    """Print the tables, and write them where --output says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--names", default="")
    parser.add_argument("--cases", default=",".join(case.name for case in CASES))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    card = read_card(arguments.model)
    runner = SubspaceRunner(card, load_state(arguments.model))
    rows = []
    for case in wanted_cases(arguments.cases):
        for name in hyperspectral_scenes(arguments.scenes, arguments.names):
            rows.append(row(name, read_scene(find_scene(arguments.scenes, name)), case, runner, card))
            print(_line(rows[-1]), file=sys.stderr)
    given = {"--names": arguments.names, "--cases": arguments.cases}
    options = [word for flag, value in given.items() if value for word in (flag, value)]
    command = shlex.join(["python", "scripts/benchmarking/guard.py", "--scenes", "SCENES", *options])
    about = str(__doc__).split("\n\n")[2]
    text = "\n".join(["# The guard", "", about, "", f"Command: `{command}`", "", *summary(rows), "", *table(rows), ""])
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def row(name: str, scene: Scene, case: Case, runner: SubspaceRunner, card: dict[str, Any]) -> dict[str, Any]:
    """One scene and case."""
    pair = simulate(scene, case)
    block = whole_block(pair.hsi, pair.msi)
    fitted = Fitted.to(block, pair.sampling, pair.wavelengths, int(card["components"]))
    forms = fitted.closed_forms(denoise=True)
    judged = {form: scores(pair.truth, fitted.expand(forms.named(form))) for form in CLOSED_FORMS}
    judged[NETWORK] = scores(pair.truth, fitted.expand(fitted.infer(runner)["x"][0]))
    method, trusted = Network(runner, {}), beats_closed_forms(card)
    verdict = decide(fitted.scene, [block], method, pair.wavelengths, trusted=trusted)
    return {"scene": name, "case": case.name, "judged": judged, "verdict": verdict}


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: a line per case."""
    lines = [
        "| case | best closed form | model | worst | shipped | worst | guard's cost PSNR | SAM | replaced |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in dict.fromkeys(r["case"] for r in rows):
        here = [r for r in rows if r["case"] == case]
        base, best, model, shipped = (
            np.array([pick(r) for r in here])
            for pick in (
                lambda r: r["judged"]["glp-hs"]["psnr"],
                lambda r: max(r["judged"][form]["psnr"] for form in CLOSED_FORMS),
                lambda r: r["judged"][NETWORK]["psnr"],
                lambda r: r["judged"][r["verdict"].shipped]["psnr"],
            )
        )
        angles = [np.mean([r["judged"][m or r["verdict"].shipped]["sam"] for r in here]) for m in (NETWORK, "")]
        gains = [model - base, shipped - base]
        cells = [
            f"{(best - base).mean():+.2f}",
            *(f"{f(gain):+.2f}" for gain in gains for f in (np.mean, np.min)),
            f"{(model - shipped).mean():+.3f}",
            f"{100 * (angles[1] / angles[0] - 1):+.1f}",
            f"{sum(r['verdict'].shipped != NETWORK for r in here)} of {len(here)}",
        ]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return lines


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: a line per scene and case."""
    return [
        "| case | scene | shipped | leads (RMSE, SAM, Q2n) | model PSNR | SAM | shipped PSNR | SAM |",
        "|---|---|---|---|---|---|---|---|",
        *map(_line, rows),
    ]


def _line(row: dict[str, Any]) -> str:
    verdict, judged = row["verdict"], row["judged"]
    leads = ", ".join(f"{lead:+.2f}" for lead in verdict.leads.values())
    cells = [f"{judged[m][key]:.2f}" for m in (NETWORK, verdict.shipped) for key in ("psnr", "sam")]
    return f"| {row['case']} | {row['scene']} | {verdict.shipped} | {leads} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
