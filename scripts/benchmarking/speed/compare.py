"""This checkout against another commit: whole commands on one clean pair, run in turn.

hsfusion-benchmark speed --compare COMMIT [--pairs 7] [--size 768] [--bands 60] [--commands glp-hs,fuse] [--output FILE]

Each pair of runs begins with the other checkout than the pair before. Both run with REGISTRATION, LIGHT and DEFECTS
none and no shift, so that a commit from before these parameters, which is not given them, does the same work. CPU
seconds are user and system time of qgis_process and every process that it starts: on a machine that does other work
they are the ones to trust.
The command ends with 1 where a slowdown of more than 5 % of the CPU time is real.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hsfusion.models.errors import HSFusionError
from hsfusion.scripts.benchmarking.speed.checkout import checkout
from hsfusion.scripts.benchmarking.speed.pair import write_pair
from hsfusion.scripts.benchmarking.speed.paired import FEWEST, Change, change
from hsfusion.scripts.benchmarking.speed.runs import ROOT, qgis_in

CLEAN = ("SHIFT_X=0", "SHIFT_Y=0", "REGISTRATION=none", "LIGHT=none", "DEFECTS=none")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "glp-hs": ("fuseclassical", "METHOD=glp-hs", *CLEAN),
    "average": ("fuseclassical", "METHOD=average", *CLEAN),
    "fuse": ("fuse", "GUARD=false", *CLEAN),
    "guarded": ("fuse", *CLEAN),
}


@dataclass
class Times:
    """Wall and CPU seconds of each run of one command by one checkout."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Compared:
    """One command: the times of both checkouts, pair by pair."""

    name: str
    old: Times
    new: Times

    @property
    def wall(self) -> Change:
        return change(self.old.wall, self.new.wall)

    @property
    def cpu(self) -> Change:
        return change(self.old.cpu, self.new.cpu)


@dataclass(frozen=True)
class Side:
    """One checkout as QGIS finds it."""

    program: str
    environment: Mapping[str, str]

    def known(self, algorithm: str, parameters: Sequence[str]) -> list[str]:
        """Those of the parameters (NAME=value) that this checkout has."""
        asked = [self.program, "help", f"hsfusion:{algorithm}"]
        said = subprocess.run(asked, env=self.environment, capture_output=True, text=True, check=False).stdout
        names = {line.partition(":")[0].strip() for line in said.splitlines()}
        return [parameter for parameter in parameters if parameter.partition("=")[0] in names]

    def run(self, words: Sequence[str], times: Times) -> None:
        """Run a command of qgis_process to its end and note its times; HSFusionError where it fails."""
        with tempfile.TemporaryFile() as said:
            began = time.monotonic()
            process = subprocess.Popen(
                [self.program, "run", *words], env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            try:
                _, status, used = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                process.wait()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
            times.wall.append(time.monotonic() - began)
            times.cpu.append(used.ru_utime + used.ru_stime)
            if process.returncode:
                said.seek(0)
                raise HSFusionError(f"{words[0]} fails: {said.read().decode('utf-8', 'replace').strip()[-400:]}")


def compare(commit: str, names: Sequence[str], pairs: int, size: int, bands: int) -> list[Compared]:
    """Run the commands of both checkouts in turn on one synthetic pair of size x size MSI pixels.

    HSFusionError: an unknown command or commit, too few pairs, no QGIS, a run that fails.
    """
    unknown = set(names) - set(COMMANDS)
    if unknown:
        raise HSFusionError(f"There is no command {', '.join(sorted(unknown))}: choose of {', '.join(COMMANDS)}.")
    if pairs < FEWEST:
        raise HSFusionError(f"{pairs} pairs of runs cannot show that a change is real: give --pairs {FEWEST} or more.")
    with tempfile.TemporaryDirectory(prefix="hsfusion-speed-") as name, checkout(ROOT, commit) as other:
        folder = Path(name)
        old, new = (_side(folder / label, root) for label, root in (("old", other), ("new", ROOT)))
        hsi, msi = write_pair(folder, size, size, bands)
        return [_compared(name, old, new, [f"HSI={hsi}", f"MSI={msi}"], folder, pairs) for name in names]


def _side(profile: Path, root: Path) -> Side:
    found = qgis_in(profile, root)
    if found is None:
        raise HSFusionError("There is no qgis_process on this machine: whole commands are compared.")
    return Side(*found)


def _compared(name: str, old: Side, new: Side, given: Sequence[str], folder: Path, pairs: int) -> Compared:
    algorithm, *parameters = COMMANDS[name]
    found = Compared(name, Times(), Times())
    turns = []
    for side, times in ((old, found.old), (new, found.new)):
        known = side.known(algorithm, parameters)
        words = [f"hsfusion:{algorithm}", "--", *given, *known, f"OUTPUT={folder / 'fused.tif'}"]
        side.run(words, Times())  # files and modules are read from disk once before anything is timed
        turns.append((side, words, times))
    for number in range(pairs):
        for side, words, times in turns if number % 2 == 0 else turns[::-1]:
            side.run(words, times)
        print(
            f"{name}, pair {number + 1}: wall {found.old.wall[-1]:.2f} and {found.new.wall[-1]:.2f} s, "
            f"CPU {found.old.cpu[-1]:.2f} and {found.new.cpu[-1]:.2f} s",
            file=sys.stderr,
            flush=True,
        )
    return found


def lines(commit: str, found: Sequence[Compared], size: int, bands: int) -> list[str]:
    """Markdown: one row per command and kind of time."""
    table = [
        *(f"# This checkout against {commit}", ""),
        f"{size} x {size} MSI pixels, {bands} HSI bands, ratio 4; {', '.join(CLEAN)}, "
        "as far as a checkout knows these parameters. "
        "The ratio is the time of this checkout over that of the other, with its interval of 95 %.",
        "",
        "| command | time | pairs | ratio | interval | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        for kind in ("CPU", "wall"):
            ratio: Change = getattr(one, kind.lower())
            table.append(
                f"| {one.name} | {kind} | {len(one.old.wall)} | {ratio.ratio:.3f} | "
                f"{ratio.low:.3f} to {ratio.high:.3f} | {ratio.verdict} |"
            )
    return table


def _end(number: int, _: object) -> None:
    """End as on an error, so that the other checkout and the rasters are removed."""
    sys.exit(128 + number)


def main(words: Sequence[str]) -> int:
    """Print the table, and write it where --output says; 1 where a real slowdown is found."""
    parser = argparse.ArgumentParser(
        prog="hsfusion-benchmark speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compare", metavar="COMMIT", required=True, help="the commit to compare with")
    parser.add_argument("--pairs", type=int, default=7, help="of runs of each command")
    parser.add_argument("--size", type=int, default=768, help="of the pair of rasters, MSI pixels per side")
    parser.add_argument("--bands", type=int, default=60, help="of the HSI")
    parser.add_argument("--commands", default="glp-hs,fuse", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, _end)
    try:
        found = compare(given.compare, given.commands.split(","), given.pairs, given.size, given.bands)
    except HSFusionError as error:
        sys.exit(str(error))
    command = f"hsfusion-benchmark speed --compare {given.compare} --pairs {given.pairs} --size {given.size}"
    command += f" --bands {given.bands} --commands {given.commands}"
    text = "\n".join([*lines(given.compare, found, given.size, given.bands), "", f"Command: `{command}`", ""])
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    return int(any(one.cpu.slower for one in found))
