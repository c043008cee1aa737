"""Whether one of two programs is slower: ratios of times taken in turn, their median and its confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
MATTERS = 0.05  # a change of the time below this share is left alone
FEWEST = 6  # pairs from which the interval can reach CONFIDENCE


@dataclass(frozen=True)
class Change:
    """Time of the new program over that of the old one: estimate, and the interval that holds it with CONFIDENCE."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What can be said of a change of more than MATTERS."""
        if self.low > 1 + MATTERS:
            return f"slower by more than {MATTERS:.0%}"
        if self.high < 1 - MATTERS:
            return f"faster by more than {MATTERS:.0%}"
        if self.low >= 1 - MATTERS and self.high <= 1 + MATTERS:
            return f"no change of more than {MATTERS:.0%}"
        if self.low > 1:
            return f"slower; whether by more than {MATTERS:.0%} is open"
        if self.high < 1:
            return f"faster; whether by more than {MATTERS:.0%} is open"
        return "open: more runs are needed"

    @property
    def slower(self) -> bool:
        """Whether a slowdown of more than MATTERS is real."""
        return self.low > 1 + MATTERS


def change(old: Sequence[float], new: Sequence[float]) -> Change:
    """The change from times `old` to times `new` (seconds), taken in pairs; ValueError with fewer than FEWEST pairs.

    Hodges and Lehmann's median of all pairwise means of the logarithms of the ratios, with the interval of Wilcoxon's
    signed-rank test: ratios are independent from pair to pair and symmetric in the logarithm, no other distribution is
    assumed, and one disturbed run does not move the result.
    """
    if len(old) != len(new) or len(old) < FEWEST:
        raise ValueError(f"A comparison needs {FEWEST} pairs of times or more.")
    ratios = np.log(np.asarray(new, float) / np.asarray(old, float))
    first, second = np.triu_indices(len(ratios))
    means = np.sort((ratios[first] + ratios[second]) / 2)
    outside = _rank_sums_outside(len(ratios))
    return Change(*(float(np.exp(value)) for value in (np.median(means), means[outside], means[-1 - outside])))


def _rank_sums_outside(pairs: int) -> int:
    """How many of the ordered means lie below the interval: the largest c with 2 P(W <= c) <= 1 - CONFIDENCE.

    W is Wilcoxon's rank sum: each rank 1 to `pairs` is in it with probability one half.
    """
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    return int(np.searchsorted(np.cumsum(chances), (1 - CONFIDENCE) / 2, side="right")) - 1
