"""Fit the sizes of the error law and of UNCERTAINTY on training scenes, leaving one sensor out at a time.

python scripts/benchmarking/error_law.py --scenes FOLDER [--names a,b,c] [--cases clean,"35 dB"] [--size 96] [--output FILE.md]

Per pair, a line is fitted to the bands: the logarithm of what their errors are over what is told, against the logarithm of
the share of a band's standard deviation that the MSI does not explain, less its mean. Its value is the temperature (for
`TEMPERATURE`), its slope the power (`BAND_POWER` of models/scene/posterior/error_law.py). UNCERTAINTY is told by the 95 %
quantile of error over two standard deviations, which should be 1. A fit is the mean over sensors of the mean over
their pairs; each sensor is then judged by the fit of the others.
"""  # noqa: E501

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import SceneModel
from hsfusion.models.scene.posterior.error_law import BAND_POWER, TEMPERATURE, ErrorLaw
from hsfusion.models.scene.posterior.members import Members
from hsfusion.models.scene.tiles.spectra import spectral_std
from hsfusion.models.trials import Case, Fitted, Scene, simulate
from hsfusion.scripts.benchmarking.quality import wanted_cases
from hsfusion.scripts.data.scenes import find_scene, read_scene

MODEL = Path(__file__).resolve().parents[2] / "resources" / "models" / "hsfusion-base.safetensors"
SENSORS = {  # training scenes whose terms let bundled numbers come of them; the first two were not trained on either
    "san_diego": "AVIRIS",
    "abu_airport_2": "AVIRIS",
    "samson": "SAMSON",
    "muufl_a": "CASI",
    "enmap_potsdam_b": "EnMAP",
    "berlin_enmap_30m": "HyMap",
}
FIRST = 4  # members that a spread is measured on


@dataclass(frozen=True)
class Told:
    """What one pair says of a law: value and slope of its line, and the mean square of what is left of it."""

    value: float
    slope: float
    left: float

    @classmethod
    def of(cls, ratio: np.ndarray, share: np.ndarray) -> Told:
        """ratio (L,): of error to what is told; share (L,): logarithm, mean 0."""
        good = np.isfinite(ratio) & (ratio > 0)
        slope, value = np.polyfit(share[good], np.log(ratio[good]), 1)
        return cls(float(value), float(slope), float(np.mean((np.log(ratio[good]) - value - slope * share[good]) ** 2)))


@dataclass(frozen=True)
class Row:
    """A pair, and what it says of the members around the model, of those around the average, and of UNCERTAINTY."""

    scene: str
    sensor: str
    case: str
    laws: dict[str, Told]
    covered: float


def main() -> int:
    """Print the tables, and write them where --output says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--names", default=",".join(SENSORS))
    parser.add_argument("--cases", default="clean,35 dB,panchromatic,ratio 8")
    parser.add_argument("--size", type=int, default=96, help="fine pixels per side that are used of a scene")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    card = read_card(arguments.model)
    runner = SubspaceRunner(card, load_state(arguments.model))
    rows = []
    for name in arguments.names.split(","):
        whole = read_scene(find_scene(arguments.scenes, name))
        scene = replace(whole, cube=whole.cube[:, : arguments.size, : arguments.size])
        for case in wanted_cases(arguments.cases):
            rows.append(row(name, scene, case, runner, int(card["components"])))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
    given = {"--names": arguments.names, "--cases": arguments.cases, "--size": str(arguments.size)}
    options = [word for pair in given.items() for word in pair]
    command = shlex.join(["python", "scripts/benchmarking/error_law.py", "--scenes", "SCENES", *options])
    about = "\n\n".join(str(__doc__).split("\n\n")[2:])
    text = "\n".join(["# The size of errors", "", about.strip(), "", f"Command: `{command}`", "", *tables(rows), ""])
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def row(name: str, scene: Scene, case: Case, runner: SubspaceRunner, components: int) -> Row:
    """One pair, fused with its PSF known."""
    pair = simulate(scene, case)
    fitted = Fitted.to(whole_block(pair.hsi, pair.msi), pair.sampling, pair.wavelengths, components)
    reply, quiet = fitted.infer(runner), fitted.scene.denoised()
    share = np.log(quiet.unexplained_bands)
    share -= share.mean()
    error = np.abs(fitted.expand(reply["x"][0]) - pair.truth)
    of_average = np.abs(fitted.expand(fitted.closed_forms(True).named("average")) - pair.truth)
    said = spectral_std(fitted.scene, reply["std"])
    laws = {
        "model": Told.of(_rms(error) / _spread(quiet, fitted, "model", reply["std"]), share),
        "average": Told.of(_rms(of_average) / _spread(quiet, fitted, "average", None), share),
        "UNCERTAINTY": Told.of(np.quantile(error / (2 * said), 0.95, axis=(1, 2)), share),
    }
    return Row(name, SENSORS.get(name, name), case.name, laws, float((error <= 2 * said).mean()))


def tables(rows: Sequence[Row]) -> list[str]:
    """Markdown: what is fitted, each sensor by the fit of the others, every pair."""
    lines = ["| law | temperature | power |", "|---|---|---|"]
    for law in rows[0].laws:
        value, slope = fit(rows, law)
        lines.append(f"| {law} | {np.exp(value) * TEMPERATURE.get(law, 1.0):.2f} | {slope + _now(law):.2f} |")
    lines += ["", "| law | sensor left out | error over told: now | by the others' fit |", "|---|---|---|---|"]
    for law in rows[0].laws:
        for sensor in dict.fromkeys(r.sensor for r in rows):
            own = [r.laws[law].value for r in rows if r.sensor == sensor]
            others, _ = fit([r for r in rows if r.sensor != sensor], law)
            lines.append(f"| {law} | {sensor} | {np.exp(np.mean(own)):.2f} | {np.exp(np.mean(own) - others):.2f} |")
    lines += [
        "",
        "| scene | case | model: value | slope | average: value | slope | UNCERTAINTY: value | slope | covered (%) |",
    ]
    return [*lines, "|" + "---|" * 9, *map(_line, rows)]


def fit(rows: Sequence[Row], law: str) -> tuple[float, float]:
    """Value and slope: means over sensors of the means over their pairs."""
    sensors = dict.fromkeys(r.sensor for r in rows)
    means = [
        np.mean([[r.laws[law].value, r.laws[law].slope] for r in rows if r.sensor == sensor], axis=0)
        for sensor in sensors
    ]
    value, slope = np.mean(means, axis=0)
    return float(value), float(slope)


def _now(law: str) -> float:
    """The power that a law has already."""
    return BAND_POWER if law in TEMPERATURE else 0.0


def _spread(scene: SceneModel, fitted: Fitted, method: str, std: np.ndarray | None) -> np.ndarray:
    """(L,): root mean square of members around a method."""
    law = ErrorLaw.of(scene, TEMPERATURE[method])
    here = Members(scene, law, 1).around(fitted.block, fitted.block.place.fine, std)
    return np.sqrt(np.mean([_rms(here.deviation(2 * n)) ** 2 for n in range(FIRST)], axis=0))


def _rms(image: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(image.astype(np.float64) ** 2, axis=(1, 2)))


def _line(row: Row) -> str:
    numbers = [f"{number:+.2f}" for told in row.laws.values() for number in (told.value, told.slope)]
    return f"| {row.scene} | {row.case} | " + " | ".join(numbers) + f" | {100 * row.covered:.1f} |"


if __name__ == "__main__":
    sys.exit(main())
