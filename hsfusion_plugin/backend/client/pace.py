"""How long a tile may take: learnt from the tiles before it, so that a slow server has its time and a dead one is
noticed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

FIRST_S = 600.0  # a cold GPU server loads weights first
LEAST_S = 60.0
MARGIN = 10.0  # tiles of others wait in the same line
SLOWEST = 20_000.0  # units of work a second that the slowest machine does
_STEPS = 50  # where the model's own number is asked for


class Pace:
    """Seconds per unit of work of one backend; threads may share it."""

    def __init__(self) -> None:
        self._warm_up: float | None = None
        self._slowest: float | None = None
        self._lock = threading.Lock()

    def measured(self, work: float, seconds: float) -> None:
        """A tile of this much work took so long. The first one, which loads the model, counts only until there is a
        second.
        """
        with self._lock:
            if self._warm_up is None:
                self._warm_up = seconds / work
            else:
                self._slowest = max(self._slowest or 0.0, seconds / work)

    def allowed(self, work: float) -> float:
        """Seconds after which a tile of this much work is given up and sent again."""
        rate = self._slowest if self._slowest is not None else self._warm_up
        if rate is None:
            return FIRST_S + work / SLOWEST
        return max(LEAST_S, MARGIN * rate * work)


def work_of(tensors: Mapping[str, np.ndarray], request: Mapping[str, Any]) -> float:
    """A tile's work: its input numbers, as often as the network sees them."""
    passes = 1 + int(request.get("samples") or 0) * (int(request.get("steps") or 0) or _STEPS)
    return float(passes * max(1, sum(np.size(array) for array in tensors.values())))
