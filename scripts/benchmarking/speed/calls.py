"""The network calls of a run by themselves: the same windows through the same code, as many at a time as the backend
takes, nothing beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np
import torch

from hsfusion.models.runners.subspace import Prepared, SubspaceRunner
from hsfusion.models.server.cores import share_out, usable_cores

MOST = 12  # tiles that are timed; of a larger raster these stand for the others

Call = tuple[dict[str, np.ndarray], dict[str, Any]]


@dataclass(frozen=True)
class Alone:
    """Seconds (wall, CPU) per megapixel of output: whole calls, and the networks' forward passes on the same windows;
    how many at a time.
    """

    calls: tuple[float, float]
    forward: tuple[float, float]
    together: int
    threads: int


def some_of(tiles: Sequence[Any]) -> list[Any]:
    """At most MOST of them, spread over all."""
    return list(tiles[:: -(-len(tiles) // MOST)])


@torch.inference_mode()
def calls_alone(
    runner: SubspaceRunner, calls: Sequence[Call], megapixels: float, timed: Callable[..., Any], repeats: int
) -> Alone:
    """calls: tensors and request of each tile, whose cores have so many megapixels in all; `timed` runs and times
    (wall, cpu).
    """
    together, threads = share_out(usable_cores())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)

    def forward(tile: Prepared) -> None:
        with torch.inference_mode():
            runner.mean([tile])

    with ThreadPoolExecutor(together, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        every = lambda work, items: lambda: list(pool.map(work, items))  # noqa: E731
        whole = every(lambda call: runner(*call), calls)
        whole()
        found = timed(whole, repeats)
        prepared = [replace(runner._prepared(*call), correct=None) for call in calls]
        only = timed(every(forward, prepared), repeats)
    torch.set_num_threads(before)
    return Alone(
        (found.wall / megapixels, found.cpu / megapixels),
        (only.wall / megapixels, only.cpu / megapixels),
        together,
        threads,
    )


def run_lines(
    seconds: dict[str, float], sent: dict[str, float], whole: float, alone: Alone, pixels: float
) -> list[str]:
    """Markdown: where the time of a whole run went, and its ratio to the calls. seconds: its phases; sent: its
    `network_calls`.
    """
    rest = whole - sum(value for name, value in seconds.items() if name != "network")
    apart = whole - seconds.get("estimation", 0.0)
    lines = [
        "",
        "## A whole run and its network calls",
        "",
        f"{sent['sent']:.0f} tiles are sent, {100 * sent['halo_share']:.0f} % of their pixels are halo; the backend "
        "works on "
        f"{alone.together} at a time with {alone.threads} thread(s) each.",
        "",
        "| part of hsfusion:fuse without guard | s | share of the run |",
        "|---|---|---|",
        *(f"| {n} | {v:.2f} | {100 * v / whole:.0f} % |" for n, v in seconds.items() if n != "network"),
        f"| QGIS's start, opening, closing | {rest:.2f} | {100 * rest / whole:.0f} % |",
        f"| whole command | {whole:.2f} | 100 % |",
        "",
        "| the network calls of this run | s | tiles (reading to writing), times that | whole command less "
        "estimation, times that |",
        "|---|---|---|---|",
    ]
    for label, value in (
        ("calls during the run: at least one tile is with the backend", sent["seconds"]),
        ("the same calls, nothing beside them", alone.calls[0] * pixels),
        ("of these the network's forward passes alone", alone.forward[0] * pixels),
    ):
        lines.append(f"| {label} | {value:.2f} | {seconds['tiles'] / value:.2f} | {apart / value:.2f} |")
    return lines
