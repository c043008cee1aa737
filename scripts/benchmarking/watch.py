"""What a command and the processes that it starts hold in memory while it runs, as Linux counts it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PERIOD_S = 0.1
QGIS, BACKEND = "QGIS", "backend"


@dataclass
class Held:
    """Bytes of resident memory of one process: its peak as the kernel kept it, and (seconds, bytes) over time."""

    peak: int = 0
    series: list[tuple[float, int]] = field(default_factory=list)

    def peak_between(self, first: float, last: float) -> int:
        """The most that was seen from `first` to `last`, shares of the time that the process was there; 0 where nothing
        was.
        """
        if not self.series:
            return 0
        began, ended = self.series[0][0], self.series[-1][0]
        low, high = (began + share * (ended - began) for share in (first, last))
        return max((held for at, held in self.series if low <= at <= high), default=0)


@dataclass
class Watched:
    """How a command ended: exit code, what it printed (both streams), wall seconds, and what each of its processes
    held.
    """

    code: int
    printed: str
    seconds: float
    held: dict[str, Held]

    def peak_mb(self, role: str) -> float:
        """Peak of QGIS or the backend, 10^6 bytes; NaN where there was no such process."""
        return self.held[role].peak / 1e6 if role in self.held else float("nan")


def watch(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Watched:
    """Run a command to its end and watch it (QGIS) and its children that run serve.py (the backend)."""
    held: dict[str, Held] = {}
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(PERIOD_S):
            now = time.monotonic() - began
            for role, pid in ((QGIS, process.pid), *((BACKEND, pid) for pid in _servers_of(process.pid))):
                found = memory_of(pid)
                if found is not None:
                    one = held.setdefault(role, Held())
                    one.peak = max(one.peak, found[1])
                    one.series.append((now, found[0]))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        printed, _ = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        ended.set()
        watcher.join()
    return Watched(process.returncode, printed.decode("utf-8", "replace"), time.monotonic() - began, held)


def _servers_of(parent: int) -> list[int]:
    try:
        children = Path(f"/proc/{parent}/task").glob("*/children")
        pids = [int(pid) for path in children for pid in path.read_text(encoding="ascii").split()]
        return [pid for pid in pids if b"serve.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except OSError:  # one of them has just ended
        return []


def memory_of(pid: int) -> tuple[int, int] | None:
    """(resident, peak) bytes; None once the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    values = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if "VmRSS" not in values:
        return None
    return int(values["VmRSS"].split()[0]) * 1024, int(values["VmHWM"].split()[0]) * 1024
