"""How methods are ranked at reduced resolution: by one score, or by all three together. The guard and hsfusion:compare
rank alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Callable, Protocol, TypeVar

TOGETHER = "together"
ERRORS: dict[str, Callable[[Any], float]] = {  # criterion -> an error of a method's scores, 0 where it is perfect
    "rmse": lambda scores: scores.NRMSE,
    "sam": lambda scores: scores.SAM,
    "q2n": lambda scores: 1.0 - scores.Q2N,
}
CRITERIA = (TOGETHER, *ERRORS)


class Scored(Protocol):
    """A method and what is known of it: scores has NRMSE (RMSE of the bands in units of their spread), SAM and Q2N;
    None where it failed.
    """

    method: str
    scores: Any


S = TypeVar("S", bound=Scored)


def ranked(rows: Sequence[S], criterion: str) -> list[S]:
    """Best first, those without scores last. `together`: by the mean of the three ranks, then by RMSE."""
    scored = [row for row in rows if row.scores is not None]
    places = {name: _places(scored, name) for name in (ERRORS if criterion == TOGETHER else (criterion,))}

    def standing(row: S) -> tuple[float, float]:
        found = [places[name][row.method] for name in places if row.method in places[name]]
        return sum(found) / max(len(found), 1), ERRORS["rmse"](row.scores)

    return [*sorted(scored, key=standing), *(row for row in rows if row.scores is None)]


def others(rows: Sequence[Scored], best: str) -> dict[str, str]:
    """Criterion -> its best method, where that is not `best`."""
    found = {}
    for name in ERRORS:
        places = _places(rows, name)
        first = min(places, key=places.__getitem__, default=best)
        if first != best:
            found[name] = first
    return found


def leads(one: Any, other: Any) -> dict[str, float]:
    """Criterion -> by how many dB the error of the scores `one` is smaller than that of `other`, where both are
    known.
    """
    errors = {name: (error(one), error(other)) for name, error in ERRORS.items()}
    return {
        name: 20.0 * math.log10(max(b, 1e-12) / max(a, 1e-12))
        for name, (a, b) in errors.items()
        if not (math.isnan(a) or math.isnan(b))
    }


def _places(rows: Sequence[Scored], criterion: str) -> dict[str, int]:
    """Method -> rank from 0; without those whose score is not known (Q2n of a scene smaller than its blocks)."""
    errors = {row.method: ERRORS[criterion](row.scores) for row in rows if row.scores is not None}
    known = [method for method, error in errors.items() if not math.isnan(error)]
    return {method: place for place, method in enumerate(sorted(known, key=errors.__getitem__))}
