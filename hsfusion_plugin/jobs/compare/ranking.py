"""How methods are ranked: by one score, or by all three together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .job import Row

TOGETHER = "together"
SCORES = {  # criterion -> what is compared, smaller is better
    "rmse": lambda row: -row.scores.PSNR,
    "sam": lambda row: row.scores.SAM,
    "q2n": lambda row: -row.scores.Q2N,
}
CRITERIA = (TOGETHER, *SCORES)


def ranked(rows: list[Row], criterion: str) -> list[Row]:
    """Best first, those without scores last. `together`: by the mean of the three ranks, then by RMSE."""
    scored = [row for row in rows if row.scores is not None]
    places = {name: _places(scored, name) for name in (SCORES if criterion == TOGETHER else (criterion,))}

    def standing(row: Row) -> tuple[float, float]:
        found = [places[name][row.method] for name in places if row.method in places[name]]
        return sum(found) / max(len(found), 1), SCORES["rmse"](row)

    return [*sorted(scored, key=standing), *(row for row in rows if row.scores is None)]


def others(rows: list[Row], best: str) -> dict[str, str]:
    """Criterion -> its best method, where that is not `best`."""
    found = {}
    for name in SCORES:
        places = _places(rows, name)
        first = min(places, key=places.__getitem__, default=best)
        if first != best:
            found[name] = first
    return found


def _places(rows: list[Row], criterion: str) -> dict[str, int]:
    """Method -> rank from 0; without those whose score is not known (Q2n of a scene smaller than its blocks)."""
    known = [row for row in rows if row.scores is not None and not math.isnan(SCORES[criterion](row))]
    return {row.method: place for place, row in enumerate(sorted(known, key=SCORES[criterion]))}
