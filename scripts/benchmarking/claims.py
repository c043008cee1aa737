"""What the papers claim of the three systems, held against the measurements of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

Results = dict[str, dict[str, Any]]
SAME = 0.1  # dB that count as no difference


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper with the paper's own figures, and a test: results -> (holds, what was measured)."""

    text: str
    needs: tuple[str, ...]
    test: Callable[[Results], tuple[bool, str]]


def best(result: dict[str, Any]) -> float:
    """The highest PSNR over the numbers of steps."""
    return max(result["psnr"].values())


def better(first: str, second: str, text: str) -> Claim:
    """`first` exceeds `second`, each at its best number of steps."""

    def test(results: Results) -> tuple[bool, str]:
        a, b = best(results[first]), best(results[second])
        return a > b + SAME, f"{a:.2f} against {b:.2f} dB ({a - b:+.2f})"

    return Claim(text, (first, second), test)


def _flat(results: Results) -> tuple[bool, str]:
    psnr = results["ddpm-fus"]["psnr"]
    return psnr["1"] >= psnr["10"] - SAME, f"1 step {psnr['1']:.2f}, 10 steps {psnr['10']:.2f} dB"


def _flat_eps(results: Results) -> tuple[bool, str]:
    psnr = results["ddpm-fus-eps"]["psnr"]
    return psnr["1"] >= psnr["10"] - SAME, f"1 step {psnr['1']:.2f}, 10 steps {psnr['10']:.2f} dB"


def _many(results: Results) -> tuple[bool, str]:
    psnr = results["ddpm-fus"]["psnr"]
    return psnr["50"] < psnr["10"] - SAME, f"10 steps {psnr['10']:.2f}, 50 steps {psnr['50']:.2f} dB"


CLAIMS = (
    Claim("DDPM-Fus, Table V: one step is as good as ten (43.66 and 43.68 dB); here with x0", ("ddpm-fus",), _flat),
    Claim("The same with the paper's objective eps", ("ddpm-fus-eps",), _flat_eps),
    Claim("DDPM-Fus, Table V: fifty steps are worse than ten (42.82 and 43.68 dB)", ("ddpm-fus",), _many),
    better("ddpm-fus", "ddpm-fus-l2", "DDPM-Fus: l1 is better than l2 (43.7 and 37.6 dB); here with x0"),
    better("ddpm-fus-eps", "ddpm-fus-eps-l2", "The same with the paper's objective eps"),
    better("ddpm-fus", "ddpm-fus-one-shot", "Iterating is better than a regression by the same network: DDPM-Fus"),
    better("hsr-diff", "hsr-diff-one-shot", "The same: HSR-Diff (0.4 to 1.1 dB in its paper)"),
    better("ddrf", "ddrf-one-shot", "The same: DDRF"),
    better("hsr-diff", "hsr-diff-no-sr-stream", "HSR-Diff: the SR stream helps (0.4 to 0.7 dB)"),
    better("hsr-diff", "hsr-diff-fixed", "HSR-Diff: progressive patches help (1.2 to 1.4 dB)"),
    better("ddrf", "ddrf-no-style", "DDRF: style modulation helps"),
    better("ddrf", "ddrf-no-wavelet", "DDRF: wavelet modulation helps"),
)


def against_closed_form(results: Results, glp_hs: float) -> Claim:
    """All three papers report more than every closed form."""

    def test(found: Results) -> tuple[bool, str]:
        top = max(found, key=lambda n: best(found[n]))
        return best(found[top]) > glp_hs + SAME, f"best network {top} {best(found[top]):.2f}, GLP-HS {glp_hs:.2f} dB"

    return Claim("All three: better than the closed forms", tuple(list(results)[:1]), test)


def verdicts(results: Results, glp_hs: float) -> list[str]:
    """A table: claim, whether it holds here, the figures; claims whose variants are missing are named as not measured."""
    lines = ["| claim of the papers | here | measured |", "|---|---|---|"]
    for claim in (*CLAIMS, against_closed_form(results, glp_hs)):
        if all(name in results for name in claim.needs):
            holds, figures = claim.test(results)
            lines.append(f"| {claim.text} | {'holds' if holds else 'does not hold'} | {figures} |")
        else:
            lines.append(f"| {claim.text} | not measured | |")
    return lines
