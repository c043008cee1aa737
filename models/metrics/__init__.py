"""How good a fused image is, against a reference: numpy only, float64 inside, every convention stated."""

from __future__ import annotations

from .conventions import CONVENTIONS, Convention
from .summary import NUMBERS, Scores, evaluate, evaluate_cubes

__all__ = ["CONVENTIONS", "NUMBERS", "Convention", "Scores", "evaluate", "evaluate_cubes"]
