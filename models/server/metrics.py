"""What the server counts, in Prometheus's text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

No label holds anything that a client sends: models are those that exist, codes those of the protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Callable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
TILES = (1.0, 2.0, 4.0, 8.0, 16.0)
_HELP = {
    "hsfusion_requests_total": ("counter", "Answered infer requests by model and HTTP status."),
    "hsfusion_errors_total": ("counter", "Refused or failed requests by code."),
    "hsfusion_bytes_total": ("counter", "Bytes of infer requests (in) and replies (out)."),
    "hsfusion_model_loads_total": ("counter", "Times that a model was loaded."),
    "hsfusion_batch_halvings_total": ("counter", "Batches that did not fit into memory and were halved."),
    "hsfusion_tile_seconds": ("histogram", "Seconds from a tile's arrival to its reply."),
    "hsfusion_batch_tiles": ("histogram", "Tiles that were worked on together."),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms; threads may share it. `gauges` are asked when somebody looks."""

    def __init__(self, **info: str) -> None:
        self.gauges: Mapping[str, Callable[[], float]] = {}
        self._info = info
        self._counts: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}
        self._bounds: dict[str, Sequence[float]] = {}
        self._lock = threading.Lock()

    def count(self, name: str, by: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            family = self._counts.setdefault(name, {})
            key = tuple(sorted(labels.items()))
            family[key] = family.get(key, 0.0) + by

    def observe(self, name: str, value: float, bounds: Sequence[float], **labels: str) -> None:
        """Add a value to a histogram with these upper bounds."""
        with self._lock:
            self._bounds[name] = bounds
            family = self._histograms.setdefault(name, {})
            cells = family.setdefault(tuple(sorted(labels.items())), [0.0] * (len(bounds) + 2))
            for position, bound in enumerate(bounds):
                cells[position] += value <= bound
            cells[-2] += 1
            cells[-1] += value

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        lines = ["# TYPE hsfusion_info gauge", _line("hsfusion_info", tuple(sorted(self._info.items())), 1)]
        for name, ask in self.gauges.items():
            lines += [f"# TYPE {name} gauge", _line(name, (), ask())]
        with self._lock:
            for name, family in self._counts.items():
                lines += _head(name)
                lines += [_line(name, labels, value) for labels, value in family.items()]
            for name, histograms in self._histograms.items():
                lines += _head(name)
                for labels, cells in histograms.items():
                    for bound, value in zip((*self._bounds[name], float("inf")), cells):
                        edge = "+Inf" if bound == float("inf") else f"{bound:g}"
                        lines.append(_line(f"{name}_bucket", (*labels, ("le", edge)), value))
                    lines += [_line(f"{name}_count", labels, cells[-2]), _line(f"{name}_sum", labels, cells[-1])]
        return "\n".join(lines) + "\n"


def _head(name: str) -> list[str]:
    kind, text = _HELP[name]
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
