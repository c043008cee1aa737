"""One line of a full-band model's card for log, record and report: what it learnt from, how long, and how good it
is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def card_line(card: Mapping[str, Any]) -> str:
    """Scenes, hours and scores on scenes left out against interpolation and GLP-HS, at the noisiest case of the card;
    "" where it tells none."""
    training, scores = card.get("training") or {}, card.get("scores") or {}
    scenes, seconds = training.get("scenes"), training.get("seconds")
    if not scenes or seconds is None:
        return ""
    line = f"{card.get('name')}: weights trained for {seconds / 3600:.2g} h on {len(scenes)} scenes"
    cases = {name: case["mean"] for name, case in scores.items() if isinstance(case.get("mean"), Mapping)}
    if not cases:
        return line + "."
    name, means = list(cases.items())[-1]
    count = len(scores[name]) - 1
    methods = {"network": "it has", "interpolation": "interpolation", "glp-hs": "GLP-HS"}
    told = ", ".join(f"{words} {means[m][0]:.1f} dB" for m, words in methods.items() if m in means)
    return f"{line}; on {count} scenes left out ({name}) {told}."
