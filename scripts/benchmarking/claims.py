"""What the papers claim of the three systems, held against the measurements of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

Results = dict[str, dict[str, Any]]
SEED_SPREAD = 0.5  # dB: what other seeds of one and the same run differ by; one seed cannot tell less
HOLDS, REFUTED, UNDECIDED = "holds", "refuted", "not decided"


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper with the paper's own figures, and a test: results -> (verdict, what was measured)."""

    text: str
    needs: tuple[str, ...]
    test: Callable[[Results], tuple[str, str]]


def best(result: dict[str, Any]) -> str:
    """The number of steps with the highest PSNR."""
    return max(result["psnr"], key=lambda steps: result["psnr"][steps])


def verdict(first: dict[str, Any], steps: str, second: dict[str, Any], other: str) -> tuple[str, str]:
    """Whether `first` at its `steps` exceeds `second` at `other` steps by more than seeds and scenes explain.

    Two standard errors of the paired differences over scenes, and no less than the spread of seeds.
    """
    a, b = first["psnr"][steps], second["psnr"][other]
    paired = np.subtract(first.get("scenes", {}).get(steps, []), second.get("scenes", {}).get(other, []))
    error = float(paired.std(ddof=1) / np.sqrt(len(paired))) if len(paired) > 1 else 0.0
    least = max(SEED_SPREAD, 2 * error)
    says = HOLDS if a - b > least else REFUTED if b - a > least else UNDECIDED
    return says, f"{a:.2f} against {b:.2f} dB ({a - b:+.2f}, more than {least:.2f} decides)"


def better(first: str, second: str, text: str) -> Claim:
    """`first` exceeds `second`, each at its best number of steps."""

    def test(results: Results) -> tuple[str, str]:
        return verdict(results[first], best(results[first]), results[second], best(results[second]))

    return Claim(text, (first, second), test)


def steps_of(name: str, few: str, many: str, text: str, equal: bool = False) -> Claim:
    """`few` steps exceed `many`; equal: they are no worse."""

    def test(results: Results) -> tuple[str, str]:
        says, figures = verdict(results[name], few, results[name], many)
        if equal:
            says = REFUTED if says == REFUTED else HOLDS
        return says, f"{few} and {many} steps: {figures}"

    return Claim(text, (name,), test)


CLAIMS = (
    steps_of(
        "ddpm-fus",
        "1",
        "10",
        "DDPM-Fus, Table V: one step is as good as ten (43.66 and 43.68 dB); here with x0",
        equal=True,
    ),
    steps_of("ddpm-fus-eps", "1", "10", "The same with the paper's objective eps", equal=True),
    steps_of("ddpm-fus", "10", "50", "DDPM-Fus, Table V: fifty steps are worse than ten (42.82 and 43.68 dB)"),
    better("ddpm-fus", "ddpm-fus-l2", "DDPM-Fus: l1 is better than l2 (43.7 and 37.6 dB); here with x0"),
    better("ddpm-fus-eps", "ddpm-fus-eps-l2", "The same with the paper's objective eps"),
    better("ddpm-fus", "ddpm-fus-one-shot", "Iterating is better than a regression by the same network: DDPM-Fus"),
    better("hsr-diff", "hsr-diff-one-shot", "The same: HSR-Diff (0.4 to 1.1 dB in its paper)"),
    better("ddrf", "ddrf-one-shot", "The same: DDRF"),
    better("hsr-diff", "hsr-diff-no-sr-stream", "HSR-Diff: the SR stream helps (0.4 to 0.7 dB)"),
    better(
        "hsr-diff", "hsr-diff-convolution", "HSR-Diff: transformer layers are better than convolutions (3.7 to 9.7 dB)"
    ),
    better("hsr-diff", "hsr-diff-fixed", "HSR-Diff: progressive patches help (1.2 to 1.4 dB)"),
    better("ddrf", "ddrf-no-style", "DDRF: style modulation helps"),
    better("ddrf", "ddrf-no-wavelet", "DDRF: wavelet modulation helps"),
    better("ddrf", "ddrf-concatenated", "DDRF: both injections are better than concatenated conditions"),
)


def against_closed_form(results: Results, glp_hs: float) -> Claim:
    """All three papers report more than every closed form."""

    def test(found: Results) -> tuple[str, str]:
        top = max(found, key=lambda n: found[n]["psnr"][best(found[n])])
        reached = found[top]["psnr"][best(found[top])]
        apart = reached - glp_hs
        says = HOLDS if apart > SEED_SPREAD else REFUTED if apart < -SEED_SPREAD else UNDECIDED
        return says, f"best network {top} {reached:.2f}, GLP-HS {glp_hs:.2f} dB"

    return Claim("All three: better than the closed forms", tuple(list(results)[:1]), test)


def verdicts(results: Results, glp_hs: float) -> list[str]:
    """A table: claim, whether it holds, is refuted or is not decided, the figures; claims whose variants are missing
    are named as not measured."""
    lines = ["| claim of the papers | here | measured |", "|---|---|---|"]
    for claim in (*CLAIMS, against_closed_form(results, glp_hs)):
        if all(name in results for name in claim.needs):
            says, figures = claim.test(results)
            lines.append(f"| {claim.text} | {says} | {figures} |")
        else:
            lines.append(f"| {claim.text} | not measured | |")
    return lines
